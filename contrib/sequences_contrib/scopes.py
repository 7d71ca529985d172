"""From a model instance to the name of the counter that numbers it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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
        field = current._meta.pk if name == "pk" else current._meta.get_field(name)
        if not getattr(field, "concrete", False):
            raise FieldDoesNotExist(f"{current._meta.label}.{name} is no column")
        fields.append(field)
        current = field.related_model if field.is_relation else None
    return fields


def value_of(instance: Model, part: Part) -> Any:
    """Return the part's value for this instance; None where the path meets a null."""
    if isinstance(part, Value):
        return part.value
    path = path_of(part)
    if path is None:
        value = part(instance) if callable(part) else part
        return value.pk if isinstance(value, Model) else value
    current: Any = instance
    for name in path.split(LOOKUP_SEP):
        if current is None:
            return None
        current = getattr(current, name)
    return current.pk if isinstance(current, Model) else current


def counter_name(base: str, values: Sequence[Any], separator: str) -> str | None:
    """Join ``base`` and the values; None if one of them is null or "".

    Different values give different names: within a value, the separator, white space at an end
    and NUL are written as %-codes.
    """
    if any(value is None or value == "" for value in values):
        return None
    special = re.compile(rf"{re.escape(separator)}|[%\0]|^\s|\s$")
    return separator.join([base, *(special.sub(_code, str(value)) for value in values)])


def _code(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())
