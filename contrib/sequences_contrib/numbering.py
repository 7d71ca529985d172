"""How rows get their numbers: one at a time inside or beside the INSERT, many by one block."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model, QuerySet

from sequences_core import get_last_value, set_last_value
from sequences_core.api import database_errors, take
from sequences_core.expressions import refuse_on_conflict

from .reuse import free_numbers

if TYPE_CHECKING:
    from .fields import SequenceField

KEY = "_sequences_insert"


class Insert:
    """Rows that are on their way into a table; each of them knows it meanwhile.

    ``returns`` says whether Django gets the numbers back from the statement.
    ``inside`` are the fields whose number the INSERT takes by itself. All rows get those of the
    other fields together, when the statement asks for the first one: not before, so that other
    fields' ``pre_save`` have set what the scope may need.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        rows: Sequence[Model],
        returns: bool,
        inside: Sequence[SequenceField] = (),
        on_conflict: Any = None,
    ) -> None:
        self.connection = connection
        self.rows = rows
        self.returns = returns
        self.inside = inside
        self.on_conflict = on_conflict
        self._numbers: dict[str, dict[int, int]] = {}

    @contextmanager
    def in_transaction(self, needed: bool) -> Iterator[None]:
        """Let the rows know; with a transaction of its own if one is ``needed`` and none open."""
        autocommit = not self.connection.in_atomic_block and self.connection.get_autocommit()
        using = self.connection.alias
        for row in self.rows:
            setattr(row, KEY, self)  # its __dict__ would be made just for this
        try:
            with (
                database_errors(self.connection),
                transaction.atomic(using, savepoint=False)
                if needed and autocommit
                else nullcontext(),
            ):
                yield
        finally:
            for row in self.rows:
                delattr(row, KEY)

    def number(self, field: SequenceField, row: Model) -> Any:
        """Return the row's number, None for "no number", or the expression that takes it."""
        if field in self.inside:
            return field.next_value(row, self.connection.alias)
        numbers = self._numbers.get(field.attname)
        if numbers is None:
            numbers = self._numbers[field.attname] = _number_rows(field, self)
        number = numbers.get(id(row))
        return field.explicit(row) if number is None else number


class Unnumbered:
    """What ``pre_save`` returns where no statement is under way that it could be for.

    From Django 6.1 on, Model.save() asks once before the statement is made, to see whether it
    gets an expression. A statement made by other means than Django's own takes the number inside.
    """

    __slots__ = ("field", "instance")

    def __init__(self, field: SequenceField, instance: Model) -> None:
        self.field = field
        self.instance = instance

    def resolve_expression(self, query: Any = None, *args: Any, **kwargs: Any) -> Any:
        using = router.db_for_write(type(self.instance), instance=self.instance)
        value = self.field.next_value(self.instance, using)
        return value and value.resolve_expression(query, *args, **kwargs)


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
        if raw or not numbered:
            return insert(self, manager, using, fields, returning_fields, raw)
        connection = connections[using]
        inside = [field for field in numbered if field.is_in_statement(self, connection)]
        returns = connection.features.can_return_columns_from_insert
        asked = [field for field in returning_fields if returns or field not in numbered]
        with Insert(connection, [self], returns, inside).in_transaction(inside != numbered):
            results = insert(self, manager, using, fields, asked, raw)
        known = dict(zip(asked, results[0], strict=False)) if results else {}
        if not returns:
            read = inside or any(_is_expression(self, field) for field in numbered)
            known |= _numbers_of(self, manager, connection, numbered, known, bool(read))
        for field in numbered:
            # The row of a parent may yet be rolled back with the child's.
            if manager.model is self._meta.concrete_model:
                self.__dict__.pop(field.tentative, None)
            elif field.explicit(self) is None:
                self.__dict__[field.tentative] = known.get(field)
        for field, value in known.items():
            setattr(self, field.attname, value)
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
    if len(set(map(id, objs))) < len(objs):
        raise ValueError("bulk_create() has one instance twice, which can't have two numbers")
    connection = connections[self.db]
    returns = connection.features.can_return_rows_from_bulk_insert
    with Insert(connection, objs, returns, (), on_conflict).in_transaction(True):
        return _batched_insert(self, objs, fields, batch_size, on_conflict, *args, **kwargs)


QuerySet._batched_insert = _numbered_insert  # type: ignore[attr-defined]


def _numbered(fields: Iterable[Any]) -> list[SequenceField]:
    from .fields import SequenceField

    return [field for field in fields if isinstance(field, SequenceField)]


def _is_expression(instance: Model, field: SequenceField) -> bool:
    return hasattr(getattr(instance, field.attname), "resolve_expression")


def _numbers_of(
    instance: Model,
    manager: Any,
    connection: BaseDatabaseWrapper,
    numbered: list[SequenceField],
    known: dict[Field[Any, Any], Any],
    read: bool,
) -> dict[Any, Any]:
    """Return the numbers of a row just inserted without RETURNING."""
    if not read:
        return {field: getattr(instance, field.attname) for field in numbered}
    quote: Callable[[Any], str] = connection.ops.quote_name
    options = manager.model._meta
    keys = options.pk_fields
    values = [
        field.get_db_prep_value(known.get(field, getattr(instance, field.attname)), connection)
        for field in keys
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(quote(field.column) for field in numbered)} "
            f"FROM {quote(options.db_table)} "
            f"WHERE {' AND '.join(f'{quote(field.column)} = %s' for field in keys)}",
            values,
        )
        return dict(zip(numbered, cursor.fetchone(), strict=True))


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
        if hasattr(value, "resolve_expression"):
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
            taken = _take(field, new, name, using)
            numbers |= zip(map(id, new), taken, strict=True)
            if not insert.returns:
                tentative = field.tentative
                for row in new:
                    number = numbers[id(row)]
                    setattr(row, attname, number)
                    setattr(row, tentative, number)
    return numbers


def _pass(field: SequenceField, instance: Model, name: str, value: int, using: str) -> None:
    """Move the counter past an explicit value, unless it is or will start past it."""
    if get_last_value(name, using=using) is None:
        initial = field.initial_value
        if value < (initial(instance) if callable(initial) else initial):
            return
    with suppress(ValueError):
        set_last_value(value, name, using=using)


def _take(field: SequenceField, rows: list[Model], name: str, using: str) -> Iterable[int]:
    if field.reuse:
        return free_numbers(field, rows, name, using)
    if field.reset_value is not None:
        return [take(field.allocation(row, name), using)[0] for row in rows]
    return take(field.allocation(rows[0], name, len(rows)), using)
