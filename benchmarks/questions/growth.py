"""Growth: does a call cost more with many counters, for many numbers, under an open snapshot?

While a snapshot is open, no version of a row that it might read can be removed. Each number taken
leaves one version of its counter behind, and on PostgreSQL every taker walks past all of them.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection, transaction

from benchmarks.contestants import by_name, contestants
from benchmarks.contestants.base import empty
from benchmarks.questions.rows import concatenated, integers, settle
from benchmarks.questions.transactions import Transactions
from benchmarks.scale import URL, scaled
from sequences_core import get_allocator
from tests.servers.probe import connect

COUNTERS = scaled((10, 1000), (10, 1000, 10**6))
BATCHES = scaled((1, 100, 10**6), (1, 100, 10_000, 10**6))
PASSES = scaled(2, 5)
CALLS = scaled(100, 300)
TAKES, SECONDS = scaled((10_000, 2), (10**6, 20))
"""Under an open snapshot, whichever ends first."""

CHUNK = 250
"""Takes under a snapshot whose median makes one point of the curve, in one transaction."""

TABLES = {"django-sequences": "sequences_sequence"}
"""Where the counters are, if not in our table."""

OUR_TABLE = "sequences_core_counter"

OPEN = {
    "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "mysql": "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    "sqlite": "BEGIN",
}
"""How a snapshot begins."""


@dataclass(frozen=True)
class Cell:
    contestant: str
    growth: str
    """counters: of a table, any of them; counter: one and the same in a table of so many; numbers:
    of a batch; snapshot: takes while one is open."""
    size: int
    storage: str = "chosen"
    """chosen: the table as migrate makes it; default: with the database's own settings."""


def parties() -> list[str]:
    """Those that take blocks from counters in a table (name, last)."""
    return [one.name for one in contestants() if "batch" in one.calls()]


def table_of(contestant: str) -> str:
    return TABLES.get(contestant, OUR_TABLE)


def tables() -> list[str]:
    return sorted({table_of(name) for name in parties()})


def numbers() -> Iterator[tuple[Cell, int]]:
    for turn in range(PASSES):
        for size in BATCHES:
            for name in parties():
                yield Cell(name, "numbers", size), turn


def counters() -> Iterator[tuple[Cell, int]]:
    """Table after table: two large ones together would not fit into memory by default."""
    for size in COUNTERS:
        for table in tables():
            names = [name for name in parties() if table_of(name) == table]
            for turn in range(PASSES):
                for name in names:
                    yield Cell(name, "counters", size), turn
                    yield Cell(name, "counter", size), turn


def snapshots() -> Iterator[Cell]:
    if connection.vendor in OPEN:
        for name in parties():
            if "backend" not in name:
                yield Cell(name, "snapshot", TAKES)
        if connection.vendor == "postgresql":
            yield Cell("get_next_value", "snapshot", TAKES, "default")


@pytest.mark.parametrize(("cell", "turn"), list(numbers()), ids=str)
def test_numbers(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    contestant = by_name(cell.contestant)
    name = f"{cell.contestant}, {cell.size} numbers {turn}"
    with contestant.active(), Transactions() as transactions:
        last = benchmark.pedantic(
            contestant.block,
            args=(name, cell.size),
            setup=transactions.renew,
            rounds=CALLS,
            warmup_rounds=1,
        )
    assert last[-1] == (CALLS + 1) * cell.size


@pytest.mark.parametrize(("cell", "turn"), list(counters()), ids=str)
def test_counters(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    contestant = by_name(cell.contestant)
    fill(table_of(cell.contestant), cell.size)
    chance = random.Random(turn)
    with contestant.active(), Transactions() as transactions:

        def setup() -> Any:
            transactions.renew()
            number = chance.randrange(cell.size) if cell.growth == "counters" else cell.size // 2
            return (f"c{number}",), {}

        benchmark.pedantic(contestant.calls()["plain"], setup=setup, rounds=CALLS, warmup_rounds=10)


def fill(table: str, size: int) -> None:
    """Make the table hold that many counters, or leave it if it does."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {table} WHERE name LIKE %s", ["c%"])
        if cursor.fetchone()[0] == size:
            return
        empty(connection, tables())
        name = concatenated("'c'", "i")
        cursor.execute(
            f"INSERT INTO {table} (name, last) SELECT {name}, 0 FROM {integers(size)} numbers"
        )
    settle(table)


@pytest.mark.parametrize("cell", list(snapshots()), ids=str)
def test_snapshot(benchmark: Any, times: Any, cell: Cell) -> None:
    """What is timed by the benchmark is a call after the snapshot's end; the rest is details."""
    contestant, table = by_name(cell.contestant), table_of(cell.contestant)
    empty(connection, tables())
    settle(table)
    take = contestant.calls()["plain"]
    with contestant.active(), storage(cell.storage):
        median_of(take, CHUNK)
        with snapshot(table):
            curve = list(takes(take))
        with Transactions() as transactions:
            renew = transactions.renew
            benchmark.pedantic(take, ("snapshot",), setup=renew, rounds=CALLS, warmup_rounds=20)
    # A straight line: the µs of the first call, and what each number taken adds to the next.
    slope, first = statistics.linear_regression(*zip(*curve, strict=True))
    times.details |= {"taken": curve[-1][0], "first": round(first, 1), "slope": round(slope, 5)}


@contextmanager
def storage(storage: str) -> Iterator[None]:
    """Have the table as migrate makes it, or as the database does by default."""
    allocator = get_allocator(connection)
    if storage == "default":
        allocator.uninstall(connection)
    yield
    allocator.install(connection)


@contextmanager
def snapshot(table: str) -> Iterator[None]:
    """Keep a read-only transaction open that has seen the table."""
    with closing(connect(os.environ[URL])) as reader:
        cursor = reader.cursor()
        cursor.execute(OPEN[connection.vendor])
        cursor.execute(f"SELECT COUNT(*) FROM {table}")
        cursor.fetchall()
        yield


def takes(take: Callable[[str], Any]) -> Iterator[tuple[int, float]]:
    """How many numbers are taken, and the median µs of the last few; until all or time is up."""
    deadline = time.monotonic() + SECONDS
    for done in range(CHUNK, TAKES + 1, CHUNK):
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
