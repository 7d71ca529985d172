"""The writers of Contention: processes that number rows on command."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

from django.db import Error

PATIENCE = 60.0
"""Seconds that a writer may take beyond its time: a deadlock on MySQL may wait for 50."""

ROLLBACK_EVERY = 10

_servers: dict[str, tuple[Any, Any]] = {}
"""Where the connection of each alias goes without a slow network: host and port."""


@dataclass(frozen=True)
class Task:
    """What one writer does in one turn of a cell."""

    contestant: str
    scope: str
    seconds: float
    rollbacks: bool
    port: int | None
    """Where a slow network listens; None for the server itself."""


@dataclass
class Outcome:
    """What came of it."""

    scope: str
    committed: int = 0
    rolled_back: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    """Seconds from the start of each committed transaction to the end of its commit."""
    ended: float = 0.0


class Writers:
    """A pool of writer processes, each with a connection of its own; a context manager."""

    def __init__(self, count: int = 0) -> None:
        # Not spawned: 48 processes that import Django would take a minute.
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["benchmarks.preload"])
        self.pipes: list[Connection] = []
        self.processes: list[ForkServerProcess] = []
        self.start(count)

    def start(self, count: int) -> None:
        """Have at least so many."""
        while len(self.processes) < count:
            ours, theirs = self.context.Pipe()
            process = self.context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    def run(self, tasks: Sequence[Task]) -> tuple[float, list[Outcome]]:
        """Have one writer per task begin at the same moment; return the seconds it took, and all.

        Raises TimeoutError for a writer that hangs, and what a writer raised before its start;
        others may still be at it then, so that all are replaced.
        """
        self.start(len(tasks))
        try:
            return self._run(tasks)
        except BaseException:
            self.close()
            raise

    def _run(self, tasks: Sequence[Task]) -> tuple[float, list[Outcome]]:
        pipes = self.pipes[: len(tasks)]
        for pipe, task in zip(pipes, tasks, strict=True):
            pipe.send(task)
        for pipe in pipes:
            _receive(pipe, PATIENCE)
        start = time.monotonic() + 0.02
        for pipe in pipes:
            pipe.send(start)
        outcomes = [_receive(pipe, tasks[0].seconds + PATIENCE) for pipe in pipes]
        return max(outcome.ended for outcome in outcomes) - start, outcomes

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()
        self.pipes, self.processes = [], []

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _receive(pipe: Connection, patience: float) -> Any:
    if not pipe.poll(patience):
        raise TimeoutError(f"a writer did not answer for {patience:.0f} s")
    answer = pipe.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _serve(pipe: Connection) -> None:
    """Obey until the pipe is closed."""
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(_turn(task, pipe))
        except Exception as error:  # noqa: BLE001 # whatever it is, the table says so
            pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


def _turn(task: Task, pipe: Connection) -> Outcome:
    from benchmarks.contestants import by_name

    contestant = by_name(task.contestant)
    _reach(contestant.connection, task.port)
    outcome = Outcome(task.scope)
    # The raw driver's errors don't become Django's.
    connection: Any = contestant.connection
    errors = (Error, connection.Database.Error)
    with contestant.active():
        # Fills caches, Django's and the database's, and leaves nothing behind.
        try:
            contestant.issue(task.scope, rollback=True)
        except errors as error:
            outcome.errors[_described(error)] += 1
        pipe.send("ready")
        start = pipe.recv()
        time.sleep(max(0.0, start - time.monotonic()))
        attempts, now = 0, start
        while now < start + task.seconds:
            attempts += 1
            rollback = task.rollbacks and attempts % ROLLBACK_EVERY == 0
            try:
                contestant.issue(task.scope, rollback=rollback)
            except errors as error:
                outcome.errors[_described(error)] += 1
            else:
                if rollback:
                    outcome.rolled_back += 1
                else:
                    outcome.committed += 1
                    outcome.waits.append(time.monotonic() - now)
            now = time.monotonic()
    outcome.ended = now
    return outcome


def _reach(connection: Any, port: int | None) -> None:
    """Connect to the server, or by way of the slow network."""
    settings = connection.settings_dict
    server = _servers.setdefault(connection.alias, (settings["HOST"], settings["PORT"]))
    wanted = server if port is None else ("127.0.0.1", port)
    if (settings["HOST"], settings["PORT"]) != wanted:
        connection.close()
        settings["HOST"], settings["PORT"] = wanted
    connection.ensure_connection()


def _described(error: Exception) -> str:
    """The error's class, with the database's code where it has one."""
    cause = error.__cause__ or error
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
    if code is None and error.args and isinstance(error.args[0], int):
        code = error.args[0]
    return f"{type(error).__name__} {code}" if code else type(error).__name__
