"""The numbered fields of the project, and the counters that they use or share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.db import router
from django.db.models import Model, QuerySet
from django.db.models.functions import Left
from django.db.models.lookups import Exact

from sequences_core.models import Counter

from .counters import is_numbered
from .scopes import in_chunks


def fields_of_model(model: type[Model], name: str | None = None) -> list[Any]:
    """Return the model's numbered fields, or only the field of that name.

    :raises TypeError: ``model`` is not a model with a table.
    :raises ValueError: the model has no such field.
    """
    if not (isinstance(model, type) and issubclass(model, Model)) or model._meta.abstract:
        raise TypeError(f"model must be a model with a table, not {model!r}")
    label = model._meta.label
    numbered = {field.name: field for field in model._meta.fields if is_numbered(field)}
    if name is None and numbered:
        return list(numbered.values())
    if name in numbered:
        return [numbered[name]]
    if name is None:
        raise ValueError(f"{label} has no SequenceField")
    known = f"its numbered fields: {', '.join(numbered)}" if numbered else "it has none"
    raise ValueError(f"{label}.{name} is not a SequenceField; {known}")


def chosen_fields(model: type[Model] | None, name: str | None, using: str | None) -> list[Any]:
    """Return the numbered fields of a model, or one of them; without a model, all of the project.

    :param using: without a model, return only fields whose rows this database can have.
    :raises TypeError, ValueError: as :func:`fields_of_model`, or there is no numbered field.
    """
    if model is not None:
        return fields_of_model(model, name)
    if name is not None:
        raise ValueError(f"field={name!r} needs a model")
    found = [
        field
        for field in numbered_fields()
        if using is None or router.allow_migrate_model(using, field.model)
    ]
    if not found:
        where = "installed" if using is None else f"in database {using!r}"
        raise ValueError(f"no model {where} has a SequenceField")
    return found


def numbered_fields(model: type[Model] | None = None) -> Iterator[Any]:
    """Yield the numbered fields of the project, one for each column.

    :param model: also yield the fields of the models in its app registry, which differs from the
        project's in migrations and tests.
    """
    seen = set()
    beside: list[type[Model]] = []
    if model is not None:
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
    """Return a key that is equal for fields whose counters' names have the same beginning.

    A field without a scope has another key than a scoped field of the same sequence.
    """
    return field.base, field.separator if field.scope_parts else ""


def series_of(field: Any, using: str, among: Iterable[Any] | None = None) -> list[Any]:
    """Return the fields on a database that may share counters with this one, including itself.

    The names of their counters have the same beginning; they needn't have a counter in common.

    :param among: the fields to choose from, by default all fields of the project.
    """
    return [
        other
        for other in (numbered_fields(field.model) if among is None else among)
        if series_key(other) == series_key(field)
        and (other is field or router.allow_migrate_model(using, other.model))
    ]


def all_series(
    model: type[Model] | None, field: str | None, using: str | None
) -> list[tuple[str, list[Any]]]:
    """Return the database and all fields of each sequence that numbers the chosen fields.

    The arguments are those of :func:`chosen_fields`.
    """
    found: dict[tuple[str, ...], tuple[str, list[Any]]] = {}
    for each in chosen_fields(model, field, using):
        alias = database_of(each, using)
        if (key := (alias, *series_key(each))) not in found:
            found[key] = alias, series_of(each, alias)
    return list(found.values())


def fields_numbered_by(counter: str) -> list[Any]:
    """Return the fields whose rows the counter of this name could number."""
    return [field for field in numbered_fields() if field.uses_sequence(counter)]


def database_of(field: Any, using: str | None) -> str:
    """Return the database where the field's rows are numbered."""
    return using or router.db_for_write(field.model) or router.db_for_write(Counter)


def counters_of(field: Any, using: str) -> dict[str, int]:
    """Return the last number of each counter whose name begins like the field's counters."""
    counters = named_like(field, Counter.objects.using(using), "name")
    return dict(counters.values_list("name", "last"))


def named_like(field: Any, rows: QuerySet[Any], column: str) -> QuerySet[Any]:
    """Filter rows by the names of counters that begin like the field's counters."""
    if not field.scope_parts:
        return rows.filter(**{column: field.base})
    return rows.filter(begins_with(column, field.base + field.separator))


def begins_with(column: str, beginning: str) -> Exact:
    """Return a filter by the beginning of names. ``startswith`` would ignore case on SQLite."""
    return Exact(Left(column, len(beginning)), beginning)


def last_values(names: Iterable[str], using: str) -> dict[str, int]:
    """Return the last number of each of these counters that exists."""
    found: dict[str, int] = {}
    for chunk in in_chunks(names):
        chosen = Counter.objects.using(using).filter(pk__in=chunk)
        found |= dict(chosen.values_list("name", "last"))
    return found
