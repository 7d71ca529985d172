"""Which rows wait for a number, by counter, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist
from django.db import connections
from django.db.models import Count, F, Field, Model, QuerySet, UniqueConstraint, Value
from django.db.models.expressions import OrderBy
from django.db.models.lookups import IsNull

from ..counters import Numbering
from ..placeholders import is_never_null
from ..scopes import fields_of, path_of, rows_in


class Order:
    """An order of rows in which no two of them have the same place."""

    def __init__(self, model: type[Model], names: Sequence[str]) -> None:
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"order_by is a list of fields' names, not {names!r}")
        self.columns: list[tuple[Any, bool]] = []
        """The fields, and whether they descend."""
        for name in names:
            for field in _columns(model, name.removeprefix("-")):
                self.columns.append((field, name.startswith("-")))
        keys = set(model._meta.pk_fields)
        given = {field for field, _ in self.columns}
        if not keys <= given and not any(field.unique and not field.null for field in given):
            raise ValueError(
                f"order_by={names!r} doesn't say which of two equal rows comes first: end it with "
                f"'pk' or a unique field"
            )

    def terms(self) -> list[OrderBy]:
        """Return the order for the ORM; on every database null comes before what is not null."""
        return [
            OrderBy(
                F(field.attname),
                descending=descending,
                nulls_first=True if field.null and not descending else None,
                nulls_last=True if field.null and descending else None,
            )
            for field, descending in self.columns
        ]


class Drafts:
    """The rows of a queryset that are to be numbered and have no number yet."""

    def __init__(self, queryset: QuerySet[Any], field: Any, order: Order, using: str) -> None:
        self.field = field
        self.order = order
        self.connection = connections[using]
        given = queryset.using(using).order_by()
        given.query.select_for_update = False
        if not _is_one_table(given, field):
            # A lock is to be had on the rows that are numbered, and on no others.
            given = rows_in(field.model, using).filter(pk__in=given.values("pk"))
        self.rows = given.filter(field.condition, **{field.attname: None})

    def counters(self) -> dict[str, tuple[Model, int]]:
        """Return, for each counter, a row like those that it numbers, and how many wait for it."""
        paths = [path for part in self.field.scope_parts if (path := path_of(part))]
        firsts = [fields_of(self.field.model, path)[0] for path in paths]
        attnames = list(dict.fromkeys(field.attname for field in firsts))
        groups = self.rows.values(*attnames) if attnames else self.rows.values()
        counts = (
            groups.annotate(sequences_count=Count("*")).values_list(*attnames, "sequences_count")
            if attnames
            else [(self.rows.count(),)]
        )
        samples, numbers = [], []
        for *values, count in counts:
            samples.append(self.field.model(**dict(zip(attnames, values, strict=True))))
            numbers.append(count)
        found: dict[str, tuple[Model, int]] = {}
        if samples:
            names = self._names(samples)
            for name, sample, count in zip(names, samples, numbers, strict=True):
                if name is not None and count:
                    first, before = found.get(name, (sample, 0))
                    found[name] = (first, before + count)
        return dict(sorted(found.items()))

    def _names(self, samples: list[Any]) -> list[str | None]:
        """Return the names of their counters; None also where a row on the path is gone."""
        try:
            return list(self.field.names_of(samples, self.connection))
        except ObjectDoesNotExist:
            if len(samples) == 1:
                return [None]
        middle = len(samples) // 2
        return self._names(samples[:middle]) + self._names(samples[middle:])

    def like(self, sample: Model) -> QuerySet[Any]:
        """Return those that the counter of this row numbers, in order.

        Those whose number couldn't be written, because a field of the text is null, are left out.
        """
        rows: QuerySet[Any] = self.rows & self.field.rows_of(sample, self.connection.alias)
        for text in self.field.texts:
            pieces = text.format.placeholders
            if all(is_never_null(piece, text.model, self.connection) for piece in pieces):
                continue  # writing what can't be null takes a tenth of a batch's time
            rows = rows.filter(IsNull(text.format.expression(Value(0)), False))
        return rows.order_by(*self.order.terms())

    def locked(self, sample: Model, size: int, *, skip: bool) -> QuerySet[Any]:
        """Return the first of them, locked; ``skip`` leaves out those that others have locked."""
        features = self.connection.features
        rows = self.like(sample).select_for_update(
            skip_locked=skip and features.has_select_for_update,
            no_key=features.has_select_for_no_key_update and not is_key(self.field),
        )
        # Oracle locks what a query finds, and can't say how much that is to be.
        limited = (
            not features.has_select_for_update or features.supports_select_for_update_with_limit
        )
        return rows[:size] if limited else rows


def numbered_field(model: type[Model], name: str) -> Any:
    """Return the SequenceField of this name; raise TypeError or ValueError if it isn't one."""
    if not isinstance(name, str):
        raise TypeError(f"the field is given by its name, not {name!r}")
    try:
        field: Any = model._meta.get_field(name)
    except FieldDoesNotExist:
        field = None
    if not isinstance(field, Numbering) or field.is_copy:
        known = [each.name for each in model._meta.fields if isinstance(each, Numbering)]
        raise ValueError(f"{model._meta.label} has no SequenceField {name!r}; it has {known}")
    if not field.null:
        raise ValueError(f"rows of {field} always have numbers: only with null=True they can wait")
    if field.is_scoped_by_function:
        raise ValueError(
            f"the scope of {field} is a function, which SQL can't call: save() its rows one by one"
        )
    if model._meta.concrete_model is not field.model:
        raise ValueError(f"{field} is stored with {field.model._meta.label}: give its rows")
    return field


def check_queryset(queryset: Any) -> None:
    """Raise TypeError or ValueError for what is no plain choice of rows."""
    if not isinstance(queryset, QuerySet):
        raise TypeError(f"rows are given by a queryset, not by {queryset!r}")
    query = queryset.query
    problem = (
        (query.is_sliced and "is sliced")
        or ((query.distinct or query.distinct_fields) and "is distinct")
        or (query.group_by is not None and "aggregates")
        or (query.combinator and f"is a {query.combinator}")
    )
    if problem:
        raise ValueError(f"the queryset {problem}: choose rows to be numbered by filter() only")


def is_key(field: Any) -> bool:
    """May a foreign key refer to the number, so that PostgreSQL locks the row more strongly?

    That is so for the columns of any unique index without a condition
    (https://www.postgresql.org/docs/15/explicit-locking.html#LOCKING-ROWS).
    """
    options = field.model._meta
    return bool(
        field.unique
        or any(field.name in names for names in options.unique_together)
        or any(
            isinstance(each, UniqueConstraint) and field.name in each.fields and not each.condition
            for each in options.constraints
        )
    )


def _columns(model: type[Model], name: str) -> list[Field[Any, Any]]:
    if name == "pk":
        return list(model._meta.pk_fields)
    for field in model._meta.local_concrete_fields:
        if name in (field.name, field.attname):
            return [field]
    raise ValueError(f"order_by names fields of {model._meta.label} itself, not {name!r}")


def _is_one_table(queryset: QuerySet[Any], field: Any) -> bool:
    """Does the queryset read no other table than the one that is updated?"""
    query = queryset.query
    return (
        queryset.model is field.model
        and len(query.alias_map) <= 1
        and not (query.annotations or query.extra or query.combinator)
    )
