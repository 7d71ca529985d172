"""Call: how long does one call take, and one row with its number?

In a transaction that is open, and by itself, commit included. Each cell gets its turn several
times, so that a machine that slows down meanwhile slows down all of them alike.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction

from benchmarks.contestants import by_name, contestants
from benchmarks.contestants.base import ONE, Contestant
from benchmarks.questions.transactions import Transactions
from benchmarks.scale import current

WARMUP = 20
"""Calls before the timed ones: the first creates the counter, others fill caches."""

VARIANTS = ("plain", "batch", "looping", "nowait", "row")

SCALE = current()


@dataclass(frozen=True)
class Cell:
    contestant: str
    variant: str
    """plain, batch (of 100), looping, nowait; or row, a row with its number."""
    mode: str
    """transaction: in one that is open; autocommit: by itself, with its commit."""
    turn: int

    def __str__(self) -> str:
        return f"{self.contestant}, {self.variant}, {self.mode}, turn {self.turn}"


def has(contestant: Contestant, variant: str) -> bool:
    return contestant.stores_rows if variant == "row" else variant in contestant.calls()


def cells() -> Iterator[Cell]:
    """What is compared is measured side by side, in another order each turn.

    For a server may still be busy with what the cell before has left behind, rows above all.
    """
    fit = contestants()
    for turn in range(SCALE.call_passes):
        chance = random.Random(turn)
        for mode in ("transaction", "autocommit"):
            for variant in chance.sample(VARIANTS, len(VARIANTS)):
                names = [one.name for one in fit if has(one, variant)]
                for name in chance.sample(names, len(names)):
                    yield Cell(name, variant, mode, turn)


def target(contestant: Contestant, cell: Cell) -> Callable[[str], Any]:
    if cell.variant == "row":
        return contestant.create if cell.mode == "transaction" else contestant.issue
    call = contestant.calls()[cell.variant]
    if cell.mode == "autocommit" and contestant.needs_transaction:
        return transaction.atomic(call)
    return call


def expected(cell: Cell, calls: int) -> Any:
    """What the last of so many calls returns."""
    match cell.variant:
        case "batch":
            return range(calls * 100 - 99, calls * 100 + 1)
        case "looping":
            return (calls - 1) % 999 + 1
        case _:
            return calls


@pytest.mark.parametrize("cell", list(cells()), ids=str)
def test_call(benchmark: Any, cell: Cell) -> None:
    contestant = by_name(cell.contestant)
    scope = ONE if cell.variant == "row" else str(cell)
    with contestant.active(), Transactions(contestant.alias) as transactions:
        if cell.variant == "row":
            contestant.clear()
        last = benchmark.pedantic(
            target(contestant, cell),
            args=(scope,),
            setup=transactions.renew if cell.mode == "transaction" else None,
            rounds=SCALE.call_rounds,
            warmup_rounds=WARMUP,
        )
    calls = SCALE.call_rounds + WARMUP
    if cell.variant == "row":
        numbers = sorted(number for _, number in contestant.numbers())
        assert not contestant.gapless or numbers == list(range(1, calls + 1))
    elif contestant.kind != "limit":
        assert last == expected(cell, calls)
