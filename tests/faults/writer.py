"""A writer process: it runs transactions until it gets SIGTERM or is killed."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from django.db import Error, connection, transaction

from sequences_core import SequenceLocked, get_allocator, get_last_value, run_atomic
from sequences_core.testing.history import Recorder, Series
from tests.faults.tables import Place, go
from tests.faults.takes import LOOPING, ROWS, WAYS, take_together, ways_of

PAUSE = 0.02
"""Seconds of pause after an error."""

SERIES = (
    Series("invoices"),
    Series("été %s 'x'", 1000),
    Series("tickets", 0),
    Series("loop", 3, 10),
)
"""The series that writers take from by default."""


@dataclass(frozen=True)
class Job:
    """The work of a writer, and the file of its history."""

    places: tuple[Place, ...]
    """The databases to write to; an error that can't be retried switches to the next one."""
    history: Path
    seed: int
    series: tuple[Series, ...] = SERIES
    ways: tuple[str, ...] | None = None
    """The ways to take numbers; None for all that the allocator supports."""
    alone: tuple[str, ...] | None = None
    """The ways to take in autocommit, for one in four, or for all if ``ways`` is empty; None for
    "in statement", if that is one of the ways."""
    attempts: int = 10
    ordered: bool = True
    """Does it take several counters in the same order as all others?"""
    fates: tuple[str, ...] = ("transaction", "transaction", "savepoint", "undone")
    """Where are numbers taken: in the transaction, in a savepoint, or in one rolled back to?"""
    together: bool = False
    """Does it take several counters in one call?"""
    window: float | None = None
    """Seconds after which all writers use the next two series, which are new."""
    limit: int | None = None
    """The number of transactions; None for no end."""


class Rollback(Exception):
    """The exception that rolls back a transaction or a savepoint."""


class Attempt:
    """One attempt at a transaction, as its history describes it."""

    def __init__(self, name: str, history: Recorder, chance: random.Random) -> None:
        self.name = name
        self.chance = chance
        self.blocks: list[int] = []
        self.over = False
        self._history = history
        history(name, "begin")

    def taken(self, series: Series, numbers: range) -> None:
        """Record the numbers that were taken."""
        self.blocks.append(len(numbers))
        self._history(self.name, "taken", series.name, numbers[0], len(numbers))

    def undo(self, kept: int) -> None:
        """Record that all takes but the first ``kept`` were rolled back."""
        del self.blocks[kept:]
        self._history(self.name, "undone", kept)

    def commit(self, rows: int | None = None) -> None:
        """Record that the next statement commits so many rows, by default those of the takes."""
        self._history(self.name, "committing", sum(self.blocks) if rows is None else rows)

    def end(self, committed: bool) -> None:
        """Record the outcome, which is certain."""
        self.over = True
        self._history(self.name, "committed" if committed else "rolled back")

    def note(self, error: BaseException, moment: str) -> None:
        """Record an error and its time, for the statistics."""
        allocator = get_allocator(connection)
        code, retryable = allocator.error_code(error), allocator.is_retryable(error)
        kind, text = type(error).__name__, str(error)[:200]
        self._history(self.name, "error", moment, kind, code, retryable, text)


class Writer:
    """A generator of random transactions that runs them."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.chance = random.Random(job.seed)
        self.history = Recorder(job.history)
        self.stopping = False
        self.count = 0
        self.place = 0
        go(job.places[0])
        self.ways = ways_of(get_allocator(connection)) if job.ways is None else job.ways
        self.alone = job.alone
        if self.alone is None:
            self.alone = tuple(way for way in self.ways if way == "in statement")
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, *_: Any) -> None:
        """End after the current transaction."""
        self.stopping = True

    def run(self) -> None:
        """Run transactions until the end."""
        while not self.stopping and self.count != self.job.limit:
            self.count += 1
            if self.alone and (not self.ways or self.chance.random() < 0.25):
                self.statement(self.chance.choice(self.alone))
            else:
                self.transaction()
        connection.close()

    def transaction(self) -> None:
        """Run one transaction, and record its outcome."""
        series = self.job.series
        if self.job.window:
            first = int(time.monotonic() / self.job.window) % (len(series) - 1)
            series = series[first : first + 2]
        steps = self.chance.choices(series, k=self.chance.randint(1, 4))
        if self.job.ordered:
            steps.sort(key=self.job.series.index)
        attempts: list[Attempt] = []

        def block() -> None:
            if attempts and not attempts[-1].over:
                # Its COMMIT failed with an error that is retried.
                attempts[-1].end(committed=False)
            name = f"{self.job.seed}.{self.count}.{len(attempts)}"
            attempts.append(Attempt(name, self.history, self.chance))
            if self.chance.random() < 0.5:
                # An on_commit() hook may acknowledge the commit, so this one records it then.
                transaction.on_commit(partial(attempts[-1].end, committed=True))
            try:
                self.body(attempts[-1], steps)
            except (Error, Rollback) as error:
                if isinstance(error, Error):
                    attempts[-1].note(error, "body")
                attempts[-1].end(committed=False)
                raise
            attempts[-1].commit()

        try:
            run_atomic(block, attempts=self.job.attempts)
        except Rollback:
            return
        except Error as error:
            self.failed(attempts[-1] if attempts else None, error)
        else:
            if not attempts[-1].over:
                attempts[-1].end(committed=True)

    def statement(self, way: str) -> None:
        """Insert in autocommit, and let the insert take the numbers.

        Series that restart are excluded: checking their order needs the time at which each number
        was taken, which only the database knows here.
        """
        series = self.chance.choice([one for one in self.job.series if one.reset is None])
        attempt: Attempt | None = None
        try:
            connection.ensure_connection()
            attempt = Attempt(f"{self.job.seed}.{self.count}.0", self.history, self.chance)
            attempt.commit(ROWS[way])
            WAYS[way](attempt, series)
        except Error as error:
            self.failed(attempt, error)
        else:
            attempt.end(committed=True)

    def failed(self, attempt: Attempt | None, error: Error) -> None:
        """Record an error. The outcome of a COMMIT is unknown, unless the error is retryable."""
        if attempt and not attempt.over:
            attempt.note(error, "commit")
            if get_allocator(connection).is_retryable(error):
                attempt.end(committed=False)
        connection.close()
        if len(self.job.places) > 1 and not get_allocator(connection).is_retryable(error):
            self.place += 1
            go(self.job.places[self.place % len(self.job.places)])
        time.sleep(PAUSE)

    def body(self, attempt: Attempt, steps: list[Series]) -> None:
        """Take from each series in its turn, partly in savepoints; roll back sometimes."""
        if self.chance.random() < 0.3:
            get_last_value(steps[0].name)  # this takes a snapshot, where isolation has one
        if self.job.together:
            take_together(attempt, self.chance.sample(self.job.series, k=len(self.job.series)))
            steps = []
        for series in steps:
            ways = [way for way in self.ways if series.reset is None or way in LOOPING]
            way = WAYS[self.chance.choice(ways)]
            fate = self.chance.choice(self.job.fates)
            kept = len(attempt.blocks)
            scope: Callable[[], AbstractContextManager[Any]] = (
                nullcontext if fate == "transaction" else transaction.atomic
            )
            try:
                with scope():
                    way(attempt, series)
                    if fate == "undone":
                        raise Rollback
            except (Rollback, SequenceLocked) as end:
                # If the server has rolled back the whole transaction, Django notices that the
                # savepoint is gone, and would roll back at the end without an error.
                if fate == "transaction" or connection.needs_rollback:
                    raise Rollback from end
                attempt.undo(kept)
        if self.chance.random() < 0.2:
            raise Rollback


def write(job: Job) -> None:
    """Run a writer process: its main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Writer(job).run()
