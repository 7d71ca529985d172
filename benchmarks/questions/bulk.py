"""Bulk: how much time do numbers add to a bulk_create of many rows?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from benchmarks.contestants import by_name, contestants
from benchmarks.contestants.base import ONE
from benchmarks.questions import TURNS, turns
from benchmarks.scale import scaled

ROWS = scaled(1000, 10_000)
PASSES = scaled(2, 20)


@dataclass(frozen=True)
class Cell:
    contestant: str
    rows: int = ROWS


CELLS = [Cell(one.name) for one in contestants() if one.bulk]


@pytest.mark.parametrize(TURNS, turns(CELLS, PASSES), ids=str)
def test_bulk(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    """Time one bulk_create in autocommit, for which Django opens a transaction."""
    contestant = by_name(cell.contestant)
    with contestant.active():
        # This warms caches, such as that of the backend, and stores nothing.
        contestant.issue(ONE, rollback=True)
        contestant.clear()
        benchmark.pedantic(contestant.bulk, (cell.rows,), rounds=1)
        numbers = sorted(number or 0 for _, number in contestant.numbers())
    assert not contestant.gapless or numbers == list(range(1, cell.rows + 1))
