"""The counters that a ``save()`` needs because it makes a row due for its numbers.

They must be locked before the row. With multi-table inheritance, ``save()`` updates the row of a
parent model before it numbers that of the child.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

from ..counters import in_order_of_locks, sequence_fields
from ..scopes import rows_in
from ..taking import lock_counter

TRIES = 20
"""How often to try again if others change a row before it is locked."""

LOCKED = "sequences_locked"
"""The attribute of ``instance._state`` that tells ``save()`` that the row is locked already."""

Counters = list[tuple[str, tuple[Any, Any]]]
"""Counters in the order in which they must be locked, each with a field and a row."""


def due_counters(row: Any, using: str, update_fields: Iterable[str] | None) -> Counters:
    """Return the counters of the numbers that the row will get when it is saved."""
    model = type(row)
    fields = [field for field in sequence_fields(model._meta.concrete_fields) if field.when]
    stored = rows_in(model, using).filter(pk=row.pk).first() if fields else None
    if stored is None:
        return []
    fields = [field for field in fields if getattr(stored, field.attname) is None]
    apply_values(row, stored, update_fields)
    due = [field for field in fields if field.is_due(stored, connections[using])]
    names = [(field.counter_of(stored, using), field) for field in due]
    return in_order_of_locks({name: (field, stored) for name, field in names if name}, model)


def lock_counters(counters: Counters, using: str) -> None:
    for name, (field, row) in counters:
        lock_counter(field, row, name, using)


def lock_parents(row: Any, using: str, **options: Any) -> None:
    """Lock the rows of the parent models. A query of the child's row may lock that first.

    :param options: those of ``select_for_update()``.
    """
    if not connections[using].features.has_select_for_update:
        return
    for parent in reversed(row._meta.concrete_model._meta.get_parent_list()):
        rows = rows_in(parent, using).filter(pk=getattr(row, parent._meta.pk.attname))
        list(rows.select_for_update(**options).values_list("pk"))


def apply_values(row: Any, stored: Any, update_fields: Iterable[str] | None) -> None:
    """Set the values that saving ``row`` would store on the ``stored`` instance."""
    saved = None if update_fields is None else set(update_fields)
    posted = [field for field in sequence_fields(row._meta.concrete_fields) if field.when]
    kept = [
        field
        for number in posted
        for field in (number, *number.texts)
        if _is_kept(field, row, getattr(stored, number.attname))
    ]
    for field in row._meta.concrete_fields:
        if field in kept:
            continue
        if field.attname in row.__dict__ and (saved is None or saved & {field.name, field.attname}):
            setattr(stored, field.attname, getattr(row, field.attname))


def _is_kept(field: Any, row: Any, number: int | None) -> bool:
    """Return whether ``save()`` keeps the stored number, because no other was set explicitly."""
    value = row.__dict__.get(field.attname)
    return number is not None and (value is None or getattr(row._state, field.memory, row) == value)


@contextmanager
def marked(row: Any, mark: str) -> Iterator[None]:
    """Set an attribute of ``row._state`` during the block."""
    setattr(row._state, mark, True)
    try:
        yield
    finally:
        vars(row._state).pop(mark, None)
