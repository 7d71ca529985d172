"""Call: how long does one call take, and one row with its number?

In a transaction that is open, and by itself, commit included; and what does the core's import add
to a process that starts Django?
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection, transaction

from benchmarks.contestants import by_name, contestants
from benchmarks.contestants.base import ONE, Contestant
from benchmarks.questions.transactions import Transactions
from benchmarks.scale import scaled

WARMUP = 20
"""Calls before the timed ones: the first creates the counter, others fill caches."""

VARIANTS = ("plain", "batch", "looping", "nowait", "row")

PASSES = scaled(3, 14)
ROUNDS = scaled(30, 100)
STARTS = scaled(2, 15)


@dataclass(frozen=True)
class Cell:
    contestant: str
    variant: str
    """plain, batch (of 100), looping, nowait; or row, a row with its number."""
    mode: str
    """transaction: in one that is open; autocommit: by itself, with its commit; process."""


def has(contestant: Contestant, variant: str) -> bool:
    return contestant.stores_rows if variant == "row" else variant in contestant.calls()


def cells() -> Iterator[tuple[Cell, int]]:
    """What is compared is measured side by side, in another order each turn.

    For a server may still be busy with what the cell before has left behind, rows above all.
    """
    fit = contestants()
    for turn in range(PASSES):
        chance = random.Random(turn)
        for mode in ("transaction", "autocommit"):
            for variant in chance.sample(VARIANTS, len(VARIANTS)):
                names = [one.name for one in fit if has(one, variant)]
                for name in chance.sample(names, len(names)):
                    yield Cell(name, variant, mode), turn


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


@pytest.mark.parametrize(("cell", "turn"), list(cells()), ids=str)
def test_call(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    contestant = by_name(cell.contestant)
    name = f"{cell.contestant}, {cell.variant}, {cell.mode}, turn {turn}"
    scope = ONE if cell.variant == "row" else name
    with contestant.active(), Transactions(contestant.alias) as transactions:
        if cell.variant == "row":
            contestant.clear()
        last = benchmark.pedantic(
            target(contestant, cell),
            args=(scope,),
            setup=transactions.renew if cell.mode == "transaction" else None,
            rounds=ROUNDS,
            warmup_rounds=WARMUP,
        )
    calls = ROUNDS + WARMUP
    if cell.variant == "row":
        numbers = sorted(number for _, number in contestant.numbers())
        assert not contestant.gapless or numbers == list(range(1, calls + 1))
    elif contestant.kind != "limit":
        assert last == expected(cell, calls)


START = """
import django.db
from django.conf import settings
settings.configure(INSTALLED_APPS={apps}, DATABASES={{"default": {{"ENGINE": "{engine}"}}}})
django.setup()
django.db.connection.ops
"""

PROCESSES = [Cell(name, "start", "process") for name in ("Django", "Django with sequences_core")]


@pytest.mark.parametrize("turn", range(STARTS))
@pytest.mark.parametrize("cell", PROCESSES, ids=str)
def test_start(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    """A process that sets Django up, database backend included, and ends."""
    apps = ["sequences_core"] if cell.contestant.endswith("sequences_core") else []
    text = START.format(apps=apps, engine=connection.settings_dict["ENGINE"])
    start = [sys.executable, "-c", text]
    benchmark.pedantic(subprocess.check_call, args=(start,), rounds=1, warmup_rounds=turn == 0)
