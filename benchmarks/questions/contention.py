"""Contention: how many rows per second do several writers number, and how long do they wait?

A cell has a number of writers, which are processes, one counter for all or one for each, a network
latency, and rollbacks or none. A speed counts only if the numbers of all turns are exact.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.db import connection

from benchmarks.contestants import by_name, contestants
from benchmarks.contestants.base import ONE
from benchmarks.contestants.limits import PgBench
from benchmarks.questions import TURNS, turns
from benchmarks.questions.figures import Tally
from benchmarks.questions.writers import Outcome, Task, run
from benchmarks.scale import BUSIEST, scaled
from tests.servers.proxy import Proxy

WRITERS = scaled((1, 8), (1, 2, 4, 8, 16))
LATENCIES = scaled((1,), (1, 5))
"""Round-trip times of the network in milliseconds, in addition to 0."""
PASSES = scaled(1, 4)
COMPARED_SECONDS, SECONDS = scaled((0.3, 0.2), (1.5, 0.4))
"""The seconds per turn of cells that are compared (see Cell.is_compared), whose fairness needs long
turns, and of the others."""
SQLITE_SECONDS = scaled(1.0, 15.0)
"""The seconds per turn of LONG_ON_SQLITE on SQLite. A waiting connection sleeps there for up to
100 ms between two attempts, while the last one to commit continues at once
(https://www.sqlite.org/c3ref/busy_timeout.html; the times are in main.c,
sqliteDefaultBusyCallback): the shares of the writers become similar only after a minute."""


@dataclass(frozen=True)
class Cell:
    contestant: str
    writers: int
    counters: str
    """one: all writers use the same counter; own: each writer has its own."""
    latency: int
    """The round-trip time of the network in milliseconds; 0 is loopback without a proxy."""
    rollbacks: bool
    """Does one transaction in ten roll back after it takes its number?"""
    sync: int = 0
    """The delay of each sync of the disk in milliseconds: see the question Disk."""

    @property
    def is_compared(self) -> bool:
        """Whether ratios and the main charts use this cell."""
        alike = self.counters == "one" and not self.rollbacks
        return alike and self.writers in (BUSIEST, 32) and self.latency <= 1 and self.sync <= 1

    @property
    def seconds(self) -> float:
        """The duration of a turn."""
        if not self.is_compared:
            return SECONDS
        long = connection.vendor == "sqlite" and self.contestant in LONG_ON_SQLITE
        return SQLITE_SECONDS if long else COMPARED_SECONDS

    def scope(self, writer: int) -> str:
        return ONE if self.counters == "one" else f"w{writer}"


LONG_ON_SQLITE = ("SequenceField", "get_next_value", "django-sequences")
"""The contestants that have long turns on SQLite, where their fairness is measured."""


def shapes() -> Iterator[tuple[int, str, int, bool]]:
    """Yield the writers, counters, latency and rollbacks of the cells."""
    for writers in WRITERS:
        yield writers, "one", 0, False
    for latency in LATENCIES if connection.vendor != "sqlite" else ():
        yield BUSIEST, "one", latency, False
    yield BUSIEST, "own", 0, False
    yield BUSIEST, "one", 0, True


def cells() -> Iterator[Cell]:
    """Yield the cells; pgbench has those with one counter and without rollbacks."""
    for shape in shapes():
        for one in contestants():
            usual = isinstance(one, PgBench) and shape[1::2] == ("one", False)
            if one.create or usual:
                yield Cell(one.name, *shape)


@pytest.mark.parametrize(TURNS, turns(cells(), PASSES), ids=str)
def test_contention(cell: Cell, turn: int, tally: Tally) -> None:
    if not cell.latency:
        measure(cell, tally)
        return
    settings = connection.settings_dict
    host, port = settings["HOST"] or "127.0.0.1", int(settings["PORT"])
    with Proxy(port, host=host, latency=cell.latency / 2) as proxy:
        measure(cell, tally, proxy.port)


def measure(cell: Cell, tally: Tally, port: int | None = None) -> None:
    """Measure one turn, through a proxy at ``port`` or without; add it to the tally."""
    contestant, number = by_name(cell.contestant), range(cell.writers)
    contestant.clear()
    if isinstance(contestant, PgBench):
        seconds = contestant.load(cell.writers, cell.seconds, port)
        rows = sum(1 for _ in contestant.numbers())
        outcomes = [Outcome(ONE, committed=rows)]  # pgbench doesn't report them by client
    else:
        task = functools.partial(Task, cell.contestant, rollbacks=cell.rollbacks, port=port)
        seconds, outcomes = run([task(cell.scope(one), cell.seconds) for one in number])
    tally.add(seconds, outcomes, contestant)
