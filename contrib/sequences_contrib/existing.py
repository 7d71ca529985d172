"""Number existing rows: with one UPDATE where the database supports it, otherwise row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, F, Model, QuerySet, Window
from django.db.models.functions import RowNumber

from sequences_core import get_last_value
from sequences_core.taking import database_errors, take

from .dates import IsoDate
from .groups import Keys, keys_of
from .places import PLACE, STATEMENTS, number_places
from .rules import check_end, maximum_of
from .scopes import fields_of, has_odd_dates, rows_in

CHUNK = 1000
"""How many rows are written by one statement if Python determines their counters."""

ATTEMPTS = 10
"""How often to start over because rows were inserted or deleted in the meantime."""


def number_rows(
    field: Any, order_by: Sequence[str], connection: BaseDatabaseWrapper, *, null: bool
) -> None:
    """Number the rows that have no number, in this order, and set the counters.

    Rows for which the field's condition, ``when``, is false stay without a number.

    :param null: whether rows whose scope is null may stay without a number.
    :raises ValueError: ``null`` is false and the scope of a row is null.
    :raises RuntimeError: rows were inserted or deleted during each attempt.
    """
    order = [*order_by, *({"pk", "-pk"}.isdisjoint(order_by) * ["pk"])]
    by_statement = (
        connection.vendor in STATEMENTS
        and field.reset_value is None
        and not callable(field.maximum)
        and keys_of(field, connection) is not None
        and len(field.model._meta.pk_fields) == 1
    )
    number = _by_statement if by_statement else _one_by_one
    for _ in range(ATTEMPTS):
        # As everywhere in this package, the counters are locked before the rows.
        with (
            database_errors(connection, ours=False),
            transaction.atomic(using=connection.alias),
        ):
            if number(field, order, connection, null):
                return
            transaction.set_rollback(True, using=connection.alias)
    raise RuntimeError(
        f"rows of {field.model._meta.label} were inserted or deleted while they were numbered, in "
        f"{ATTEMPTS} attempts: stop the programs that do so"
    )


def refuse_rows(field: Any, connection: BaseDatabaseWrapper, *, null: bool) -> None:
    """Raise the errors that :func:`number_rows` would raise, before the column is added.

    Not every database removes the column again when a migration fails. The column is not read.

    :raises ValueError: a row has no scope, and ``null`` is false, or no date to ascend with.
    :raises SequenceExhausted: there are more rows than numbers up to the maximum.
    """
    rows = rows_in(field.model, connection.alias).filter(field.condition)
    if field.ascending and rows.filter(**{f"{field.ascending}__isnull": True}).exists():
        raise ValueError(
            f"{field} can't number all rows: the {field.ascending} of some is null. Set it first"
        )
    if (null and field.maximum is None) or (keys := keys_of(field, connection)) is None:
        return
    totals: Counter[str] = Counter()
    for values, count in _counts(rows.alias(**keys.expressions), keys):
        if (name := keys.name(values)) is not None:
            totals[name] += count
        else:
            _refuse_null(field, null)
    if not (callable(field.maximum) or callable(field.initial_value)):
        for name, count in totals.items():
            last = get_last_value(name, using=connection.alias)
            end = (field.first - 1 if last is None else last) + count
            check_end(field, name, [end], [field.maximum])


def _unnumbered(field: Any, connection: BaseDatabaseWrapper) -> QuerySet[Any]:
    rows: QuerySet[Any] = rows_in(field.model, connection.alias)
    return rows.filter(field.condition, **{f"{field.attname}__isnull": True})


def _refuse_null(field: Any, null: bool) -> None:
    if not null:
        raise ValueError(
            f"{field} can't number all rows: the scope {field.scope_parts!r} of some is null or "
            f"empty. Set it first, or declare the field with null=True"
        )


def _by_statement(
    field: Any, order: Sequence[str], connection: BaseDatabaseWrapper, null: bool
) -> bool:
    """Number the rows in SQL; return False if other rows were updated than had been counted."""
    keys = Keys(field, connection)
    rows = _unnumbered(field, connection).alias(**keys.expressions)
    groups: dict[str, tuple[tuple[Any, ...], int]] = {}
    for values, count in _counts(rows, keys):
        name = keys.name(values)
        if name is None:
            _refuse_null(field, null)
            for key, value in zip(keys.expressions, values, strict=True):
                if value is None:
                    rows = rows.filter(**{f"{key}__isnull": False})
                elif value == "":
                    rows = rows.exclude(**{key: value})
        elif name in groups:  # different values that name the same counter
            return _one_by_one(field, order, connection, null)
        else:
            groups[name] = (values, count)
    starts = {}
    for name, (values, count) in sorted(groups.items()):
        example = None
        if callable(field.initial_value):
            example = rows.filter(**dict(zip(keys.expressions, values, strict=True)))[0]
        taken = take(field.allocation(example, name, count), connection.alias)
        check_end(field, name, taken[-1:], [field.maximum])
        starts[name] = taken[0]
    if len(set(starts.values())) == 1:
        start = next(iter(starts.values()))
        total = sum(count for _, count in groups.values())
        return _update(field, rows, keys, order, start, connection) == total
    return all(
        _update(
            field,
            rows.filter(**dict(zip(keys.expressions, values, strict=True))),
            keys,
            order,
            starts[name],
            connection,
        )
        == count
        for name, (values, count) in groups.items()
    )


def _counts(rows: QuerySet[Any], keys: Keys) -> Iterator[tuple[tuple[Any, ...], int]]:
    if not keys.expressions:
        if count := rows.count():
            yield (), count
        return
    grouped = rows.order_by().values(**keys.expressions).annotate(sequences_rows=Count("*"))
    for row in grouped.values_list(*keys.expressions, "sequences_rows"):
        yield row[:-1], row[-1]


def _update(
    field: Any,
    rows: QuerySet[Any],
    keys: Keys,
    order: Sequence[str],
    start: int,
    connection: BaseDatabaseWrapper,
) -> int:
    """Number the rows of each group from ``start``; return how many rows were updated."""
    place = Window(
        RowNumber(),
        partition_by=list(keys.expressions.values()) or None,
        order_by=[_ordered(field.model, name, connection) for name in order],
    )
    chosen = rows.order_by().annotate(sequences_key=F("pk"), **{PLACE: place})
    query = chosen.values("sequences_key", PLACE).query
    counted = query.get_compiler(using=connection.alias).as_sql()
    named = {field.model._meta.pk.column: "sequences_key"}
    return number_places(connection, field, counted, named, start - 1)


def _ordered(model: type[Model], name: str, connection: BaseDatabaseWrapper) -> Any:
    path = name.removeprefix("-")
    term: Any = IsoDate(path) if _is_odd(model, path, connection) else F(path)
    return term.desc() if name.startswith("-") else term.asc()


def _is_odd(model: type[Model], path: str, connection: BaseDatabaseWrapper) -> bool:
    """Return whether the path ends at a column that can have odd dates."""
    try:
        return has_odd_dates(fields_of(model, path)[-1], connection)
    except FieldDoesNotExist:
        return False  # the error is raised by the query


def _one_by_one(
    field: Any, order: Sequence[str], connection: BaseDatabaseWrapper, null: bool
) -> bool:
    """Determine the counter of each row in Python, and update the rows in chunks."""
    rows = _unnumbered(field, connection)
    terms = [
        _ordered(field.model, name, connection)
        if _is_odd(field.model, name.removeprefix("-"), connection)
        else name
        for name in order
    ]
    keys = list(rows.order_by(*terms).values_list("pk", flat=True))
    for start in range(0, len(keys), CHUNK):
        found = rows_in(field.model, connection.alias).in_bulk(keys[start : start + CHUNK])
        chunk = [found[key] for key in keys[start : start + CHUNK] if key in found]
        alike: dict[str, list[Any]] = {}
        for row, name in zip(chunk, field.names_of(chunk, connection), strict=True):
            if name is None:
                _refuse_null(field, null)
            else:
                alike.setdefault(name, []).append(row)
        for name, some in sorted(alike.items()):
            for row, number in zip(some, _numbers(field, some, name, connection), strict=True):
                setattr(row, field.attname, number)
            maxima = [maximum_of(field, row) for row in some]
            check_end(field, name, list(map(attrgetter(field.attname), some)), maxima)
        written = [row for some in alike.values() for row in some]
        rows_in(field.model, connection.alias).bulk_update(written, [field.name])
    return True


def _numbers(
    field: Any, rows: Sequence[Any], name: str, connection: BaseDatabaseWrapper
) -> Sequence[int]:
    if field.reset_value is None:
        return take(field.allocation(rows[0], name, len(rows)), connection.alias)
    return [take(field.allocation(row, name), connection.alias)[0] for row in rows]
