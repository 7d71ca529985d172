"""Growth: does a call cost more with many counters, for many numbers, or under an open snapshot?

While a snapshot is open, the database can't remove row versions that it might read. Each number
taken adds a version of the counter's row, and on PostgreSQL every later call scans all of them.
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

from benchmarks.contestants import by_name, contestants
from benchmarks.contestants.base import empty
from benchmarks.questions import TURNS, turns
from benchmarks.questions.rows import settle, store, transactions
from benchmarks.scale import URL, scaled
from sequences_core import get_next_value, get_next_values
from sequences_core.models import Counter
from tests.servers.probe import connect

COUNTERS = scaled((10, 1000), (10, 1000, 10**6))
BATCHES = scaled((1, 100, 10**6), (1, 100, 10_000, 10**6))
PASSES = scaled(2, 5)
CALLS = scaled(100, 300)
TAKES, SECONDS = scaled((10_000, 2), (10**6, 20))
"""The limits of the calls under an open snapshot: a number and a duration."""

CHUNK = 250
"""The calls per transaction under an open snapshot."""

OPEN = {
    "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "mysql": "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    "sqlite": "BEGIN",
}
"""The statement that begins a snapshot."""

FUNCTION = "get_next_value"


@dataclass(frozen=True)
class Cell:
    contestant: str
    growth: str
    """counters: random counters of a table with that many; counter: always the same one of them;
    numbers: a batch of that size; snapshot: calls while a snapshot is open."""
    size: int


NUMBERS = [Cell(FUNCTION, "numbers", size) for size in BATCHES]


@pytest.mark.parametrize(TURNS, turns(NUMBERS, PASSES), ids=str)
def test_numbers(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    arguments = (cell.size, f"{cell.size} numbers {turn}")
    with transactions() as renew:
        last = benchmark.pedantic(
            get_next_values, arguments, setup=renew, rounds=CALLS, warmup_rounds=1
        )
    assert last[-1] == (CALLS + 1) * cell.size


# All turns of one size follow one another, because filling the table takes longer than measuring.
COUNTED = [
    pair
    for size in COUNTERS
    for pair in turns([Cell(FUNCTION, kind, size) for kind in ("counters", "counter")], PASSES)
]


@pytest.mark.parametrize(TURNS, COUNTED, ids=str)
def test_counters(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    fill(cell.size)
    chance = random.Random(turn)
    with transactions() as renew:

        def setup() -> Any:
            renew()
            number = chance.randrange(cell.size) if cell.growth == "counters" else cell.size // 2
            return (f"c{number}",), {}

        benchmark.pedantic(get_next_value, setup=setup, rounds=CALLS, warmup_rounds=10)


def fill(size: int) -> None:
    """Create that many counters, unless they exist."""
    if not Counter.objects.filter(pk=f"c{size - 1}").exists():
        empty(Counter)
        store(Counter, "name last", ((f"c{number}", 0) for number in range(size)))


# The contestants that take "looping" calls keep their counters in a table (name, last).
COUNTING = [one.name for one in contestants() if "looping" in one.calls]
SNAPSHOTS = [Cell(name, "snapshot", TAKES) for name in COUNTING if "backend" not in name]


@pytest.mark.parametrize("cell", SNAPSHOTS if connection.vendor in OPEN else [], ids=str)
def test_snapshot(benchmark: Any, times: Any, cell: Cell) -> None:
    """Time calls after the snapshot's end; the details have the slope while it is open."""
    contestant = by_name(cell.contestant)
    table = contestant.models[-1]._meta.db_table
    take, seconds = contestant.calls["plain"], list[float]()

    def call() -> None:
        start = time.perf_counter()
        take("snapshot")
        seconds.append(time.perf_counter() - start)

    empty(*contestant.models)
    settle(table)
    with contestant.active(), transactions() as renew:
        take("snapshot")
        with snapshot(table):
            deadline = time.monotonic() + SECONDS
            # A line needs two points.
            while len(seconds) < 2 * CHUNK or (
                len(seconds) < TAKES and time.monotonic() < deadline
            ):
                with transaction.atomic():
                    for _ in range(CHUNK):
                        call()
        benchmark.pedantic(call, setup=renew, rounds=CALLS, warmup_rounds=20)
    # Fit a straight line to the median of each chunk, which ignores outliers.
    chunks = range(0, len(seconds) - CALLS - 20, CHUNK)
    costs = [statistics.median(seconds[chunk : chunk + CHUNK]) * 1e6 for chunk in chunks]
    slope = statistics.linear_regression(chunks, costs).slope
    times.details |= {"taken": len(costs) * CHUNK, "slope": slope}


@contextmanager
def snapshot(table: str) -> Iterator[None]:
    """Keep a read-only transaction open that has read the table."""
    with closing(connect(os.environ[URL])) as reader:
        cursor = reader.cursor()
        cursor.execute(OPEN[connection.vendor])
        cursor.execute(f"SELECT COUNT(*) FROM {table}")
        cursor.fetchall()
        yield
