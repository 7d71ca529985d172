"""From a model instance to the name of the counter that numbers it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Field, Model, Value
from django.db.models.constants import LOOKUP_SEP

Part = str | int | F | Value | Callable[[Model], Any]
"""A field's name or path, a constant (an int, a Value), or a function of the instance."""

Scope = Part | Sequence[Part] | None


def parts_of(scope: Any) -> list[Part]:
    """Return the scope as a list of its parts."""
    if scope is None:
        return []
    return list(scope) if isinstance(scope, list | tuple) else [scope]


def path_of(part: Part) -> str | None:
    """Return the path of fields that a part names; None for a constant or a function."""
    if isinstance(part, F):
        return str(part.name)  # type: ignore[attr-defined] # unknown to the stubs
    return part if isinstance(part, str) else None


def fields_of(model: type[Model], path: str) -> list[Field[Any, Any]]:
    """Return the fields along a path such as ``"project__company"``.

    Raises FieldDoesNotExist where the path leads nowhere.
    """
    fields: list[Field[Any, Any]] = []
    current: Any = model
    for name in path.split(LOOKUP_SEP):
        if current is None:
            raise FieldDoesNotExist(f"{fields[-1].name!r} is no relation, so no {name!r} follows")
        if isinstance(current, str):
            break  # an unknown model, of which Django's own check tells
        field = current._meta.pk if name == "pk" else current._meta.get_field(name)
        if not getattr(field, "concrete", False) or field.many_to_many:
            raise FieldDoesNotExist(f"{current._meta.label}.{name} is no column")
        fields.append(field)
        current = field.related_model if field.is_relation else None
    return fields


def values_of(instance: Model, part: Part | Model, using: str) -> list[Any]:
    """Return the part's values for this instance: one, unless a function returns a list.

    None stands for a null that the path meets, and for an empty list.
    """
    if not callable(part):
        return [value_of(instance, part, using)]
    result = part(instance)
    results = result if isinstance(result, list | tuple) else [result]
    # Text that a function returns is a constant, not a field's name.
    return [
        value
        for each in results
        for value in (
            values_of(instance, each, using)
            if callable(each) or isinstance(each, F | Value | Model)
            else [each]
        )
    ] or [None]


def value_of(instance: Model, part: str | int | F | Value | Model, using: str) -> Any:
    """Return the value of a constant or path; looks up what the instance doesn't hold."""
    if isinstance(part, Value):
        return part.value
    if isinstance(part, int):
        return part
    if isinstance(part, Model):
        return part.pk
    current = instance
    path = part.name if isinstance(part, F) else part  # type: ignore[attr-defined] # no stub
    names = path.split(LOOKUP_SEP)
    while True:
        options: Any = current._meta
        name = names.pop(0)
        field = options.pk if name == "pk" else options.get_field(name)
        value = getattr(current, field.attname)
        if hasattr(value, "resolve_expression"):
            raise ValueError(
                f"{field} is in the scope of a number, so its value must be known before the "
                f"INSERT, not said by the database. Set it, or give the field a default"
            )
        # As the database will have it: "07" and 7 are one integer.
        value = field.get_prep_value(value)
        if value is None or not names:
            return value
        if not field.is_cached(current):
            # Not by the descriptor: for a new instance it asks the default database.
            related = field.related_model._base_manager.using(using)
            target = related.filter(**{field.target_field.attname: value})
            return target.values_list(LOOKUP_SEP.join(names), flat=True).get()
        current = getattr(current, field.name)


def counter_name(base: str, values: Sequence[Any], separator: str) -> str | None:
    """Join ``base`` and the values; None if one of them is null or "".

    Different values give different names: within a value, the separator's characters, white space
    at an end and NUL are written as %-codes.
    """
    if any(value is None or value == "" for value in values):
        return None
    return _joined(base, tuple(map(_text, values)), separator)


def _text(value: Any) -> str:
    """Write values that are one value to the database in one way."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime) and value.tzinfo:
        value = value.astimezone(UTC)
    return str(value)


@lru_cache(maxsize=1024)
def _joined(base: str, values: tuple[str, ...], separator: str) -> str:
    special = re.compile(rf"[{re.escape(separator)}%\0]|^\s|\s$")
    return separator.join([base, *(special.sub(_code, value) for value in values)])


def _code(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())
