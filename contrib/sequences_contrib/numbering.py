"""How rows get their numbers: one at a time inside or beside the INSERT, many by one block."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Self

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet, Value

from sequences_core import Allocation, SequenceExhausted, get_last_value, set_last_value
from sequences_core.api import begin, database_errors, take
from sequences_core.expressions import refuse_on_conflict

from . import fields as sequence_fields  # which imports this module, too
from . import readback
from .reuse import free_numbers

if TYPE_CHECKING:
    from .fields import SequenceField


class Insert:
    """Rows that are on their way into a table; a context manager.

    ``inside`` are the fields whose number the INSERT takes by itself. All rows get those of the
    other fields together, when the statement asks for the first one: not before, so that other
    fields' ``pre_save`` have set what the scope may need, and so that the counter, on SQLite the
    database, is locked no longer than it must be.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        rows: Sequence[Model],
        inside: Sequence[SequenceField] = (),
        on_conflict: Any = None,
    ) -> None:
        self.connection = connection
        self.rows = rows
        self.ids = set(map(id, rows))
        self.inside = inside
        self.on_conflict = on_conflict
        self.outer: Insert | None = None
        self.numbers: dict[str, dict[int, int]] = {}
        self._transaction: Any = None

    def __enter__(self) -> Self:
        self.outer = _innermost.get()
        _innermost.set(self)
        return self

    def __exit__(self, *exception: Any) -> None:
        _innermost.set(self.outer)
        if self._transaction:
            self._transaction.__exit__(*exception)

    def is_innermost(self) -> bool:
        """Is no other INSERT under way, that a ``pre_save`` has made?"""
        return _innermost.get() is self

    def number(self, field: SequenceField, row: Model) -> Any:
        """Return the row's number, None for "no number", or the expression that takes it."""
        if field.attname not in self.numbers:
            if field in self.inside:
                return field.next_value(row, self.connection.alias)
            self._begin(field)
            self.numbers[field.attname] = _number_rows(field, self)
        number = self.numbers[field.attname].get(id(row))
        return field.explicit(row) if number is None else number

    def tell(self) -> None:
        """Set the numbers on the rows, where the database doesn't return them."""
        for attname, numbers in self.numbers.items():
            for row in self.rows:
                if (number := numbers.get(id(row))) is not None:
                    setattr(row, attname, number)
                elif is_expression(getattr(row, attname)) and row.pk is not None:
                    delattr(row, attname)  # to be read from the row

    def _begin(self, field: SequenceField) -> None:
        """Let the numbers and the rows part no more: with a transaction, if none is open."""
        if not self.connection.in_atomic_block and self.connection.get_autocommit():
            self._transaction = begin(self.connection.alias, field.limit)


_innermost: ContextVar[Insert | None] = ContextVar("_innermost", default=None)


def number(field: SequenceField, row: Model) -> Any:
    """Return what the INSERT that is under way stores as the row's number."""
    insert = _innermost.get()
    if insert is not None:
        # Nearly all rows of a bulk end here, so the way is short.
        known = insert.numbers.get(field.attname, {}).get(id(row))
        if known is not None:
            return known
        if id(row) in insert.ids:
            return insert.number(field, row)
    value = field.explicit(row)
    return Unnumbered(field, row) if value is None else value


class Unnumbered:
    """The number of a row where no statement is under way that it could be for.

    From Django 6.1 on, Model.save() asks once before the statement is made, to see whether it
    gets an expression. A statement made by other means than Django's own takes the number inside.
    """

    __slots__ = ("field", "instance")

    def __init__(self, field: SequenceField, instance: Model) -> None:
        self.field = field
        self.instance = instance

    def resolve_expression(self, query: Any = None, *args: Any, **kwargs: Any) -> Any:
        using = router.db_for_write(type(self.instance), instance=self.instance)
        value = self.field.next_value(self.instance, using) or Value(None)
        return value.resolve_expression(query, *args, **kwargs)


def number_inserts(cls: type[Model]) -> None:
    """Let the INSERT of each instance of ``cls`` give it its number, also without RETURNING.

    ``Model._do_insert`` is where Django knows the database and that it will be an INSERT.
    """
    insert = cls._do_insert  # type: ignore[attr-defined]
    if getattr(insert, "keeps_numbers", False):
        return

    @functools.wraps(insert)
    def _do_insert(
        self: Model, manager: Any, using: str, fields: Any, returning_fields: Any, raw: bool
    ) -> Any:
        numbered = _numbered(fields)
        complete = manager.model is self._meta.concrete_model  # with the rows of its parents
        if raw or not numbered:
            results = insert(self, manager, using, fields, returning_fields, raw)
            if complete and self._meta.parents:
                _keep_numbers(self)
            return results
        connection = connections[using]
        inside = [field for field in numbered if field.is_in_statement(self, connection)]
        returns = connection.features.can_return_columns_from_insert
        # A key that is the database's default can't be told without RETURNING, by Django neither.
        reads = not returns and not _has_expression(self, manager.model._meta.pk_fields)
        reads = reads and bool(inside or _has_expression(self, numbered))
        asked = [field for field in returning_fields if returns or field not in numbered]
        known: dict[Any, Any] = {}
        # The row of a parent may yet be rolled back with the child's.
        tentative = [field for field in numbered if not complete and field.explicit(self) is None]
        under_way = Insert(connection, [self], inside)
        with (
            database_errors(connection, ours=False),
            under_way,
            readback.along(under_way, manager, numbered, fields, known) if reads else nullcontext(),
        ):
            results = insert(self, manager, using, fields, asked, raw)
        if results:
            known |= zip(asked, results[0], strict=False)
        if not returns:
            under_way.tell()
            if reads and not all(field in known for field in numbered):
                known |= readback.after(self, manager, connection, numbered, known)
        for field, value in known.items():
            setattr(self, field.attname, value)
        for field in tentative:
            self.__dict__[field.tentative] = getattr(self, field.attname)
        if complete and self._meta.parents:
            _keep_numbers(self)
        if not returns:
            known |= {field: getattr(self, field.attname) for field in numbered}
        if not (returns or results):
            return results
        return [tuple(known[field] for field in takewhile(known.__contains__, returning_fields))]

    _do_insert.keeps_numbers = True  # type: ignore[attr-defined]
    cls._do_insert = _do_insert  # type: ignore[attr-defined]


_batched_insert = QuerySet._batched_insert  # type: ignore[attr-defined]


@functools.wraps(_batched_insert)
def _numbered_insert(
    self: Any,
    objs: Sequence[Model],
    fields: Any,
    batch_size: int | None,
    on_conflict: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Let bulk_create() take one block for all its batches, in their transaction."""
    if not _numbered(fields):
        return _batched_insert(self, objs, fields, batch_size, on_conflict, *args, **kwargs)
    connection = connections[self.db]
    insert = Insert(connection, objs, (), on_conflict)
    if len(insert.ids) < len(objs):
        raise ValueError("bulk_create() has one instance twice, which can't have two numbers")
    with (
        database_errors(connection, ours=False),
        # As Model.save() does. From Django 6.0 on bulk_create() does so for several batches only.
        transaction.mark_for_rollback_on_error(using=self.db),
        insert,
    ):
        results = _batched_insert(self, objs, fields, batch_size, on_conflict, *args, **kwargs)
    if not connection.features.can_return_rows_from_bulk_insert:
        insert.tell()
    return results


QuerySet._batched_insert = _numbered_insert  # type: ignore[attr-defined]


def _numbered(fields: Iterable[Any]) -> list[SequenceField]:
    return [field for field in fields if isinstance(field, sequence_fields.SequenceField)]


def is_expression(value: Any) -> bool:
    """Is it the database that will say the value?"""
    return hasattr(value, "resolve_expression")


def _has_expression(instance: Model, fields: Iterable[Any]) -> bool:
    return any(is_expression(getattr(instance, field.attname)) for field in fields)


def _keep_numbers(instance: Model) -> None:
    """The row is complete: from now on its numbers are values like any other."""
    for field in _numbered(instance._meta.concrete_fields):
        instance.__dict__.pop(field.tentative, None)


def _number_rows(field: SequenceField, insert: Insert) -> dict[int, int]:
    """Take the numbers of all rows; return them by the instances' ids."""
    using = insert.connection.alias
    groups: dict[str, tuple[list[Model], list[tuple[Model, int]]]] = {}
    attname, scope_of = field.attname, field.scope_of
    seen: dict[Any, list[Model]] = {}
    for row in insert.rows:
        value = getattr(row, attname)
        if value is None and scope_of and (alike := seen.get(scope_of(row))) is not None:
            alike.append(row)
            continue
        value = field.explicit(row)
        if is_expression(value):
            continue  # numbered by an expression of the user's own
        name = field.counter_of(row, using)
        if name is None:
            continue
        new, explicit = groups.setdefault(name, ([], []))
        if value is not None:
            explicit.append((row, field.get_prep_value(value)))
            continue
        new.append(row)
        if scope_of:
            seen[scope_of(row)] = new
    numbers: dict[int, int] = {}
    # In the order of their names, so that two statements never wait for each other.
    for name, (new, explicit) in sorted(groups.items()):
        if explicit:
            highest = max(number for _, number in explicit)
            _pass(field, explicit[0][0], name, highest, using)
            numbers |= {id(row): number for row, number in explicit}
        if new:
            refuse_on_conflict(insert)
            taken = _take(field, new, name, using, {number for _, number in explicit})
            numbers |= zip(map(id, new), taken, strict=True)
    return numbers


def _pass(field: SequenceField, instance: Model, name: str, value: int, using: str) -> None:
    """Move the counter past an explicit value, unless it is or will start past it."""
    if get_last_value(name, using=using) is None:
        initial = field.initial_value
        if value < (initial(instance) if callable(initial) else initial):
            return
    if field.limit is None or value < 0:
        with suppress(ValueError):
            set_last_value(value, name, using=using)
        return
    # What bounds the wait is taking; the counter is locked by then, and may go back.
    with suppress(SequenceExhausted):
        last = take(Allocation(name, timeout=field.limit), using)[0] - 1
        set_last_value(max(value, last), name, force=True, using=using)


def _take(
    field: SequenceField, rows: list[Model], name: str, using: str, explicit: Collection[int]
) -> Iterable[int]:
    if field.reuse:
        return free_numbers(field, rows, name, using, explicit)
    if field.reset_value is not None:
        return [take(field.allocation(row, name), using)[0] for row in rows]
    return take(field.allocation(rows[0], name, len(rows)), using)
