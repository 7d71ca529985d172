"""Contention: how many rows per second do several writers number, and at what wait?

Each cell is a number of writers, processes all, on one counter or on one each, at some latency of
the network, with or without rollbacks. After each turn the numbers must be exact before its speed
counts.
"""

from __future__ import annotations

import re
import statistics
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection

from benchmarks.contestants import by_name, contestants
from benchmarks.contestants.base import Contestant
from benchmarks.contestants.limits import PgBench
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

    @property
    def is_compared(self) -> bool:
        """Is it what the charts and ratios show first?"""
        busiest = (self.writers, self.counters, self.rollbacks) == (BUSIEST, "one", False)
        return busiest and self.latency <= 1

    @property
    def seconds(self) -> float:
        """How long a turn is."""
        if not self.is_compared:
            return SECONDS
        patient = connection.vendor == "sqlite" and self.contestant in PATIENT
        return SQLITE_SECONDS if patient else COMPARED_SECONDS

    def turns(self) -> Iterator[int]:
        yield from range(COMPARED_PASSES if self.is_compared else PASSES)

    def scope(self, writer: int) -> str:
        return "one" if self.counters == "one" else f"w{writer}"


PATIENT = ("SequenceField", "get_next_value", "django-sequences")
"""Whose fairness on SQLite is measured for as long as it takes."""


PGBENCH = re.compile(r"actually processed: (\d+).*^tps = ([\d.]+)", re.DOTALL | re.MULTILINE)
"""What pgbench says of its run: how many transactions, and how many per second."""


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
    rolled_back: int = 0
    faults: list[str] = field(default_factory=list)
    """What was wrong with the numbers."""

    gapless: bool = True
    """Is it a fault if the numbers aren't exact?"""

    def result(self) -> dict[str, Any]:
        """The figures; where the numbers weren't exact, there is no speed."""
        exact = not self.faults if self.gapless else None
        result: dict[str, Any] = {
            "committed": self.committed,
            "rolled_back": self.rolled_back,
            "errors": dict(self.errors),
            "exact": exact,
            "fault": self.faults[0] if self.faults else None,
        }
        if exact is False or not self.committed:
            return result
        result["rate"] = round(statistics.median(self.rates), 1)
        result["turns"] = [round(rate, 1) for rate in self.rates]
        result["fairness"] = self.fairness()
        result["seconds"] = round(self.seconds, 1)
        if len(self.waits) > 1:
            quantiles = statistics.quantiles(self.waits, n=100)
            for percent in (50, 95, 99):
                result[f"p{percent}"] = round(quantiles[percent - 1] * 1e3, 3)
        return result

    def add(self, seconds: float, outcomes: list[Outcome], contestant: Contestant) -> None:
        """Add a turn, and check the numbers that it left."""
        committed: Counter[str] = Counter()
        for writer, outcome in enumerate(outcomes):
            committed[outcome.scope] += outcome.committed
            self.rolled_back += outcome.rolled_back
            self.writers[writer] += outcome.committed
            self.waits += outcome.waits
            self.errors += outcome.errors
        self.committed += committed.total()
        self.seconds += seconds
        self.rates.append(committed.total() / seconds)
        self.gapless = contestant.gapless
        if self.gapless and (fault := fault_in(committed, contestant.numbers(), contestant.last)):
            self.faults.append(fault)

    def fairness(self) -> float | None:
        """What the slowest writer committed, as a part of what the fastest did."""
        counts = self.writers.values()
        return round(min(counts) / max(counts), 3) if len(counts) > 1 else None


def shapes() -> Iterator[tuple[int, str, int, bool]]:
    """Writers, counters, latency, rollbacks."""
    for writers in WRITERS:
        yield writers, "one", 0, False
    for writers in WRITERS:
        if writers > 1:  # one writer alone has one counter, whichever way it is put
            yield writers, "own", 0, False
    if connection.vendor != "sqlite":
        for counters in ("one", "own"):
            for latency in LATENCIES:
                yield BUSIEST, counters, latency, False
    yield BUSIEST, "one", 0, True


def turns() -> list[tuple[Cell, int]]:
    """pgbench takes part where there is one counter, and every transaction commits."""
    return alternating(
        [
            Cell(party.name, *shape)
            for shape in shapes()
            for party in contestants()
            if party.stores_rows or (isinstance(party, PgBench) and shape[1::2] == ("one", False))
        ]
    )


def alternating(cells: list[Any]) -> list[tuple[Any, int]]:
    """All cells with their first turns, then all with their second ones, and so on."""
    found = [(cell, turn) for cell in cells for turn in cell.turns()]
    return sorted(found, key=lambda pair: pair[1])


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


@pytest.mark.parametrize(("cell", "turn"), turns(), ids=str)
def test_contention(
    cell: Cell, turn: int, tally: Tally, writers: Writers, ports: dict[int, int | None]
) -> None:
    measure(cell, tally, writers, ports[cell.latency])


def measure(cell: Cell, tally: Tally, writers: Writers, port: int | None = None) -> None:
    """Measure once, check the numbers, and add it all to the tally."""
    contestant = by_name(cell.contestant)
    contestant.clear()
    if isinstance(contestant, PgBench):
        seconds, outcomes = pgbench(contestant, cell, port)
    else:
        tasks = [
            Task(cell.contestant, cell.scope(n), cell.seconds, cell.rollbacks, port)
            for n in range(cell.writers)
        ]
        seconds, outcomes = writers.run(tasks)
    tally.add(seconds, outcomes, contestant)


def pgbench(contestant: PgBench, cell: Cell, port: int | None) -> tuple[float, list[Outcome]]:
    """The same statement by pgbench; how many it committed is what the table holds."""
    settings: dict[str, Any] = contestant.connection.settings_dict
    host = settings["HOST"] if port is None else "127.0.0.1"
    command = ["pgbench", "-n", "-M", "prepared", "-f", "-", "-h", host, "-U", settings["USER"]]
    command += ["-p", str(port or settings["PORT"]), "-c", str(cell.writers)]
    # It counts in whole seconds.
    command += ["-j", str(min(2, cell.writers)), "-T", str(max(1, round(cell.seconds)))]
    done = subprocess.run(
        [contestant.program or "", *command[1:], settings["NAME"]],
        input=contestant.script(),
        env={"PGPASSWORD": settings["PASSWORD"] or ""},
        capture_output=True,
        text=True,
    )
    said = PGBENCH.search(done.stdout)
    if done.returncode or said is None:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    # Without the time to connect, which the other writers' clocks leave out, too.
    taken = float(said[1]) / float(said[2])
    counts = Counter(scope for scope, _ in contestant.numbers())
    return taken, [Outcome(scope, committed=count) for scope, count in counts.items()]
