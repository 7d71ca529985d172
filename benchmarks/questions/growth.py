"""Growth: does a call cost more with many counters, for many numbers, under an open snapshot?

While a snapshot is open, no version of a row that it might read can be removed. Each number taken
leaves one version of its counter behind, and on PostgreSQL every taker walks past all of them.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection, transaction
from sequences.models import Sequence

from benchmarks.contestants import by_name, contestants
from benchmarks.contestants.base import empty
from benchmarks.questions import TURNS, turns
from benchmarks.questions.rows import Transactions, concatenated, integers, settle
from benchmarks.scale import URL, scaled
from sequences_core import get_allocator, get_next_value, get_next_values
from sequences_core.models import Counter
from tests.servers.probe import connect

COUNTERS = scaled((10, 1000), (10, 1000, 10**6))
BATCHES = scaled((1, 100, 10**6), (1, 100, 10_000, 10**6))
PASSES = scaled(2, 5)
CALLS = scaled(100, 300)
TAKES, SECONDS = scaled((10_000, 2), (10**6, 20))
"""Under an open snapshot, whichever ends first."""

CHUNK = 250
"""Takes under a snapshot that make one transaction."""

OPEN = {
    "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "mysql": "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    "sqlite": "BEGIN",
}
"""How a snapshot begins."""

FUNCTION = "get_next_value"

PARTIES = [one.name for one in contestants() if "looping" in one.calls]
"""Those that take from counters in a table (name, last)."""


@dataclass(frozen=True)
class Cell:
    contestant: str
    growth: str
    """counters: of a table, any of them; counter: one and the same in a table of so many; numbers:
    of a batch; snapshot: takes while one is open."""
    size: int
    storage: str = "chosen"
    """chosen: the table as migrate makes it; default: with the database's own settings."""


NUMBERS = [Cell(FUNCTION, "numbers", size) for size in BATCHES]


@pytest.mark.parametrize(TURNS, turns(NUMBERS, PASSES), ids=str)
def test_numbers(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    arguments = (cell.size, f"{cell.size} numbers {turn}")
    with Transactions() as transactions:
        last = benchmark.pedantic(
            get_next_values, arguments, setup=transactions.renew, rounds=CALLS, warmup_rounds=1
        )
    assert last[-1] == (CALLS + 1) * cell.size


# Table after table: to fill one takes longer than to measure.
COUNTED = [
    pair
    for size in COUNTERS
    for pair in turns([Cell(FUNCTION, kind, size) for kind in ("counters", "counter")], PASSES)
]


@pytest.mark.parametrize(TURNS, COUNTED, ids=str)
def test_counters(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    fill(cell.size)
    chance = random.Random(turn)
    with Transactions() as transactions:

        def setup() -> Any:
            transactions.renew()
            number = chance.randrange(cell.size) if cell.growth == "counters" else cell.size // 2
            return (f"c{number}",), {}

        benchmark.pedantic(get_next_value, setup=setup, rounds=CALLS, warmup_rounds=10)


def fill(size: int) -> None:
    """Make the table hold that many counters, or leave it if it does."""
    if Counter.objects.filter(pk=f"c{size - 1}").exists():
        return
    empty(Counter)
    table, name = Counter._meta.db_table, concatenated("'c'", "i")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (name, last) SELECT {name}, 0 FROM {integers(size)} numbers"
        )
    settle(table)


SNAPSHOTS = [
    *(Cell(name, "snapshot", TAKES) for name in PARTIES if "backend" not in name),
    *[Cell(FUNCTION, "snapshot", TAKES, "default")] * (connection.vendor == "postgresql"),
]


@pytest.mark.parametrize("cell", SNAPSHOTS if connection.vendor in OPEN else [], ids=str)
def test_snapshot(benchmark: Any, times: Any, cell: Cell) -> None:
    """What is timed by the benchmark is a call after the snapshot's end; the rest is details."""
    contestant = by_name(cell.contestant)
    table = contestant.models[-1]._meta.db_table
    take, seconds = contestant.calls["plain"], list[float]()

    def call() -> None:
        start = time.perf_counter()
        take("snapshot")
        seconds.append(time.perf_counter() - start)

    with contestant.active(), fresh(table, cell.storage), Transactions() as transactions:
        take("snapshot")
        with snapshot(table):
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline or len(seconds) < 2 * CHUNK:  # a line has two points
                with transaction.atomic():
                    for _ in range(CHUNK):
                        call()
                if len(seconds) >= TAKES:
                    break
        benchmark.pedantic(call, setup=transactions.renew, rounds=CALLS, warmup_rounds=20)
    # A straight line through what is not an outlier: each chunk's median.
    chunks = range(0, len(seconds) - CALLS - 20, CHUNK)
    costs = [statistics.median(seconds[chunk : chunk + CHUNK]) * 1e6 for chunk in chunks]
    slope = statistics.linear_regression(chunks, costs).slope
    times.details |= {"taken": len(costs) * CHUNK, "slope": slope}


@contextmanager
def fresh(table: str, storage: str) -> Iterator[None]:
    """Have no counters, in a table as migrate makes it or as the database does by default."""
    empty(Counter, Sequence)
    settle(table)
    if storage == "chosen":
        yield
        return
    allocator = get_allocator(connection)
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
