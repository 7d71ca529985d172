"""Scopes: the values of an instance that determine which counter numbers it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Field, Model, Q, QuerySet, Value
from django.db.models.constants import LOOKUP_SEP

from .dates import DateText
from .expressions import is_expression
from .identity import column_of, fitted, plain_text, text_of
from .periods import Day, Period

Part = str | int | F | Value | DateText | Callable[[Model], Any]
"""A field's name or path, a period, a constant (int or Value), or a function of the instance."""

Scope = Part | Sequence[Part] | None

Texts = tuple[str | None, ...]

T = TypeVar("T")

CHOICES = 500
"""The maximum number of values in one IN: SQLite limits the parameters of a statement."""

ALIKE = frozenset({bool, date, int, str, UUID})
"""Types whose equal values are stored as equal values by every column."""


def in_chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield the values in lists of up to ``CHOICES``."""
    rest = iter(values)
    while chunk := list(islice(rest, CHOICES)):
        yield chunk


def parts_of(scope: Any) -> list[Part]:
    """Return the scope as a list of its parts."""
    if scope is None:
        return []
    return list(scope) if isinstance(scope, list | tuple) else [scope]


def path_of(part: Part) -> str | None:
    """Return the path of the field that a part reads, or None for a constant or a function."""
    if isinstance(part, F):
        return str(part.name)  # type: ignore[attr-defined] # unknown to the stubs
    if isinstance(part, DateText):
        return part.field
    return part if isinstance(part, str) else None


def fields_of(model: type[Model], path: str) -> list[Field[Any, Any]]:
    """Return the fields along a path such as ``"project__company"``.

    :raises FieldDoesNotExist: a name on the path is not a column, or not a relation.
    """
    fields: list[Field[Any, Any]] = []
    current: Any = model
    for name in path.split(LOOKUP_SEP):
        if current is None:
            raise FieldDoesNotExist(
                f"{fields[-1].name!r} is not a relation, so {name!r} can't follow it"
            )
        if isinstance(current, str):
            break  # is_unresolved() says so
        field = current._meta.pk if name == "pk" else current._meta.get_field(name)
        if not getattr(field, "concrete", False) or field.many_to_many:
            raise FieldDoesNotExist(f"{current._meta.label}.{name} is not a column")
        fields.append(field)
        current = field.related_model if field.is_relation else None
    return fields


def is_unresolved(fields: Sequence[Field[Any, Any]]) -> bool:
    """Return whether a foreign key refers to an unknown model, which Django's own check reports."""
    return any(isinstance(field.related_model, str) for field in fields)


def texts_of(part: Any, rows: Sequence[Model], connection: BaseDatabaseWrapper) -> list[Texts]:
    """Return the texts of a part for each row: one text, or several if a function returns a list.

    None stands for null and the empty string.
    """
    if callable(part):
        return [_results(part(row), row, connection) for row in rows]
    path = path_of(part)
    if path is None:
        return [(plain_text(part.value if isinstance(part, Value) else part),)] * len(rows)
    # Use the class of the rows, since in a migration they aren't instances of the real model.
    fields: list[Any] = fields_of(type(rows[0]), path)
    if len(fields) > 1 and not (len(fields) == 2 and fields[1] == fields[0].target_field):
        texts = _path_texts(fields, rows, connection)
    else:
        if isinstance(part, DateText) and has_moments(fields[0]):
            for row in rows:
                _refuse_naive(part, fields[0], own_value(row, fields[0]))
        texts = _column_texts(fields[0], rows, connection)
    return _in_period(part, texts) if isinstance(part, DateText) else texts


def has_moments(field: Any) -> bool:
    """Return whether the column stores datetimes, whose date depends on the time zone."""
    return isinstance(column_of(field), models.DateTimeField)


def has_odd_dates(field: Any, connection: BaseDatabaseWrapper) -> bool:
    """Return whether the column can have odd dates: such as 2026-1-5, from another program.

    SQLite stores dates as text. Django reads this text as 2026-01-05, but the two aren't equal.
    """
    is_date = isinstance(field, models.DateField) and not isinstance(field, models.DateTimeField)
    return is_date and connection.vendor == "sqlite"


def _refuse_naive(part: DateText, field: Any, value: Any) -> None:
    # get_prep_value() would convert a date to a datetime, and only warn.
    part.refuse_naive(value if isinstance(value, date) else field.to_python(value))


def _in_period(part: DateText, texts: Sequence[Texts]) -> list[Texts]:
    known: dict[Texts, Texts] = {(None,): (None,)}
    for text in set(texts) - known.keys():
        known[text] = (part.text_of_stored(text[0] or ""),)
    return [known[text] for text in texts]


def text_of_one(part: Part, field: Any, value: Any, connection: BaseDatabaseWrapper) -> str | None:
    """Return the text of a part that is one of the row's own fields, or a period of one."""
    if isinstance(part, DateText) and has_moments(field):
        _refuse_naive(part, field, value)
    text = text_of(field, value, connection)
    return text and part.text_of_stored(text) if isinstance(part, DateText) else text


def lookups_of(
    part: Part, model: type[Model], instance: Model, connection: BaseDatabaseWrapper
) -> tuple[Any, Q]:
    """Return the first field on a part's path, and a filter that matches the instance's scope."""
    path = path_of(part)
    assert path is not None
    fields: list[Any] = fields_of(model, path)
    first, *rest = fields
    key = own_value(instance, first)
    end = LOOKUP_SEP.join(field.name for field in rest)
    related = rows_in(first.target_field.model, connection.alias) if rest else None
    if has_odd_dates(fields[-1], connection):
        period = part if isinstance(part, Period) else Day(path)
        ((text,),) = texts_of(path, [instance], connection)
        alike = period.odd_rows_alike(text, end or first.attname)
    elif isinstance(part, Period):
        ((text,),) = texts_of(path, [instance], connection)
        alike = Q(**part.rows_alike(text, end or first.attname))
    elif related is None:
        alike = Q(**{first.attname: key})
    else:
        one = related.filter(**{first.target_field.attname: key})
        alike = Q(**{end: one.values_list(end, flat=True).get()})
    if related is not None:
        chosen = related.filter(alike).values(first.target_field.attname)
        alike = Q(**{f"{first.name}__in": chosen})
    return first, alike


def rows_in(model: type[Model], using: str) -> QuerySet[Any]:
    """Return all rows of a table. The model's own managers may filter rows or join tables."""
    return QuerySet(model=model, using=using)


def own_value(row: Model, field: Any) -> Any:
    """Return the value that will be stored in a column of the row.

    :raises ValueError: the value isn't known before the INSERT.
    """
    value = getattr(row, field.attname)
    if is_expression(value):
        raise ValueError(
            f"{field} is in the scope of a number, so its value must be known before the INSERT "
            f"and can't be an expression. Set it, or give the field a default"
        )
    if is_automatic(field):
        raise ValueError(
            f"{field} is in the scope of a number, but Django sets it while the row is inserted. "
            f"Give it a default instead of auto_now and auto_now_add"
        )
    value = value_or_key(row, field, value)
    return fitted(column_of(field), value) if isinstance(value, str) else value


def value_or_key(row: Model, field: Any, value: Any) -> Any:
    """Return the value, or the key of the related object if it was saved after it was assigned."""
    if value is None and field.is_relation and field.is_cached(row):
        return getattr(getattr(row, field.name), field.target_field.attname, None)
    return value


PLAIN_PRE_SAVES = frozenset(
    kind.pre_save
    for kind in (models.Field, models.DateField, models.DateTimeField, models.TimeField)
)
"""Django's ``pre_save()`` methods that read no other field, and set a value only if automatic.

FileField's isn't one of them: it stores the file under an unused name.
"""


def is_automatic(field: Any) -> bool:
    """Return whether Django sets the field's value while it inserts the row."""
    return bool(getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False))


def _results(result: Any, row: Model, connection: BaseDatabaseWrapper) -> Texts:
    """Return the texts of a function's result. An empty list counts as null."""
    texts: list[str | None] = []
    for each in result if isinstance(result, list | tuple) else [result]:
        # A str that a function returns is a constant, not the name of a field.
        if callable(each) or isinstance(each, F | Value):
            texts += texts_of(each, [row], connection)[0]
        elif isinstance(each, Model):
            texts.append(text_of(each._meta.pk, each.pk, connection))
        else:
            texts.append(plain_text(each))
    return tuple(texts) or (None,)


def _column_texts(
    field: Any, rows: Sequence[Model], connection: BaseDatabaseWrapper
) -> list[Texts]:
    values = list(map(attrgetter(field.attname), rows))
    kinds = set(map(type, values))
    if len(kinds) == 1 and kinds <= ALIKE and not is_automatic(field):
        known = {value: (text_of(field, value, connection),) for value in set(values)}
        return [known[value] for value in values]
    return [(text_of(field, own_value(row, field), connection),) for row in rows]


def _path_texts(
    fields: Sequence[Any], rows: Sequence[Model], connection: BaseDatabaseWrapper
) -> list[Texts]:
    """Read the fields at the end of a path from the database: cached relations may be outdated."""
    first, *rest = fields
    target = first.target_field
    keys = [own_value(row, first) for row in rows]
    texts = [text_of(first, key, connection) for key in keys]
    wanted = {text: key for text, key in zip(texts, keys, strict=True) if text is not None}
    related = rows_in(first.related_model, connection.alias)
    path = LOOKUP_SEP.join(field.name for field in rest)
    found: dict[str | None, Texts] = {None: (None,)}
    for chunk in in_chunks(wanted.values()):
        chosen = related.filter(**{f"{target.attname}__in": chunk})
        for key, value in chosen.values_list(target.attname, path):
            found[text_of(first, key, connection)] = (text_of(rest[-1], value, connection),)
    if lost := set(texts) - found.keys():
        raise first.related_model.DoesNotExist(
            f"{first} refers to {lost.pop()!r}, which doesn't exist, but the scope of the number "
            f"depends on it"
        )
    return [found[text] for text in texts]
