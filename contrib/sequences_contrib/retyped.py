"""Counters of a scope whose column gets another type in a migration.

The names of counters are made from what the column stores, such as ``True``, which is ``1`` once it
is a column of integers. So the counters are copied to the names that their rows have afterwards. A
counter without rows is copied to the name that Python's conversion gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist, ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.models import Counter

from .counters import is_numbered, names_if_found
from .dates import DateText
from .groups import pages_of
from .identity import column_of, counter_name, text_of, texts_of_name
from .scopes import fields_of, in_chunks, path_of, rows_in
from .series import counters_of, last_values
from .voids import move_voids, register_of

Samples = list[tuple[Any, dict[Any, str]]]
"""Numbered fields, each with the key of one row for each counter, and the counter's name."""


UNNAMED = (ArithmeticError, ObjectDoesNotExist, TypeError, ValueError, ValidationError)
"""Errors of values that have no text.

A database may keep texts in a column of integers, and a period of datetimes needs a time zone,
which only the next migration may add.
"""


def fields_with(old: Any, new: Any) -> list[Any]:
    """Return the numbered fields whose scopes read a field, if its values may get other texts."""
    if not (old.concrete and new.concrete) or _kind_of(old) == _kind_of(new):
        return []
    return list(_fields_with(old))


def _kind_of(field: Any) -> tuple[Any, ...]:
    """Return what decides on the text of a stored value: a foreign key stores its target's."""
    column = column_of(field)
    is_djangos = type(column).__module__.startswith("django.db.models.")
    if is_djangos and isinstance(column, models.IntegerField):
        return (models.IntegerField,)  # Automatic and big integers have the same texts.
    return type(column), getattr(column, "decimal_places", None)


def samples(fields: list[Any], connection: BaseDatabaseWrapper) -> Samples:
    """Return the counters of these fields that rows have, before a column is altered."""
    tables = connection.introspection.table_names()
    return [
        (field, _sample(field, connection))
        for field in fields
        if field.model._meta.db_table in tables or '"' in field.model._meta.db_table
    ]


def follow(found: Samples, old: Any, new: Any, connection: BaseDatabaseWrapper) -> None:
    """Copy counters to the names that their rows have now, unless those have higher ones."""
    for before, names in found:
        model = new.model._meta.apps.get_model(before.model._meta.label)
        field = model._meta.get_field(before.name)
        lasts = counters_of(before, connection.alias)
        for counter in lasts.keys() - names.values():
            if (target := _converted(counter, field, old, new, connection)) != counter:
                _copy(counter, target, lasts[counter], connection)
        names = {_converted_key(model, key): name for key, name in names.items()}
        for chunk in in_chunks(names):
            rows = list(rows_in(model, connection.alias).filter(pk__in=chunk))
            renamed = names_if_found(field, rows, connection, UNNAMED)
            for row, name in zip(rows, renamed, strict=True):
                earlier = names.get(row.pk)
                if earlier in lasts and name is not None and name != earlier:
                    _copy(earlier, name, lasts[earlier], connection)


def _converted_key(model: Any, key: Any) -> Any:
    """Return the primary key of a row after the altered column, which can be a part of it."""
    fields = model._meta.pk_fields
    if len(fields) == 1:
        return fields[0].to_python(key)
    return tuple(field.to_python(value) for field, value in zip(fields, key, strict=True))


def _converted(
    counter: str, field: Any, old: Any, new: Any, connection: BaseDatabaseWrapper
) -> str:
    """Return the counter's name with the texts that the values of the altered field have now."""
    texts = texts_of_name(counter, field.base, field.separator) or ()
    if len(texts) != len(field.scope_parts):
        return counter
    converted: list[str] = []
    for text, part in zip(texts, field.scope_parts, strict=True):
        path = None if isinstance(part, DateText) else path_of(part)
        if path is None or new not in _columns(fields_of(field.model, path)[-1]):
            converted.append(text)
            continue
        try:
            now = text_of(new, column_of(old).to_python(text), connection)
        except UNNAMED:
            now = None
        if now is None:  # The database has converted it otherwise, or refused it.
            return counter
        converted.append(now)
    return counter_name(field.base, tuple(converted), field.separator)


def _copy(old: str, new: str, last: int, connection: BaseDatabaseWrapper) -> None:
    there = last_values([new], connection.alias).get(new, last)
    counters = Counter.objects.using(connection.alias)
    counters.update_or_create(name=new, defaults={"last": max(last, there)})
    if (voids := register_of(connection)) is not None:
        move_voids(voids.filter(counter=old), lambda name: new, keep=True)


def _fields_with(part: Any) -> Iterator[Any]:
    for model in part.model._meta.apps.get_models():
        for field in filter(is_numbered, model._meta.local_fields):
            if field.is_scoped_by_function:  # It may need methods that the models here lack.
                continue
            with suppress(FieldDoesNotExist):  # a later operation adds it
                paths = filter(None, map(path_of, field.scope_parts))
                read = [each for path in paths for each in fields_of(model, path)]
                if any(part in _columns(each) for each in read):
                    yield field


def _columns(field: Any) -> list[Any]:
    """Return the field and, if it is a foreign key, the keys whose values it stores.

    When the type of such a key is altered, Django alters the foreign key's column, too.
    """
    found = [field]
    while field.is_relation and field.remote_field:
        field = field.target_field
        found.append(field)
    return found


def _sample(field: Any, connection: BaseDatabaseWrapper) -> dict[Any, str]:
    rows = rows_in(field.model, connection.alias)
    rows = rows.only("pk", field.name, *(source.name for source in field.source_fields))
    found: dict[str, Any] = {}
    for page in pages_of(rows):
        names = names_if_found(field, page, connection, UNNAMED)
        for row, name in zip(page, names, strict=True):
            if name is not None:
                found.setdefault(name, row.pk)
    return {key: name for name, key in found.items()}
