"""How rows get their numbers: one at a time inside or beside the INSERT, many by one block."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, Exists, Field, Max, Model, OuterRef, QuerySet
from django.db.models.sql.compiler import SQLInsertCompiler

from sequences_core import SequenceExhausted, get_last_value, set_last_value
from sequences_core.api import database_errors, take
from sequences_core.arguments import MAX_VALUE
from sequences_core.expressions import refuse_on_conflict
from sequences_core.models import Counter

if TYPE_CHECKING:
    from .fields import SequenceField


class Number:
    """What a field's ``pre_save`` stands in for the number, until the INSERT is compiled.

    Only then are all rows of the statement known, and the connection. To Django's compiler it is
    an expression that :meth:`resolved` turns into a plain value, or into NextValue.
    """

    __slots__ = ("field", "instance", "query")
    contains_aggregate = contains_over_clause = contains_column_references = False

    def __init__(self, field: SequenceField, instance: Model) -> None:
        self.field = field
        self.instance = instance
        self.query: Any = None

    def resolve_expression(self, query: Any, *args: Any, **kwargs: Any) -> Number:
        self.query = query
        return self

    def resolved(self, connection: BaseDatabaseWrapper) -> Any:
        """Return the number, None for "no number", or the expression that takes it."""
        field, query = self.field, self.query
        if len(query.objs) == 1 and field.is_in_statement(self.instance, connection):
            return field.next_value(self.instance, query, connection.alias)
        # The query lives as long as the statement; by the column, for a field is slow to hash.
        blocks: dict[str | None, dict[int, int]] = query.__dict__.setdefault("sequences_blocks", {})
        numbers = blocks.get(field.column)
        if numbers is None:
            numbers = blocks[field.column] = _number_rows(field, query, connection)
        number = numbers.get(id(self.instance))
        return field.explicit(self.instance) if number is None else number


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
        from .fields import SequenceField

        numbered = [field for field in fields if isinstance(field, SequenceField)]
        if raw or not numbered:
            return insert(self, manager, using, fields, returning_fields, raw)
        connection = connections[using]
        autocommit = not connection.in_atomic_block and connection.get_autocommit()
        alone = autocommit and all(f.is_in_statement(self, connection) for f in numbered)
        returns = connection.features.can_return_columns_from_insert
        asked = [field for field in returning_fields if returns or field not in numbered]
        with database_errors(connection):
            results = insert(self, manager, using, fields, asked, raw)
        known = dict(zip(asked, results[0], strict=False)) if results else {}
        if not returns:
            read = alone or any(_is_expression(self, field) for field in numbered)
            known |= _numbers_of(self, manager, using, numbered, known, read)
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


def _together(execute_sql: Callable[..., Any]) -> Callable[..., Any]:
    """Let an INSERT run in one transaction with the statements that take its numbers.

    Every INSERT comes by here before its first statement. Model.save() and, from Django 6.1 on,
    bulk_create() are often in autocommit.
    """

    @functools.wraps(execute_sql)
    def wrapper(compiler: Any, returning_fields: Any = None) -> Any:
        from .fields import SequenceField

        query, connection = compiler.query, compiler.connection
        numbered = [field for field in query.fields if isinstance(field, SequenceField)]
        autocommit = not connection.in_atomic_block and connection.get_autocommit()
        if not numbered or query.raw or not autocommit:
            return execute_sql(compiler, returning_fields)
        # Where nothing can be returned only save() says what it wants, and reads it back.
        single = len(query.objs) == 1 and returning_fields is not None
        if single and all(f.is_in_statement(query.objs[0], connection) for f in numbered):
            return execute_sql(compiler, returning_fields)
        with transaction.atomic(using=connection.alias, savepoint=False):
            return execute_sql(compiler, returning_fields)

    return wrapper


SQLInsertCompiler.execute_sql = _together(SQLInsertCompiler.execute_sql)  # type: ignore[method-assign]


def _is_expression(instance: Model, field: SequenceField) -> bool:
    return hasattr(getattr(instance, field.attname), "resolve_expression")


def _numbers_of(
    instance: Model,
    manager: Any,
    using: str,
    numbered: list[SequenceField],
    known: dict[Field[Any, Any], Any],
    read: bool,
) -> dict[Any, Any]:
    """Return the numbers of a row just inserted without RETURNING."""
    names = [field.attname for field in numbered]
    if not read:
        return {field: getattr(instance, field.attname) for field in numbered}
    pk = manager.model._meta.pk
    row = manager.using(using).filter(pk=known.get(pk, getattr(instance, pk.attname)))
    return dict(zip(numbered, row.values_list(*names).get(), strict=True))


def _number_rows(field: SequenceField, query: Any, connection: Any) -> dict[int, int]:
    """Take the numbers of all rows of one statement; return them by the instances' ids."""
    rows: Sequence[Model] = query.objs
    groups: dict[str, tuple[list[Model], list[tuple[Model, int]]]] = {}
    for row in rows:
        value = field.explicit(row)
        if _is_expression(row, field):
            continue  # numbered by an expression of the user's own
        name = field.counter_of(row, connection.alias)
        if name is None:
            continue
        new, explicit = groups.setdefault(name, ([], []))
        if value is None:
            new.append(row)
        else:
            explicit.append((row, field.get_prep_value(value)))
    features = connection.features
    returns = (
        features.can_return_columns_from_insert
        if len(rows) == 1
        else features.can_return_rows_from_bulk_insert
    )
    tentative = field.tentative
    numbers: dict[int, int] = {}
    # In the order of their names, so that two statements never wait for each other.
    for name, (new, explicit) in sorted(groups.items()):
        if explicit:
            highest = max(number for _, number in explicit)
            _pass(field, explicit[0][0], name, highest, connection.alias)
            numbers |= {id(row): number for row, number in explicit}
        if new:
            refuse_on_conflict(query)
            taken = _take(field, new, name, connection.alias)
            for row, number in zip(new, taken, strict=True):
                numbers[id(row)] = number
                if not returns:
                    row.__dict__[tentative] = row.__dict__[field.attname] = number
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
        return _reuse(field, rows, name, using)
    if field.reset_value is not None:
        return [take(field.allocation(row, name), using)[0] for row in rows]
    return take(field.allocation(rows[0], name, len(rows)), using)


def _reuse(field: SequenceField, rows: list[Model], name: str, using: str) -> Iterable[int]:
    """Take free numbers; the counter is locked before its rows are looked at."""
    # Taking locks the counter as any taker does, with the field's bound on the wait, and a
    # snapshot older than the lock is a conflict. Where the counter ends is known only below.
    taken = take(field.allocation(rows[0], name), using)[0]
    others = field.rows_of(rows[0], using)
    if field.reuse == "gaps":
        numbers = _gaps(others, field, len(rows))
        last = max(taken - 1, numbers[-1])
    else:
        highest = others.aggregate(highest=Max(field.attname))["highest"]
        start = field.first if highest is None else max(highest + 1, field.first)
        numbers = list(range(start, start + len(rows)))
        last = numbers[-1]
    if last > MAX_VALUE:
        raise SequenceExhausted(f"{len(rows)} more of sequence {name!r} would pass {MAX_VALUE}")
    if last != taken:
        Counter.objects.using(using).filter(pk=name).update(last=last)
    return numbers


def _gaps(rows: QuerySet[Any], field: SequenceField, count: int) -> list[int]:
    """Return the lowest numbers that no row has; walks the number's index."""
    attname = field.attname
    following = rows.filter(**{attname: OuterRef(attname) + 1})
    ends = rows.filter(~Exists(following)).order_by(attname).values_list(attname, flat=True)
    begins = rows.order_by(attname).values_list(attname, flat=True)
    free: list[int] = []
    start = field.first
    # Counting an index is much faster than looking for a gap that isn't there.
    known = rows.filter(**{f"{attname}__gte": start}).aggregate(n=Count("pk"), last=Max(attname))
    if known["n"] and known["last"] - start + 1 == known["n"]:
        start += known["n"]
    while len(free) < count:
        used = begins.filter(**{f"{attname}__gte": start}).first()
        if used == start:
            start = ends.filter(**{f"{attname}__gte": start})[:1].get() + 1
            used = begins.filter(**{f"{attname}__gt": start}).first()
        missing = count - len(free)
        stop = start + missing if used is None else min(start + missing, used)
        free += range(start, stop)
        start = stop
    return free
