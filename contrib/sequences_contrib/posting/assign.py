"""``assign_numbers``: number the rows that wait for it, all at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.core.exceptions import ObjectDoesNotExist
from django.db import connections
from django.db.models import Model, QuerySet

from sequences_core import run_atomic, set_last_value
from sequences_core.arguments import check_integer
from sequences_core.taking import in_users_transaction, take

from ..numbering import lock_counter, take_numbers
from ..places import STATEMENTS
from ..rules import Rules, check_block
from ..scopes import rows_in
from .drafts import Drafts, Order, check_queryset, numbered_field
from .statements import number_rows

BATCH = 5000
"""Rows: half a second at the most, for which takers of the same counter wait."""

ATTEMPTS = 20
"""How often a batch that lost a conflict is run at the most."""

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Assigned:
    """What a call has done."""

    numbers: dict[str, tuple[int, int]]
    """By counter: the first and the last number given; others may have taken some between."""

    rows: int
    """How many rows were numbered."""

    skipped: int
    """How many rows were to be numbered and weren't: others had locked or were adding them."""

    @property
    def counters(self) -> int:
        """How many counters numbers were taken from."""
        return len(self.numbers)


class _NoRow(Exception):
    """Nothing is to be numbered, so that the transaction with the number taken is undone."""


def assign_numbers(
    queryset: QuerySet[Any],
    field_name: str = "number",
    *,
    order_by: Sequence[str] = ("pk",),
    batch_size: int = BATCH,
    locked: Literal["skip", "wait"] = "skip",
    progress: Progress | None = None,
    using: str | None = None,
) -> Assigned:
    """Number the rows of the queryset that have no number and fulfil the field's ``when``.

    Each batch of a counter is a transaction of its own: first the counter is locked, then the rows,
    and one UPDATE numbers them. So whoever is killed leaves whole batches, and who calls this again
    goes on; two calls at once, saves that take numbers, and people who change, move or delete
    drafts don't disturb it.

    :param order_by: names of the model's own fields, ``-`` before those that descend; of two rows
        it must always say which comes first. Null comes before everything else.
    :param batch_size: how many rows at the most are numbered in a transaction.
    :param locked: ``"skip"`` leaves out rows that others have locked, so that they get a higher
        number by a later call; ``"wait"`` waits for them, to keep to the order. A field that is
        ``ascending`` needs "wait", and an order that begins with its dates.
    :param progress: called after each batch with the number of rows done, and of those to do.
    :param using: the database alias; by default the router says.
    :raises TypeError, ValueError: for bad arguments, before the database is touched.
    :raises OutOfOrder, SequenceExhausted: what the field asks of dates and numbers isn't so; the
        batches before are committed, and nothing of this one.
    :raises RuntimeError: a transaction is open: each batch is to be committed by itself.
    """
    check_queryset(queryset)
    field = numbered_field(queryset.model, field_name)
    order = Order(field.model, order_by)
    batch_size = check_integer("batch_size", batch_size)
    if batch_size < 1:
        raise ValueError("batch_size is at least 1")
    if locked not in ("skip", "wait"):
        raise ValueError(f"locked is 'skip' or 'wait', not {locked!r}")
    if field.ascending is not None:
        _check_order(field, order, locked)
    alias = using or queryset.select_for_update().db  # the one to write to
    if in_users_transaction(connections[alias]):
        raise RuntimeError(
            f"assign_numbers() commits each batch by itself, and a transaction is open on database "
            f"{alias!r}: call it outside atomic()"
        )
    work = _Work(Drafts(queryset, field, order, alias), batch_size, locked == "skip")
    return work.run(progress or _say_nothing)


def _check_order(field: Any, order: Order, locked: str) -> None:
    """Raise ValueError if rows could be numbered in another order than that of their dates."""
    dates = field.model._meta.get_field(field.ascending)
    if order.columns[0] != (dates, False):
        raise ValueError(f"{field} ascends with {dates}: begin order_by with {dates.name!r}")
    if locked == "skip":
        raise ValueError(
            f"{field} ascends with {dates}, and a row that is skipped would come too late: give "
            f"locked='wait'"
        )


class _Work:
    """One call."""

    def __init__(self, drafts: Drafts, batch_size: int, skip: bool) -> None:
        self.drafts = drafts
        self.field = drafts.field
        self.connection = drafts.connection
        self.using = drafts.connection.alias
        self.batch_size = batch_size
        self.skip = skip
        field = self.field
        consecutive = field.reset_value is None and not field.reuse and not field.skip_used
        known = not callable(field.maximum)
        self.by_statement = consecutive and known and self.connection.vendor in STATEMENTS

    def run(self, progress: Progress) -> Assigned:
        counters = self.drafts.counters()
        total = sum(count for _, count in counters.values())
        rows, numbers = 0, dict[str, tuple[int, int]]()
        for name, (sample, count) in counters.items():
            while count > 0:
                size = min(self.batch_size, count)
                batch = functools.partial(self._number, name, sample, size)
                try:
                    given = run_atomic(batch, attempts=ATTEMPTS, using=self.using)
                except _NoRow:
                    break
                numbers[name] = (numbers.get(name, given)[0], given[-1])
                rows += len(given)
                progress(rows, total)
                # What others have locked stays; what they add meanwhile is for the next call.
                count = count - size if len(given) == size else 0
        left = {} if rows == total else self.drafts.counters()
        return Assigned(numbers, rows, sum(count for _, count in left.values()))

    def _number(self, name: str, sample: Model, size: int) -> Sequence[int]:
        """Number a batch of the rows of one counter; the counter is locked before any row."""
        if callable(self.field.initial_value):  # which is asked about a row that is there
            sample = self.drafts.like(sample).first() or sample
        number = self._number_by_statement if self.by_statement else self._number_one_by_one
        given = number(name, sample, size)
        if not self._is_like(sample, name):
            raise _NoRow
        return given

    def _is_like(self, sample: Model, name: str) -> bool:
        """Does the counter still number this row, and so those that were chosen by it?

        Somebody may have changed what the scope's path leads to since the rows were counted.
        """
        try:
            return bool(self.field.counter_of(sample, self.using) == name)
        except ObjectDoesNotExist:
            return False

    def _number_by_statement(self, name: str, sample: Model, size: int) -> Sequence[int]:
        """Do so in SQL."""
        taken = take(self.field.allocation(sample, name, size), self.using)
        chosen = self._chosen(sample, size)
        done = number_rows(self.connection, self.field, self.drafts.order, chosen, taken[0] - 1)
        if not done:
            raise _NoRow
        if self.field.has_rules:
            numbered = self.field.rows_of(sample, self.using)
            first = numbered.get(**{self.field.attname: taken[0]})
            check_block(self.field, name, first, taken[:done], self.using)
        if done < size:
            set_last_value(taken[done - 1], name, force=True, using=self.using)
        return taken[:done]

    def _number_one_by_one(self, name: str, sample: Model, size: int) -> Sequence[int]:
        """Do so with the ORM, for other databases and for numbers that aren't consecutive."""
        lock_counter(self.field, sample, name, self.using)
        rows = list(self._chosen(sample, size))[:size]
        if not rows:
            raise _NoRow
        numbers = list(take_numbers(self.field, rows, name, self.using, set()))
        for row, number in zip(rows, numbers, strict=True):
            setattr(row, self.field.attname, number)
        if self.field.has_rules:
            Rules(self.field, name, rows, []).check(self.using)
        for text in self.field.texts:
            known = text.format.affixes(rows, self.connection)
            for row, number, affixes in zip(rows, numbers, known, strict=True):
                setattr(row, text.attname, text.text(affixes, number))
        names = [field.name for field in (self.field, *self.field.texts)]
        rows_in(self.field.model, self.using).bulk_update(rows, names, batch_size=500)
        return numbers

    def _chosen(self, sample: Model, size: int) -> QuerySet[Any]:
        """Return the rows to be numbered, which are locked as soon as they are read."""
        try:
            chosen = self.drafts.locked(sample, size, skip=self.skip)
        except ObjectDoesNotExist as error:  # what the scope's path leads to was deleted
            raise _NoRow from error
        if not self.skip and self.connection.features.has_select_for_update:
            # Those that it waited for may have come to another place, and others to theirs.
            seen, found = None, list(chosen.values_list("pk", flat=True))
            while found != seen:
                seen, found = found, list(chosen.values_list("pk", flat=True))
        return chosen


def _say_nothing(done: int, total: int) -> None:
    pass
