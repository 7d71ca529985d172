"""Which fields of the project share counters, and which of them a counter numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.db import router
from django.db.models import Model, QuerySet
from django.db.models.functions import Left

from sequences_core.models import Counter

from .counters import Numbering
from .scopes import CHOICES


def fields_of_model(model: type[Model], name: str | None = None) -> list[Any]:
    """Return the model's numbered fields, or the one that is named.

    Raises TypeError where ``model`` is no model, and ValueError where it has no such field.
    """
    if not (isinstance(model, type) and issubclass(model, Model)) or model._meta.abstract:
        raise TypeError(f"a model with a table is needed, not {model!r}")
    label = model._meta.label
    numbered = {field.name: field for field in model._meta.fields if is_numbered(field)}
    if name is None and numbered:
        return list(numbered.values())
    if name in numbered:
        return [numbered[name]]
    if name is None:
        raise ValueError(f"{label} has no SequenceField")
    known = f"its numbered fields: {', '.join(numbered)}" if numbered else "it has none"
    raise ValueError(f"{label}.{name} is no SequenceField; {known}")


def is_numbered(field: Any) -> bool:
    """Does inserting a row number this field?"""
    return isinstance(field, Numbering) and not field.is_copy


def numbered_fields(model: type[Model] | None = None) -> Iterator[Any]:
    """Yield each numbered column of the project, and of the models beside ``model``, once."""
    seen = set()
    beside: list[type[Model]] = []
    if model is not None:  # it may be one of a migration or a test
        known = model._meta.apps.all_models.values()
        beside = [model, *(each for models in known for each in models.values())]
    for model in (*beside, *apps.get_models(include_auto_created=True)):
        if model._meta.swapped or model._meta.proxy:
            continue
        for field in filter(is_numbered, model._meta.local_fields):
            column = (model._meta.db_table, field.column)
            if column not in seen:
                seen.add(column)
                yield field


def series_key(field: Any) -> tuple[str, str]:
    """Return what is equal for fields whose counters' names begin alike.

    A field without a scope has one counter, which is none of a scope's.
    """
    return field.base, field.separator if field.scope_parts else ""


def series_of(field: Any, using: str, among: Iterable[Any] | None = None) -> list[Any]:
    """Return the fields that may share counters with this one, itself included, of a database.

    They are those whose counters' names begin alike; they needn't have a counter in common. Who
    asks for many fields gives all of the project as ``among``, so that they are found once.
    """
    return [
        other
        for other in (numbered_fields(field.model) if among is None else among)
        if series_key(other) == series_key(field)
        and (other is field or router.allow_migrate_model(using, other.model))
    ]


def fields_numbered_by(counter: str) -> list[Any]:
    """Return the fields whose rows the counter could number, by its name."""
    return [field for field in numbered_fields() if field.uses_sequence(counter)]


def database_of(field: Any, using: str | None) -> str:
    """Return the database where the field's rows are numbered."""
    return using or router.db_for_write(field.model) or router.db_for_write(Counter)


def counters_of(field: Any, using: str) -> dict[str, int]:
    """Return the last numbers of the counters whose names begin as the field's do."""
    counters = named_like(field, Counter.objects.using(using), "name")
    return dict(counters.values_list("name", "last"))


def named_like(field: Any, rows: QuerySet[Any], column: str) -> QuerySet[Any]:
    """Return the rows that are about counters whose names begin as the field's do."""
    if not field.scope_parts:
        return rows.filter(**{column: field.base})
    scoped = field.base + field.separator
    # Not startswith, which ignores case on SQLite; compared once more, for the index sees bytes.
    beginning: QuerySet[Any] = rows.alias(beginning=Left(column, len(scoped)))
    return beginning.filter(beginning=scoped)


def last_values(names: Iterable[str], using: str) -> dict[str, int]:
    """Return the last numbers of those counters that there are."""
    names = list(names)
    found: dict[str, int] = {}
    for start in range(0, len(names), CHOICES):
        chosen = Counter.objects.using(using).filter(pk__in=names[start : start + CHOICES])
        found |= dict(chosen.values_list("name", "last"))
    return found
