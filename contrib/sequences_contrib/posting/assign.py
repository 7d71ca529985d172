"""``assign_numbers()``: number all rows that have become due, in batches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.core.exceptions import ObjectDoesNotExist
from django.db import connections
from django.db.models import Model, QuerySet

from sequences_core import run_atomic
from sequences_core.arguments import check_integer
from sequences_core.locking import store
from sequences_core.taking import in_users_transaction, take

from ..places import STATEMENTS
from ..rules import Rules, check_block
from ..scopes import rows_in
from ..taking import lock_counter, take_numbers
from .drafts import Drafts, Order, check_queryset, numbered_field, reads_other_tables
from .statements import number_rows

BATCH = 5000
"""Rows of one transaction. Others that need the same counter wait up to half a second for it."""

ATTEMPTS = 20
"""How often a batch is run at most if it fails with a serialization failure or deadlock."""

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Assigned:
    """The result of ``assign_numbers()``."""

    numbers: dict[str, tuple[int, int]]
    """The first and the last number of each counter; others may have taken some in between."""

    rows: int
    """How many rows were numbered."""

    skipped: int
    """How many due rows were not numbered.

    Others had locked or just added them, or a field of their text's format is null.
    """

    @property
    def counters(self) -> int:
        """How many counters have given numbers."""
        return len(self.numbers)


class _NoRow(Exception):
    """There is no row to number, so the transaction that took numbers must be rolled back."""


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
    """Number the rows of the queryset that have no number and for which ``when`` is true.

    Each batch of a counter is one transaction: it locks the counter, then the rows, and numbers
    them with one UPDATE. If the process is killed, only complete batches are stored, and another
    call continues. Concurrent calls, saves that take numbers, and changes or deletions of drafts
    are safe.

    :param order_by: the names of the model's own fields, with ``-`` for descending order. The order
        must be unambiguous. Null comes before everything else.
    :param batch_size: the maximum number of rows in a transaction.
    :param locked: ``"skip"`` skips rows that others have locked, so a later call gives them higher
        numbers; ``"wait"`` waits for them, to keep the order. MariaDB before 10.6 can't skip rows
        and always waits. A field with ``ascending`` needs ``"wait"``, and an order that begins with
        that field.
    :param progress: a function that is called after each batch with the number of rows numbered so
        far, and the total.
    :param using: the database alias; by default the one that the router returns.
    :raises TypeError, ValueError: an argument is invalid. No query is run in this case.
    :raises OutOfOrder, SequenceExhausted: a row breaks a rule of the field. Earlier batches are
        committed, but nothing of this one.
    :raises RuntimeError: a transaction is open, so batches can't be committed.
    """
    check_queryset(queryset)
    field = numbered_field(queryset.model, field_name)
    order = Order(field.model, order_by)
    batch_size = check_integer("batch_size", batch_size)
    if batch_size < 1:
        raise ValueError("batch_size must be at least 1")
    if locked not in ("skip", "wait"):
        raise ValueError(f"locked must be 'skip' or 'wait', not {locked!r}")
    if field.ascending is not None:
        _check_order(field, order, locked)
    alias = using or queryset.select_for_update().db  # the one to write to
    if in_users_transaction(connections[alias]):
        raise RuntimeError(
            f"assign_numbers() commits each batch, but a transaction is open on database "
            f"{alias!r}: call it outside atomic()"
        )
    work = _Work(Drafts(queryset, field, order, alias), batch_size, locked == "skip")
    return work.run(progress or _say_nothing)


def _check_order(field: Any, order: Order, locked: str) -> None:
    """Raise ValueError unless the rows are numbered in the order of the ``ascending`` field."""
    dates = field.model._meta.get_field(field.ascending)
    if order.columns[0] != (dates, False):
        raise ValueError(f"{field} ascends with {dates}: order_by must begin with {dates.name!r}")
    if locked == "skip":
        raise ValueError(
            f"{field} ascends with {dates}, but a skipped row would be out of order later: use "
            f"locked='wait'"
        )


class _Work:
    """One call of ``assign_numbers()``."""

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
        vendor = self.connection.vendor
        # On MySQL and MariaDB, the UPDATE would lock the rows that texts are read from.
        reads = vendor == "mysql" and any(map(reads_other_tables, field.texts))
        self.by_statement = consecutive and known and not reads and vendor in STATEMENTS

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
                # Rows that others have locked, or add in the meantime, are left to the next call.
                count = count - size if len(given) == size else 0
        left = {} if rows == total else self.drafts.counters()
        return Assigned(numbers, rows, sum(count for _, count in left.values()))

    def _number(self, name: str, sample: Model, size: int) -> Sequence[int]:
        """Number a batch of rows of one counter; lock the counter before the rows."""
        if callable(self.field.initial_value):  # it gets a stored row
            sample = self.drafts.like(sample).first() or sample
        number = self._number_by_statement if self.by_statement else self._number_one_by_one
        given = number(name, sample, size)
        if not self._is_like(sample, name):
            raise _NoRow
        return given

    def _is_like(self, sample: Model, name: str) -> bool:
        """Return whether the counter still numbers this row, and so the rows of the batch.

        A row on the scope's path may have changed since the rows were counted.
        """
        try:
            return bool(self.field.counter_of(sample, self.using) == name)
        except ObjectDoesNotExist:
            return False

    def _number_by_statement(self, name: str, sample: Model, size: int) -> Sequence[int]:
        """Number a batch in SQL."""
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
            store(self.using, name, taken[done - 1])
        return taken[:done]

    def _number_one_by_one(self, name: str, sample: Model, size: int) -> Sequence[int]:
        """Number a batch with the ORM: on other databases, or if numbers aren't consecutive."""
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
            known = text.affixes(rows, self.connection)
            for row, number, affixes in zip(rows, numbers, known, strict=True):
                setattr(row, text.attname, text.text(affixes, number))
        names = [field.name for field in (self.field, *self.field.texts)]
        rows_in(self.field.model, self.using).bulk_update(rows, names, batch_size=500)
        return numbers

    def _chosen(self, sample: Model, size: int) -> QuerySet[Any]:
        """Return the rows to be numbered, as a queryset that locks them."""
        try:
            chosen = self.drafts.locked(sample, size, skip=self.skip)
        except ObjectDoesNotExist as error:  # a row on the scope's path was deleted
            raise _NoRow from error
        if not self.skip and self.connection.features.has_select_for_update:
            # Rows that were locked by others may have been changed, so that the first rows of the
            # order are different ones now.
            seen, found = None, list(chosen.values_list("pk", flat=True))
            while found != seen:
                seen, found = found, list(chosen.values_list("pk", flat=True))
        if self.connection.vendor == "mysql":
            # An UPDATE locks the rows of all tables that it reads, those of subqueries included:
            # https://dev.mysql.com/doc/refman/8.4/en/innodb-locks-set.html. Others may have locked
            # rows of a parent model and wait for the counter or for a draft. So first lock the
            # drafts by a SELECT, which locks no rows of a subquery.
            pks = list(chosen.values_list("pk", flat=True))
            if not pks:
                raise _NoRow
            return self.drafts.locked_already(pks)
        return chosen


def _say_nothing(done: int, total: int) -> None:
    pass
