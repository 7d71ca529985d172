"""The rows that are due for a number, by counter, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.models import Count, F, Field, Model, QuerySet, UniqueConstraint, Value
from django.db.models.expressions import OrderBy
from django.db.models.functions import Length
from django.db.models.lookups import IsNull, LessThan

from ..counters import names_if_found
from ..dates import IsoDate
from ..placeholders import is_never_null
from ..scopes import fields_of, has_odd_dates, path_of, rows_in
from ..series import fields_of_model

ISO_LENGTH = 10
"""The length of 2026-01-05. Odd dates, such as 2026-1-5, are shorter."""


class Order:
    """An unambiguous order of rows."""

    def __init__(self, model: type[Model], names: Sequence[str]) -> None:
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"order_by must be a list of fields' names, not {names!r}")
        self.columns: list[tuple[Any, bool]] = []
        """The fields, and whether each is in descending order."""
        self.odd: list[Any] = []
        """The fields with odd dates, each of which needs an annotation to be ordered by."""
        for name in names:
            for field in _columns(model, name.removeprefix("-")):
                self.columns.append((field, name.startswith("-")))
        keys = set(model._meta.pk_fields)
        given = {field for field, _ in self.columns}
        if not keys <= given and not any(field.unique and not field.null for field in given):
            raise ValueError(
                f"order_by={names!r} is ambiguous for rows with equal values: end it with 'pk' or "
                f"a unique field"
            )

    def key(self, field: Any) -> str:
        """Return the name of the column or the annotation by which rows are ordered."""
        return f"sequences_{field.attname}" if field in self.odd else field.attname

    @property
    def annotations(self) -> dict[str, Any]:
        """The annotations by which odd dates are ordered."""
        return {self.key(field): IsoDate(field.attname) for field in self.odd}

    def terms(self) -> list[OrderBy]:
        """Return the order for the ORM. On every database, null comes before all other values."""
        return [
            OrderBy(
                F(self.key(field)),
                descending=descending,
                nulls_first=True if field.null and not descending else None,
                nulls_last=True if field.null and descending else None,
            )
            for field, descending in self.columns
        ]


class Drafts:
    """The rows of a queryset that are due for a number and have none yet."""

    def __init__(self, queryset: QuerySet[Any], field: Any, order: Order, using: str) -> None:
        self.field = field
        self.order = order
        self.connection = connections[using]
        given = queryset.using(using).order_by()
        given.query.select_for_update = False
        rows = given.filter(field.condition)
        if not _is_plain(rows, field):
            # Only the rows that are numbered must be locked, and none of joined tables. With
            # multi-table inheritance, the condition can be about the row of a parent model.
            rows = rows_in(field.model, using).filter(pk__in=rows.values("pk"))
        self.rows = rows.filter(**{field.attname: None})
        # An index can't be used for the order of odd dates, so find out whether there are any.
        order.odd = [
            dates
            for dates, _ in order.columns
            if has_odd_dates(dates, self.connection)
            and self.rows.filter(LessThan(Length(dates.attname), ISO_LENGTH)).exists()
        ]

    def counters(self) -> dict[str, tuple[Model, int]]:
        """Return, for each counter, an instance with its scope, and how many rows are due.

        The instances have only the fields of the scope.
        """
        paths = [path for part in self.field.scope_parts if (path := path_of(part))]
        firsts = [fields_of(self.field.model, path)[0] for path in paths]
        attnames = list(dict.fromkeys(field.attname for field in firsts))
        counts: Any
        if attnames:
            groups = self.rows.values(*attnames).annotate(sequences_count=Count("*"))
            counts = groups.values_list(*attnames, "sequences_count")
        else:
            counts = [(self.rows.count(),)]
        samples, numbers = [], []
        for *values, count in counts:
            samples.append(self.field.model(**dict(zip(attnames, values, strict=True))))
            numbers.append(count)
        found: dict[str, tuple[Model, int]] = {}
        names = names_if_found(self.field, samples, self.connection)
        for name, sample, count in zip(names, samples, numbers, strict=True):
            if name is not None and count:
                first, before = found.get(name, (sample, 0))
                found[name] = (first, before + count)
        return dict(sorted(found.items()))

    def like(self, sample: Model) -> QuerySet[Any]:
        """Return the rows that share the counter of this one, in order.

        Rows whose number can't be formatted, because a field of the format is null, are excluded.
        """
        rows: QuerySet[Any] = self.rows & self.field.rows_of(sample, self.connection.alias)
        for text in self.field.texts:
            pieces = text.format.placeholders
            if all(is_never_null(piece, text.model, self.connection) for piece in pieces):
                continue  # this filter takes a tenth of a batch's time, so don't add it needlessly
            rows = rows.filter(IsNull(text.format.expression(Value(0)), False))
        rows = rows.annotate(**self.order.annotations)
        return rows.order_by(*self.order.terms())

    def locked(self, sample: Model, size: int, *, skip: bool) -> QuerySet[Any]:
        """Return the first ``size`` of these rows, locked; ``skip`` skips rows that others locked.

        On Oracle, the result is not limited to ``size``.
        """
        features = self.connection.features
        rows = self.like(sample).select_for_update(
            skip_locked=skip and features.has_select_for_update_skip_locked,
            no_key=features.has_select_for_no_key_update and not _may_be_referred_to(self.field),
        )
        # Oracle can't limit a query that locks rows.
        limited = (
            not features.has_select_for_update or features.supports_select_for_update_with_limit
        )
        return rows[:size] if limited else rows

    def locked_already(self, pks: Sequence[Any]) -> QuerySet[Any]:
        """Return rows that this transaction has locked, in order, as they are now.

        The database may look at other rows on the way, but doesn't wait for those.
        """
        rows = rows_in(self.field.model, self.connection.alias).filter(pk__in=pks)
        skip = self.connection.features.has_select_for_update_skip_locked
        return rows.select_for_update(skip_locked=skip).order_by(*self.order.terms())


def reads_other_tables(text: Any) -> bool:
    """Return whether the format of a text has fields of related rows or of a parent model."""
    paths = [fields_of(text.model, path) for path in text.format.paths]
    return any(len(path) > 1 or path[0].model is not text.model for path in paths)


def numbered_field(model: type[Model], name: str) -> Any:
    """Return the SequenceField of this name.

    :raises TypeError, ValueError: there is no such field, or ``assign_numbers()`` can't number it.
    """
    if not isinstance(name, str):
        raise TypeError(f"field_name must be a str, not {name!r}")
    (field,) = fields_of_model(model, name)
    if not field.null:
        raise ValueError(f"{field} doesn't have null=True, so all its rows already have numbers")
    if field.is_scoped_by_function:
        raise ValueError(
            f"the scope of {field} is a function, which SQL can't call: save() its rows one by one"
        )
    if model._meta.concrete_model is not field.model:
        raise ValueError(
            f"{field} belongs to {field.model._meta.label}: use a queryset of that model"
        )
    return field


def check_queryset(queryset: Any) -> None:
    """Raise TypeError or ValueError unless this is a queryset that only filters rows."""
    if not isinstance(queryset, QuerySet):
        raise TypeError(f"queryset must be a QuerySet, not {queryset!r}")
    query = queryset.query
    problem = (
        (query.is_sliced and "is sliced")
        or ((query.distinct or query.distinct_fields) and "is distinct")
        or (query.group_by is not None and "aggregates")
        or (query.combinator and f"is a {query.combinator}")
    )
    if problem:
        raise ValueError(f"the queryset {problem}: select the rows only with filter()")


def _may_be_referred_to(field: Any) -> bool:
    """Return whether a foreign key could refer to the number, so that its UPDATE needs FOR UPDATE.

    On PostgreSQL, this applies to the columns of every unique index without a condition
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
    raise ValueError(f"order_by must name fields of {model._meta.label} itself, not {name!r}")


def _is_plain(queryset: QuerySet[Any], field: Any) -> bool:
    """Return whether the queryset reads only the table that is updated, and returns its rows."""
    query = queryset.query
    others = query.annotations or query.extra or query.combinator or query.select_related
    return (
        queryset.model is field.model
        and len(query.alias_map) <= 1
        and query.default_cols  # no values()
        and not (others or query.deferred_loading[0])
    )
