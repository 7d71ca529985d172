"""Posting: what does it cost to number documents when they are posted, and to audit them?"""

from __future__ import annotations

import time
import tracemalloc
from collections import Counter
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Model
from sequences_contrib.audit import audit
from sequences_contrib.posting import assign_numbers

from benchmarks.contestants import by_name, contestants
from benchmarks.contestants.base import ONE, empty
from benchmarks.contestants.posting import LATER, NAMES, ORDER, VALUES, WORKER, post
from benchmarks.models import Bill, BillByHand, Posted
from benchmarks.questions import TURNS, turns
from benchmarks.questions.figures import Tally, fault_in
from benchmarks.questions.rows import store
from benchmarks.questions.writers import Task, run
from benchmarks.scale import BUSIEST, scaled
from sequences_core import get_next_value, get_next_values
from sequences_core.models import Counter as CounterRow

PASSES = scaled(1, 4)
SECONDS = scaled(1.0, 3.0)
"""The duration of the inserts of a turn."""
ASSIGNED, UPDATED, AUDITED = scaled((10_000, 1000, 100_000), (100_000, 10_000, 10**6))
"""The numbers of existing rows."""
CREATED = 50

MANY = 1000
"""The number of counters in the cells with more than one."""

BATCH = 1000
"""The rows that bulk_update writes in one transaction."""


@dataclass(frozen=True)
class Cell:
    contestant: str
    posting: str
    """inserts: 8 writers of one counter; one, many: existing rows of one or many counters; audit;
    create."""
    rows: int = 0


INSERTS = [Cell(one.name, "inserts") for one in contestants(NAMES)]


@pytest.mark.parametrize(TURNS, turns(INSERTS, PASSES), ids=str)
def test_inserts(cell: Cell, turn: int, tally: Tally) -> None:
    """Measure until the last row has its number."""
    contestant = by_name(cell.contestant)
    contestant.clear()
    names = [cell.contestant] * BUSIEST + [WORKER] * (cell.contestant == LATER)
    seconds, outcomes = run([Task(name, ONE, SECONDS) for name in names])
    for worker in outcomes[BUSIEST:]:
        tally.errors += worker.errors
        start = time.monotonic()
        post()
        seconds += time.monotonic() - start
    tally.add(seconds, outcomes[:BUSIEST], contestant)


CREATE = (Cell("FormattedNumberField", "create"), Cell("get_next_value, by hand", "create"))


@pytest.mark.parametrize(TURNS, turns(CREATE, PASSES * 6), ids=str)
def test_create(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    """Measure in short turns: the server may be busy with what the last cells wrote."""

    def by_field() -> None:
        Bill.objects.create(**VALUES, posted=True)

    def by_hand() -> None:
        with transaction.atomic():
            number = get_next_value("bills.1")
            values = {"number": number, "text": f"INV-1-{number:05d}"}
            BillByHand.objects.create(**VALUES, posted=True, **values)

    empty(Bill, CounterRow)
    create = by_field if cell == CREATE[0] else by_hand
    benchmark.pedantic(create, rounds=CREATED, warmup_rounds=5)
    check(CREATED + 5)


ASSIGN = (
    Cell("assign_numbers", "one", ASSIGNED),
    Cell("bulk_update", "one", UPDATED),
    Cell("assign_numbers", "many", ASSIGNED),
)


@pytest.mark.parametrize(TURNS, turns(ASSIGN, PASSES), ids=str)
def test_assign(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    fill(Bill, cell)
    in_sql = partial(assign_numbers, Bill.objects.all(), order_by=ORDER)
    benchmark.pedantic(in_sql if cell.contestant == "assign_numbers" else by_orm, rounds=1)
    check(cell.rows)


def by_orm() -> None:
    """Number the rows of one counter with Django's bulk_update()."""
    drafts = BillByHand.objects.filter(number=None).order_by(*ORDER)
    while rows := list(drafts[:BATCH]):
        with transaction.atomic():
            for row, number in zip(rows, get_next_values(len(rows), "bills.0"), strict=True):
                row.number, row.text = number, f"INV-{row.company}-{number:05d}"
            BillByHand.objects.bulk_update(rows, ["number", "text"])


def check(rows: int) -> None:
    """Fail unless all rows have exact numbers and the right texts."""
    bills = list(Bill.objects.values_list("company", "number", "text"))
    assert all(text == f"INV-{company}-{number:05d}" for company, number, text in bills)
    numbers = [(f"bills.{company}", number) for company, number, _ in bills]
    lasts = dict(CounterRow.objects.values_list("name", "last"))
    assert len(bills) == rows
    assert fault_in(Counter(name for name, _ in numbers), numbers, lasts.get) is None


@pytest.mark.parametrize(TURNS, turns([Cell("audit", "audit", AUDITED)], PASSES), ids=str)
def test_audit(benchmark: Any, times: Any, cell: Cell, turn: int) -> None:
    """Time an audit of existing rows; the first turn also measures Python's peak memory."""
    if turn == 0:
        fill(Posted, cell, numbered=True)
        last = cell.rows // MANY
        store(CounterRow, "name last", ((f"posted.{number}", last) for number in range(MANY)))
        tracemalloc.start()
        audit(Posted)
        times.details["megabytes"] = round(tracemalloc.get_traced_memory()[1] / 1e6, 1)
        tracemalloc.stop()
    found = benchmark.pedantic(audit, args=(Posted,), rounds=1)
    assert len(found) == MANY
    assert all(one.is_clean and one.rows == cell.rows // MANY for one in found)


def fill(model: type[Model], cell: Cell, *, numbered: bool = False) -> None:
    """Store posted documents with mixed dates."""
    empty(model, CounterRow)
    counters = 1 if cell.posting == "one" else MANY

    def row(number: int) -> tuple[object, ...]:
        day = date(2026, 1 + number % 9, 1)
        return number % counters, day, True, number // MANY + 1 if numbered else None

    store(model, "company issued_on posted number", map(row, range(cell.rows)))
