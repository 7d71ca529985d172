"""Writers: processes that number rows, each with a connection of its own."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from typing import Any

from django.db import Error, connections
from sequences_orm import ORMAllocator

from benchmarks.contestants import by_name

TIMEOUT = 60.0
"""Extra seconds before a writer counts as hanging: a lock wait on MySQL may take 50."""

ROLLBACK_EVERY = 10

# With "spawn", 48 processes that import Django would take a minute.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["benchmarks.preload"])

_start: Barrier


@dataclass(frozen=True)
class Task:
    """The work of one writer in one turn of a cell."""

    contestant: str
    scope: str
    seconds: float
    rollbacks: bool = False
    port: int | None = None
    """The port of a proxy with latency; None for a direct connection."""


@dataclass
class Outcome:
    """The result of a task."""

    scope: str
    committed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    """Seconds from the start of each committed transaction to the end of its commit."""
    began: float = 0.0
    ended: float = 0.0


def run(tasks: Sequence[Task]) -> tuple[float, list[Outcome]]:
    """Run each task in a writer, all from the same moment; return the seconds and outcomes.

    Raise TimeoutError if a writer hangs, and the error of a writer that can't start.
    """
    with CONTEXT.Pool(len(tasks), _begin, [CONTEXT.Barrier(len(tasks))]) as pool:
        outcomes = pool.map_async(_work, tasks, chunksize=1).get(tasks[0].seconds + TIMEOUT)
    began = min(outcome.began for outcome in outcomes)
    return max(outcome.ended for outcome in outcomes) - began, outcomes


def _begin(start: Barrier) -> None:
    """Keep the barrier, which a process can get only when it is created."""
    global _start
    _start = start


def _work(task: Task) -> Outcome:
    contestant = by_name(task.contestant)
    connection: Any = connections[contestant.alias]
    outcome = Outcome(task.scope)

    def issue(*, rollback: bool) -> bool:
        try:
            contestant.issue(task.scope, rollback=rollback)
        except Error as error:
            code = ORMAllocator().error_code(error)  # of any database
            outcome.errors[f"{type(error).__name__} {code}"] += 1
            return False
        return not rollback

    with contestant.active():
        try:
            if task.port:
                connection.settings_dict |= {"HOST": "127.0.0.1", "PORT": task.port}
            connection.ensure_connection()
            issue(rollback=True)  # warms the caches of Django and the database
            _start.wait(TIMEOUT)
        except BaseException:
            _start.abort()
            raise
        attempts, now = 0, time.monotonic()
        outcome.began = now
        while now < outcome.began + task.seconds:
            attempts += 1
            if issue(rollback=task.rollbacks and attempts % ROLLBACK_EVERY == 0):
                outcome.committed += 1
                outcome.waits.append(time.monotonic() - now)
            now = time.monotonic()
    outcome.ended = now
    return outcome
