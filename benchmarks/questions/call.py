"""Call: how long does a call take in an open transaction, and a numbered row with its commit?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from benchmarks.contestants import by_name, contestants
from benchmarks.contestants.base import ONE
from benchmarks.questions import TURNS, turns
from benchmarks.questions.rows import transactions
from benchmarks.scale import scaled

PASSES = scaled(3, 14)
ROUNDS = scaled(30, 100)

WARMUP = 20
"""Untimed calls before the timed ones: the first creates the counter, others warm caches."""


@dataclass(frozen=True)
class Cell:
    contestant: str
    variant: str
    """plain, looping, nowait: a call in an open transaction; row: a numbered row and its commit."""


CELLS = [
    Cell(one.name, variant)
    for variant in ("plain", "looping", "nowait", "row")
    for one in contestants()
    if (one.create if variant == "row" else variant in one.calls)
]


@pytest.mark.parametrize(TURNS, turns(CELLS, PASSES), ids=str)
def test_call(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    contestant = by_name(cell.contestant)
    is_row = cell.variant == "row"
    scope = ONE if is_row else f"{cell.contestant}, {cell.variant}, turn {turn}"
    if is_row:
        contestant.clear()
    with contestant.active(), transactions(contestant.alias) as renew:
        last = benchmark.pedantic(
            contestant.issue if is_row else contestant.calls[cell.variant],
            args=(scope,),
            setup=None if is_row else renew,
            rounds=ROUNDS,
            warmup_rounds=WARMUP,
        )
        numbers = sorted(number or 0 for _, number in contestant.numbers())
    calls = ROUNDS + WARMUP
    if is_row:
        assert not contestant.gapless or numbers == list(range(1, calls + 1))
    elif contestant.kind != "limit":
        assert last == ((calls - 1) % 999 + 1 if cell.variant == "looping" else calls)
