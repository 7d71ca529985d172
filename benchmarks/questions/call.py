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
from benchmarks.questions.rows import Transactions
from benchmarks.scale import scaled

PASSES = scaled(3, 14)
ROUNDS = scaled(30, 100)
STARTS = scaled(2, 15)

WARMUP = 20
"""Calls before the timed ones: the first creates the counter, others fill caches."""

VARIANTS = ("plain", "batch", "looping", "nowait", "row")


@dataclass(frozen=True)
class Cell:
    contestant: str
    variant: str
    """plain, batch (of 100), looping, nowait; row: a row with its number; start: of a process."""
    mode: str
    """transaction: in one that is open; autocommit: by itself, with its commit; process."""


def cells() -> Iterator[tuple[Cell, int]]:
    """What is compared is measured side by side, in another order each turn.

    For a server may still be busy with what the cell before has left behind, rows above all.
    """
    for turn in range(PASSES):
        chance = random.Random(turn)
        for mode in ("transaction", "autocommit"):
            for variant in chance.sample(VARIANTS, len(VARIANTS)):
                names = [
                    one.name
                    for one in contestants()
                    if (one.create if variant == "row" else variant in one.calls)
                ]
                for name in chance.sample(names, len(names)):
                    yield Cell(name, variant, mode), turn


@pytest.mark.parametrize(("cell", "turn"), list(cells()), ids=str)
def test_call(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    contestant = by_name(cell.contestant)
    scope = f"{cell.contestant}, {cell.variant}, {cell.mode}, turn {turn}"
    if cell.variant == "row":
        scope = ONE
        contestant.clear()
    with contestant.active(), Transactions(contestant.alias) as transactions:
        last = benchmark.pedantic(
            target(contestant, cell),
            args=(scope,),
            setup=transactions.renew if cell.mode == "transaction" else None,
            rounds=ROUNDS,
            warmup_rounds=WARMUP,
        )
        numbers = sorted(number or 0 for _, number in contestant.numbers())
    calls = ROUNDS + WARMUP
    if cell.variant == "row":
        assert not contestant.gapless or numbers == list(range(1, calls + 1))
    elif contestant.kind != "limit":
        batch, looping = range(calls * 100 - 99, calls * 100 + 1), (calls - 1) % 999 + 1
        assert last == {"batch": batch, "looping": looping}.get(cell.variant, calls)


def target(contestant: Contestant, cell: Cell) -> Callable[[str], Any]:
    if cell.variant == "row":
        inside = cell.mode == "transaction"
        return contestant.create if inside and contestant.create else contestant.issue
    call = contestant.calls[cell.variant]
    by_itself = cell.mode == "autocommit" and contestant.needs_transaction
    return transaction.atomic(call) if by_itself else call


START = """
import django.db
from django.conf import settings
settings.configure(INSTALLED_APPS={apps}, DATABASES={{"default": {{"ENGINE": "{engine}"}}}})
django.setup()
django.db.connection.ops
"""

APPS = {"Django": [], "Django with sequences_core": ["sequences_core"]}


@pytest.mark.parametrize("turn", range(STARTS))
@pytest.mark.parametrize("cell", [Cell(name, "start", "process") for name in APPS], ids=str)
def test_start(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    """A process that sets Django up, database backend included, and ends."""
    engine = connection.settings_dict["ENGINE"]
    command = [sys.executable, "-c", START.format(apps=APPS[cell.contestant], engine=engine)]
    benchmark.pedantic(subprocess.check_call, (command,), rounds=1, warmup_rounds=turn == 0)
