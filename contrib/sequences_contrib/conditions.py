"""The condition under which a row gets its number: ``SequenceField(when=…)``.

``save()`` evaluates it in Python, ``assign_numbers()`` in SQL. Both must have the same result, so
it may use only the row's own columns, and few lookups. Texts are compared byte for byte, whatever
the collation of their column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, F, Model, Q, Value
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import DatabaseDefault
from django.db.models.lookups import Exact

from .collations import TEXT_FIELDS
from .expressions import ByBytes, is_expression
from .identity import column_of, settled, text_of
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
        if several != (lookup == "in") or any(map(is_expression, values)):
            raise ValueError(f"when must compare {name} with constants, not with {value!r}")
        if lookup == "isnull" and not isinstance(value, bool):
            raise ValueError(f"when: {name}__isnull must be True or False, not {value!r}")


def names_in(when: str | Q) -> list[str]:
    """Return the names of the fields that the condition compares."""
    if isinstance(when, str):
        return [when]
    return list(dict.fromkeys(name for name, _, _ in _lookups(when)))


def names_compared(when: str | Q) -> set[str]:
    """Return the names of the fields that the condition compares with values, not only null."""
    if isinstance(when, str):
        return set()
    return {name for name, lookup, _ in _lookups(when) if lookup != "isnull"}


def as_q(model: type[Model], when: str | Q) -> Q:
    """Return the condition as a Q that filters the model's rows."""
    if not isinstance(when, str):
        return _as_q(model, when)
    boolean = isinstance(field_of(model, when), BooleanField)
    return Q(**{when: True}) if boolean else Q(**{f"{when}{LOOKUP_SEP}isnull": False})


def _as_q(model: type[Model], node: Any) -> Q:
    if not isinstance(node, tuple):
        children = [_as_q(model, child) for child in node.children]
        return Q(*children, _connector=node.connector, _negated=node.negated)
    (name, lookup), expected = _split(node[0]), node[1]
    if lookup == "isnull" or expected is None:
        return Q(node)
    field = field_of(model, name)
    found = constants(field, lookup, expected)
    # The database can use an index for this comparison, and Django makes it false for null.
    same = Q((node[0], found if lookup == "in" else found[0]))
    if not found or not isinstance(column_of(field), TEXT_FIELDS):
        return same
    exactly = [Exact(ByBytes(F(field.attname)), ByBytes(Value(each))) for each in found]
    return same & Q(*exactly, _connector=Q.OR)


def constants(field: Any, lookup: str, expected: Any) -> list[Any]:
    """Return the values that a comparison allows, except for null, as the column stores them."""
    column = column_of(field)
    values = [
        getattr(each, (field.target_field if field.is_relation else column).attname)
        if isinstance(each, Model)
        else each
        for each in (expected if lookup == "in" else [expected])
    ]
    return [column.get_prep_value(settled(column, each)) for each in values if each is not None]


def is_met(when: str | Q, row: Model, connection: BaseDatabaseWrapper) -> bool:
    """Return whether the condition is true of the instance's current values.

    :raises ValueError: a field of the condition has an expression as its value.
    """
    if isinstance(when, str):
        field = field_of(type(row), when)
        value = _value(row, field)
        if isinstance(field, BooleanField):
            return bool(field.get_prep_value(value))
        return not _is_null(field, value, connection)
    return _is_true(when, row, connection)


def _is_true(node: Any, row: Model, connection: BaseDatabaseWrapper) -> bool:
    if isinstance(node, tuple):
        expected, (name, lookup) = node[1], _split(node[0])
        field = field_of(type(row), name)
        value = _value(row, field)
        null = _is_null(field, value, connection)
        if lookup == "isnull" or expected is None:
            return null is (expected is not False)
        found = constants(field, lookup, expected)
        text = text_of(field, value, connection)
        return not null and text in [text_of(field, each, connection) for each in found]
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
    if is_expression(value):
        raise ValueError(
            f"{field} decides whether the row gets a number, so its value must be known before "
            f"the row is saved: set a value, such as timezone.now(), instead of an expression"
        )
    return value_or_key(row, field, value)


def _is_null(field: Any, value: Any, connection: BaseDatabaseWrapper) -> bool:
    """Return whether null is stored for a value, as for an empty IP address."""
    return value is None or column_of(field).get_db_prep_save(value, connection) is None
