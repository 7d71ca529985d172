"""Run concurrent writers. Kill some of them, and start others in their place."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from django.db import connections

from writer import COMMITTED, GO, HOLD, HOLDING, READY, ROLLED_BACK, write

WRITERS = 8

# New processes are forked from one that has loaded Django, so that they start fast.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["writer"])


class WriterDied(Exception):
    """A writer ended without being killed."""


@dataclass
class Tally:
    """What the writers have done, and how many seconds it took."""

    commits: int = 0
    rollbacks: int = 0
    kills: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """How many invoices were not issued, by reason."""
    seconds: float = 0.0

    @property
    def answered(self) -> int:
        """How many invoices were issued or refused."""
        return self.commits + self.refused.total()


@dataclass(eq=False)
class Writer:
    """A writer process, and how many invoices it still has to request."""

    process: BaseProcess
    pipe: Connection
    quota: int
    working: bool = False


class Supervisor:
    """Run writers that request invoices by one of the methods of ``invoices.services``.

    :param way: the name of the method.
    :param invoices: how many invoices to request.
    :param kills: how many writers to kill, at regular intervals, each in a transaction that has
        taken a number but is not committed.
    :param show: a function that is called after each change of the tally.
    """

    def __init__(self, way: str, invoices: int, kills: int, show: Callable[[Tally], None]) -> None:
        self.way = way
        self.show = show
        self.tally = Tally()
        self.quotas = [len(range(first, invoices, WRITERS)) for first in range(WRITERS)]
        self.kills_due = [invoices * kill // (kills + 1) for kill in range(1, kills + 1)]
        self.crew: dict[Connection, Writer] = {}
        self.victim: Writer | None = None
        self.started: float | None = None

    def run(self) -> Tally:
        """Return the tally when all invoices are issued or refused.

        :raises WriterDied: a writer ended early.
        """
        _ignoring_ctrl_c(forkserver.ensure_running)
        try:
            for quota in self.quotas:
                self._hire(quota)
            while self.crew:
                for pipe in wait(list(self.crew)):
                    assert isinstance(pipe, Connection)
                    self._hear(self.crew[pipe])
        finally:
            for writer in list(self.crew.values()):
                self._end(writer)
        return self.tally

    def _hire(self, quota: int) -> None:
        databases = {one.alias: one.settings_dict["NAME"] for one in connections.all()}
        with _deferring_ctrl_c():  # until the writer is in the crew, so that run() ends it
            pipe, process = new_process(write, self.way, databases, quota)
            self.crew[pipe] = Writer(process, pipe, quota)

    def _hear(self, writer: Writer) -> None:
        try:
            message = writer.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._dismiss(writer)
            return
        if message == READY:
            writer.working = True
            self._start(writer)
        elif message == HOLDING:
            self._kill(writer)
        else:
            self._count(message, writer)
            if writer.quota:
                self._go_on(writer)
        self.show(self.tally)

    def _start(self, newcomer: Writer) -> None:
        """Start the first writers together, and each later one immediately."""
        if self.started:
            newcomer.pipe.send(GO)
        elif all(writer.working for writer in self.crew.values()):
            self.started = time.perf_counter()
            for writer in self.crew.values():
                writer.pipe.send(GO)

    def _count(self, message: str, writer: Writer) -> None:
        if message == ROLLED_BACK:
            self.tally.rollbacks += 1
            return
        assert self.started
        writer.quota -= 1
        if message == COMMITTED:
            self.tally.commits += 1
        else:
            self.tally.refused[message] += 1
        self.tally.seconds = time.perf_counter() - self.started

    def _go_on(self, writer: Writer) -> None:
        """Order the next transaction. If a kill is due, the writer is killed in it."""
        if not self.victim and self.kills_due and self.tally.answered >= self.kills_due[0]:
            self.victim = writer
        writer.pipe.send(HOLD if writer is self.victim else GO)

    def _kill(self, writer: Writer) -> None:
        self._end(writer)
        assert writer.process.exitcode == -signal.SIGKILL
        self.tally.kills += 1
        self.kills_due.pop(0)
        self.victim = None
        self._hire(writer.quota)

    def _dismiss(self, writer: Writer) -> None:
        """Remove a writer that has ended; raise WriterDied if it wasn't finished."""
        writer.process.join()
        self._end(writer)
        if writer.quota:
            raise WriterDied(
                f"A writer ended unexpectedly (status {writer.process.exitcode}), with "
                f"{writer.quota} invoices to request."
            )
        if writer is self.victim:  # all its remaining requests were refused, so it was never held
            self.victim = None

    def _end(self, writer: Writer) -> None:
        writer.process.kill()
        writer.process.join()
        writer.pipe.close()
        del self.crew[writer.pipe]


def new_process(work: Callable[..., None], *arguments: Any) -> tuple[Connection, BaseProcess]:
    """Start a process that calls ``work`` with one end of a pipe; return the other end and it."""
    ours, theirs = _processes.Pipe()
    process = _processes.Process(target=work, args=(theirs, *arguments), daemon=True)
    process.start()
    # Only the process has the other end now, so recv() raises EOFError when it has ended.
    theirs.close()
    return ours, process


def _ignoring_ctrl_c(start: Callable[[], None]) -> None:
    """Start processes that ignore Ctrl-C. The terminal sends it to all, but we end them."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    start()
    signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def _deferring_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt only at the end.

    Blocking the signal wouldn't suffice, because another thread would receive it.
    """
    caught: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if caught:
        raise KeyboardInterrupt
