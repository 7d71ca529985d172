"""The condition under which a row gets its number: ``SequenceField(when=…)``.

``save()`` evaluates it in Python, ``assign_numbers()`` in SQL. Both must have the same result, so
it may use only the row's own columns, and few lookups.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, Model, Q, Value
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import DatabaseDefault

from .identity import text_of
from .scopes import value_or_key

LOOKUPS = ("exact", "in", "isnull")


def check(when: Any) -> None:
    """Raise TypeError or ValueError for a condition that no model can have."""
    if isinstance(when, str):
        if not when or LOOKUP_SEP in when:
            raise ValueError(f"when must be a field of the row itself, or a Q, not {when!r}")
        return
    if not isinstance(when, Q):
        raise TypeError(f"when must be a field's name or a Q, not {when!r}")
    if not when:
        raise ValueError("when must not be an empty Q")
    for name, lookup, value in _lookups(when):
        if lookup not in LOOKUPS:
            raise ValueError(
                f"when supports the lookups {', '.join(LOOKUPS)} of the row's own fields, not "
                f"{name}{LOOKUP_SEP}{lookup}"
            )
        several = isinstance(value, list | tuple | set)
        values = value if several else [value]
        if several != (lookup == "in") or any(map(_is_expression, values)):
            raise ValueError(f"when must compare {name} with constants, not with {value!r}")
        if lookup == "isnull" and not isinstance(value, bool):
            raise ValueError(f"when: {name}__isnull must be True or False, not {value!r}")


def names_in(when: str | Q) -> list[str]:
    """Return the names of the fields that the condition compares."""
    if isinstance(when, str):
        return [when]
    return list(dict.fromkeys(name for name, _, _ in _lookups(when)))


def as_q(model: type[Model], when: str | Q) -> Q:
    """Return the condition as a Q that filters the model's rows."""
    if not isinstance(when, str):
        return when
    boolean = isinstance(field_of(model, when), BooleanField)
    return Q(**{when: True}) if boolean else Q(**{f"{when}{LOOKUP_SEP}isnull": False})


def is_met(when: str | Q, row: Model, connection: BaseDatabaseWrapper) -> bool:
    """Return whether the condition is true of the instance's current values.

    :raises ValueError: a field of the condition has an expression as its value.
    """
    if isinstance(when, str):
        field = field_of(type(row), when)
        value = _value(row, field)
        if isinstance(field, BooleanField):
            return bool(field.get_prep_value(value))
        return value is not None
    return _is_true(when, row, connection)


def _is_true(node: Any, row: Model, connection: BaseDatabaseWrapper) -> bool:
    if isinstance(node, tuple):
        expected, (name, lookup) = node[1], _split(node[0])
        field = field_of(type(row), name)
        value = _value(row, field)
        if lookup == "isnull":
            return (value is None) is expected
        if expected is None:
            return value is None
        found = [each for each in (expected if lookup == "in" else [expected]) if each is not None]
        text = text_of(field, value, connection)
        return value is not None and text in [
            text_of(field, each.pk if isinstance(each, Model) else each, connection)
            for each in found
        ]
    parts = (_is_true(child, row, connection) for child in node.children)
    return (all(parts) if node.connector == Q.AND else any(parts)) != bool(node.negated)


def _lookups(node: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield the comparisons of a condition, each as a field's name, a lookup and a value."""
    if isinstance(node, tuple):
        yield (*_split(node[0]), node[1])
    elif isinstance(node, Q) and node.connector != Q.XOR:
        for child in node.children:
            yield from _lookups(child)
    else:
        raise ValueError(
            f"when must compare fields with constants, combined by &, | and ~, not {node!r}"
        )


def _split(key: str) -> tuple[str, str]:
    name, _, lookup = key.partition(LOOKUP_SEP)
    return name, lookup or "exact"


def field_of(model: type[Model], name: str) -> Any:
    """Return the field that a condition names."""
    return model._meta.pk if name == "pk" else model._meta.get_field(name)


def _value(row: Model, field: Any) -> Any:
    value: Any = getattr(row, field.attname)
    if isinstance(value, DatabaseDefault):
        default: Any = value
        if isinstance(default.expression, Value):
            return default.expression.value
    if _is_expression(value):
        raise ValueError(
            f"{field} decides whether the row gets a number, so its value must be known before "
            f"the row is saved: set a value, such as timezone.now(), instead of an expression"
        )
    return value_or_key(row, field, value)


def _is_expression(value: Any) -> bool:
    return hasattr(value, "resolve_expression")
