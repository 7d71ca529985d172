"""Growth: does a call cost more with many counters, for many numbers, after many calls?"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from benchmarks.contestants import by_name, contestants
from benchmarks.contestants.base import empty
from benchmarks.environment import URL
from benchmarks.questions.snapshots import OPEN, kept, snapshot
from benchmarks.questions.transactions import Transactions
from benchmarks.scale import current
from sequences_core import get_allocator

SCALE = current()

CHUNK = 250
"""Takes under a snapshot whose median makes one point of the curve, in one transaction."""

TABLES = {"django-sequences": "sequences_sequence"}
"""Where the counters are, if not in our table."""

OUR_TABLE = "sequences_core_counter"

SETTLE = {"postgresql": ["VACUUM ANALYZE", "CHECKPOINT"], "sqlite": ["PRAGMA wal_checkpoint(FULL)"]}
"""What ends the server's work on the rows that were filled in."""


@dataclass(frozen=True)
class Cell:
    contestant: str
    growth: str
    """counters: of a table, any of them; counter: one and the same in a table of so many; numbers:
    of a batch; snapshot: takes while one is open."""
    size: int
    storage: str
    """chosen: the table as migrate makes it; default: with the database's own settings."""
    turn: int

    def __str__(self) -> str:
        storage = ", default storage" if self.storage == "default" else ""
        return f"{self.contestant}, {self.size} {self.growth}{storage}, turn {self.turn}"

    @property
    def table(self) -> str:
        return table_of(self.contestant)


def parties() -> list[str]:
    """Those that take blocks from counters in a table (name, last)."""
    return [one.name for one in contestants() if "batch" in one.calls()]


def table_of(contestant: str) -> str:
    return TABLES.get(contestant, OUR_TABLE)


def tables() -> list[str]:
    return sorted({table_of(name) for name in parties()})


def counter_cells() -> Iterator[Cell]:
    """Table after table: two large ones together would not fit into memory by default."""
    for size in SCALE.counters:
        for table in tables():
            names = [name for name in parties() if table_of(name) == table]
            for turn in range(SCALE.growth_passes):
                for name in names:
                    yield Cell(name, "counters", size, "chosen", turn)
                    yield Cell(name, "counter", size, "chosen", turn)


def batch_cells() -> Iterator[Cell]:
    for turn in range(SCALE.growth_passes):
        for size in SCALE.batches:
            for name in parties():
                yield Cell(name, "numbers", size, "chosen", turn)


def snapshot_cells() -> Iterator[Cell]:
    if connection.vendor in OPEN:
        for name in parties():
            if "backend" not in name:
                yield Cell(name, "snapshot", SCALE.snapshot_takes, "chosen", 0)
        if connection.vendor == "postgresql":
            yield Cell("get_next_value", "snapshot", SCALE.snapshot_takes, "default", 0)


@pytest.mark.parametrize("cell", list(batch_cells()), ids=str)
def test_numbers(benchmark: Any, cell: Cell) -> None:
    contestant = by_name(cell.contestant)
    name = f"{cell.contestant}, {cell.size} numbers {cell.turn}"
    with contestant.active(), Transactions() as transactions:
        last = benchmark.pedantic(
            contestant.block,
            args=(name, cell.size),
            setup=transactions.renew,
            rounds=SCALE.growth_calls,
            warmup_rounds=1,
        )
    assert last[-1] == (SCALE.growth_calls + 1) * cell.size


@pytest.mark.parametrize("cell", list(counter_cells()), ids=str)
def test_counters(benchmark: Any, cell: Cell) -> None:
    contestant = by_name(cell.contestant)
    fill(cell.table, cell.size)
    chance = random.Random(cell.turn)
    with contestant.active(), Transactions() as transactions:

        def setup() -> Any:
            transactions.renew()
            number = chance.randrange(cell.size) if cell.growth == "counters" else cell.size // 2
            return (counter_name(number, cell.size),), {}

        benchmark.pedantic(
            contestant.calls()["plain"], setup=setup, rounds=SCALE.growth_calls, warmup_rounds=10
        )


@pytest.mark.parametrize("cell", list(snapshot_cells()), ids=str)
def test_snapshot(benchmark: Any, cell: Cell) -> None:
    """What is timed by the benchmark is a call after the snapshot's end; the rest is "details"."""
    contestant = by_name(cell.contestant)
    empty(connection, tables())
    settle(cell.table)
    if cell.storage == "default":
        get_allocator(connection).uninstall(connection)
    take = contestant.calls()["plain"]
    with contestant.active():
        try:
            before = median_of(take, 200)
            kept_before = kept(cell.table)
            with snapshot(os.environ[URL], cell.table):
                curve = list(takes(take, SCALE.snapshot_takes, SCALE.snapshot_seconds))
                kept_during = kept(cell.table)
            with Transactions() as transactions:
                benchmark.pedantic(
                    take,
                    args=("snapshot",),
                    setup=transactions.renew,
                    rounds=SCALE.growth_calls,
                    warmup_rounds=20,
                )
            kept_after = kept(cell.table)
        finally:
            if cell.storage == "default":
                get_allocator(connection).install(connection)
    benchmark.extra_info["details"] = {
        "before": round(before * 1e6, 1),
        "curve": thinned(curve),
        "fit": [round(figure, 5) for figure in line_through(curve)],
        "kept": {"before": kept_before, "during": kept_during, "after": kept_after},
    }


def takes(take: Callable[[str], Any], count: int, seconds: float) -> Iterator[tuple[int, float]]:
    """How many numbers are taken, and the median µs of the last few; until count or time is up."""
    deadline = time.monotonic() + seconds
    for done in range(CHUNK, count + 1, CHUNK):
        yield done, round(median_of(take, CHUNK) * 1e6, 1)
        if time.monotonic() > deadline:
            return


def median_of(take: Callable[[str], Any], count: int) -> float:
    """The median time of so many calls in a transaction, in seconds."""
    times = []
    with transaction.atomic():
        for _ in range(count):
            start = time.perf_counter()
            take("snapshot")
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def line_through(curve: list[tuple[int, float]]) -> tuple[float, float]:
    """The µs of the first call, and what each number taken adds to the next: a straight line."""
    if len(curve) < 2:
        return curve[0][1], 0.0
    slope, intercept = statistics.linear_regression(*zip(*curve, strict=True))
    return intercept, slope


def thinned(curve: list[tuple[int, float]], points: int = 60) -> list[tuple[int, float]]:
    """At most so many points, each the median of its neighbours."""
    step = max(1, len(curve) // points)
    groups = [curve[start : start + step] for start in range(0, len(curve), step)]
    return [(group[-1][0], statistics.median(cost for _, cost in group)) for group in groups]


def counter_name(number: int, size: int) -> str:
    if size <= 1000:
        return f"c{number:03}"
    return f"c{number // 1000:03}c{number % 1000:03}"


def fill(table: str, size: int) -> None:
    """Make the table hold that many counters, or leave it if it does."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {table} WHERE name LIKE %s", ["c%"])
        if cursor.fetchone()[0] >= size:
            return
        empty(connection, tables())
        names = [(f"c{number:03}",) for number in range(min(size, 1000))]
        cursor.executemany(f"INSERT INTO {table} (name, last) VALUES (%s, 0)", names)
        if size > 1000:
            both = "CONCAT(a.name, b.name)" if connection.vendor == "mysql" else "a.name || b.name"
            cursor.execute(
                f"INSERT INTO {table} (name, last) SELECT {both}, 0 FROM {table} a, {table} b"
            )
    settle(table)


def settle(table: str) -> None:
    with connection.cursor() as cursor, suppress(DatabaseError):  # CHECKPOINT may be forbidden
        for statement in SETTLE.get(connection.vendor, ()):
            cursor.execute(f"{statement} {table}" if statement.startswith("VACUUM") else statement)
