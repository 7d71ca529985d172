"""Contention: how many rows per second do several writers number, and at what wait?

Each cell is a number of writers, processes all, on one counter or on one each, at some latency of
the network, with or without rollbacks. After each turn the numbers must be exact before its speed
counts.
"""

from __future__ import annotations

import functools
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection

from benchmarks.contestants import by_name, contestants
from benchmarks.contestants.base import ONE, Contestant
from benchmarks.contestants.limits import PgBench
from benchmarks.questions import TURNS, turns
from benchmarks.questions.exactness import fault_in
from benchmarks.questions.writers import Outcome, Task, Writers
from benchmarks.scale import BUSIEST, scaled
from tests.servers.proxy import Proxy

WRITERS = scaled((1, 8), (1, 2, 4, 8, 16))
LATENCIES = scaled((1,), (1, 5))
"""Round trips of the network in milliseconds, beside 0."""
COMPARED_PASSES, PASSES = scaled((1, 1), (4, 2))
"""Those of what is compared first: the busiest writers on one counter, at each latency."""
COMPARED_SECONDS, SECONDS = scaled((0.3, 0.2), (1.5, 0.4))
"""Of a turn, likewise: fairness takes time to show."""
SQLITE_SECONDS = scaled(1.0, 15.0)
"""The same on SQLite, for some. Who waits there sleeps for up to 100 ms before looking again,
while the last one to commit goes on at once (https://www.sqlite.org/c3ref/busy_timeout.html;
the times are in main.c, sqliteDefaultBusyCallback): it is a minute before luck evens out."""


@dataclass(frozen=True)
class Cell:
    contestant: str
    writers: int
    counters: str
    """one: all writers want numbers of the same; own: each of its own."""
    latency: int
    """Round trip of the network in milliseconds; 0 is loopback as it is."""
    rollbacks: bool
    """Does one transaction in ten roll back after taking its number?"""
    sync: int = 0
    """Milliseconds more for each sync of the disk: see the question Disk."""

    @property
    def is_compared(self) -> bool:
        """Is it what the charts and ratios show first?"""
        alike = self.counters == "one" and not self.rollbacks
        return alike and self.writers in (BUSIEST, 32) and self.latency <= 1 and self.sync <= 1

    @property
    def seconds(self) -> float:
        """How long a turn is."""
        if not self.is_compared:
            return SECONDS
        patient = connection.vendor == "sqlite" and self.contestant in PATIENT
        return SQLITE_SECONDS if patient else COMPARED_SECONDS

    def scope(self, writer: int) -> str:
        return ONE if self.counters == "one" else f"w{writer}"


PATIENT = ("SequenceField", "get_next_value", "django-sequences")
"""Whose fairness on SQLite is measured for as long as it takes."""


@dataclass
class Tally:
    """The turns of one cell."""

    rates: list[float] = field(default_factory=list)
    """Committed rows per second."""
    writers: Counter[int] = field(default_factory=Counter)
    """Rows committed by each writer, over all turns."""
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    committed: int = 0
    faults: list[str] = field(default_factory=list)
    """What was wrong with the numbers."""

    def result(self) -> dict[str, Any]:
        """The figures; where the numbers weren't exact, there is no speed."""
        fault = self.faults[0] if self.faults else None
        found = {"committed": self.committed, "errors": dict(self.errors), "fault": fault}
        if fault or not self.committed:
            return found
        counts = self.writers.values()
        figures = {
            "rate": round(statistics.median(self.rates), 1),
            "turns": [round(rate, 1) for rate in self.rates],
            "fairness": round(min(counts) / max(counts), 3),
            "seconds": round(self.seconds, 1),
        }
        if len(self.waits) > 1:
            quantiles = statistics.quantiles(self.waits, n=100)
            figures |= {f"p{p}": round(quantiles[p - 1] * 1e3, 3) for p in (50, 95, 99)}
        return found | figures

    def add(self, seconds: float, outcomes: list[Outcome], contestant: Contestant) -> None:
        """Add a turn, and check the numbers that it left."""
        committed: Counter[str] = Counter()
        for writer, outcome in enumerate(outcomes):
            committed[outcome.scope] += outcome.committed
            self.writers[writer] += outcome.committed
            self.waits += outcome.waits
            self.errors += outcome.errors
        self.committed += committed.total()
        self.seconds += seconds
        self.rates.append(committed.total() / seconds)
        with contestant.active():
            fault = fault_in(committed, contestant.numbers(), contestant.last)
        if fault and contestant.gapless:
            self.faults.append(fault)


def shapes() -> Iterator[tuple[int, str, int, bool]]:
    """Writers, counters, latency, rollbacks."""
    for writers in WRITERS:
        yield writers, "one", 0, False
    for latency in LATENCIES if connection.vendor != "sqlite" else ():
        yield BUSIEST, "one", latency, False
    yield BUSIEST, "own", 0, False
    yield BUSIEST, "one", 0, True


def cells() -> Iterator[Cell]:
    """pgbench takes part where there is one counter, and every transaction commits."""
    for shape in shapes():
        for party in contestants():
            usual = isinstance(party, PgBench) and shape[1::2] == ("one", False)
            if party.create or usual:
                yield Cell(party.name, *shape)


def alternating(cells: Iterable[Cell]) -> list[tuple[Cell, int]]:
    """The turns of the cells; what is compared first has more of them."""
    pairs = turns(cells, COMPARED_PASSES)
    return [(cell, turn) for cell, turn in pairs if cell.is_compared or turn < PASSES]


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[int, int | None]]:
    """Where the server is to be found, by the latency of the network; None for its own port."""
    with ExitStack() as stack:
        found: dict[int, int | None] = {0: None}
        if connection.vendor != "sqlite":
            host = connection.settings_dict["HOST"] or "127.0.0.1"
            port = int(connection.settings_dict["PORT"])
            for latency in LATENCIES:
                proxy = Proxy(port, host=host, latency=latency / 2)
                found[latency] = stack.enter_context(proxy).port
        yield found


@pytest.mark.parametrize(TURNS, alternating(cells()), ids=str)
def test_contention(
    cell: Cell, turn: int, tally: Tally, writers: Writers, ports: dict[int, int | None]
) -> None:
    measure(cell, tally, writers, ports[cell.latency])


def measure(cell: Cell, tally: Tally, writers: Writers, port: int | None = None) -> None:
    """Measure once, check the numbers, and add it all to the tally."""
    contestant, number = by_name(cell.contestant), range(cell.writers)
    contestant.clear()
    if isinstance(contestant, PgBench):
        seconds = contestant.load(cell.writers, cell.seconds, port)
        rows = sum(1 for _ in contestant.numbers())
        outcomes = [Outcome(ONE, committed=rows)]  # it says no more of each
    else:
        task = functools.partial(Task, cell.contestant, rollbacks=cell.rollbacks, port=port)
        seconds, outcomes = writers.run([task(cell.scope(one), cell.seconds) for one in number])
    tally.add(seconds, outcomes, contestant)
