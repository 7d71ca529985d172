"""Contention: how many rows per second do several writers number, and how long do they wait?

A cell has a number of writers, which are processes, one counter for all or one for each, a network
latency, and rollbacks or none. A speed counts only if the numbers of all turns are exact.
"""

from __future__ import annotations

import functools
from contextlib import nullcontext
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
from tests.servers.ports import HOST
from tests.servers.proxy import Proxy

WRITERS = scaled((1, 8), (1, 2, 4, 8, 16))
LATENCIES = scaled((1,), (1, 5))
"""Round-trip times of the network in milliseconds, in addition to 0."""
PASSES = scaled(1, 4)
COMPARED_SECONDS, SECONDS = scaled((0.3, 0.2), (1.5, 0.4))
"""The seconds per turn of cells that are compared, whose fairness needs long turns, and of the
others."""
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
    def seconds(self) -> float:
        """The duration of a turn: longer if ratios and the main charts use this cell."""
        alike = self.counters == "one" and not self.rollbacks and self.writers in (BUSIEST, 32)
        if not alike or self.latency > 1 or self.sync > 1:
            return SECONDS
        long = connection.vendor == "sqlite" and self.contestant in LONG_ON_SQLITE
        return SQLITE_SECONDS if long else COMPARED_SECONDS

    def scope(self, writer: int) -> str:
        return ONE if self.counters == "one" else f"w{writer}"


LONG_ON_SQLITE = ("SequenceField", "get_next_value", "django-sequences")
"""The contestants that have long turns on SQLite, where their fairness is measured."""


SHAPES = [
    *((writers, "one", 0, False) for writers in WRITERS),
    *((BUSIEST, "one", latency, False) for latency in LATENCIES if connection.vendor != "sqlite"),
    (BUSIEST, "own", 0, False),
    (BUSIEST, "one", 0, True),
]
"""The writers, counters, latency and rollbacks of the cells. pgbench has the first two kinds."""

CELLS = [
    Cell(one.name, *shape)
    for shape in SHAPES
    for one in contestants()
    if one.create or (isinstance(one, PgBench) and shape[1::2] == ("one", False))
]


@pytest.mark.parametrize(TURNS, turns(CELLS, PASSES), ids=str)
def test_contention(cell: Cell, turn: int, tally: Tally) -> None:
    host, port = connection.settings_dict["HOST"] or HOST, connection.settings_dict["PORT"]
    proxy = Proxy(int(port), host=host, latency=cell.latency / 2) if cell.latency else None
    with proxy or nullcontext():
        measure(cell, tally, proxy.port if proxy else None)


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
