"""Attributes of rows that one statement sets, and that are set back if it fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from operator import attrgetter
from typing import Any

from django.db import DatabaseError

from ..expressions import is_expression
from ..identity import are_settled, settled


def copy_of(row: Any) -> Any:
    """Return a copy of a row, also of one whose model isn't in the registry of apps."""
    model: Any = type(row)
    copied = model.__new__(model)
    vars(copied).update(vars(row))  # __getstate__() would leave out memoryviews
    copied._state = copy(row._state)
    copied._state.fields_cache = dict(row._state.fields_cache)
    return copied


@contextmanager
def deferring_if_lost(row: Any, fields: Iterable[Any], connection: Any) -> Iterator[None]:
    """Defer the fields if they can't be read after their row was committed.

    An error would mean that the row isn't stored. In a transaction, it is raised.
    """
    try:
        yield
    except DatabaseError:
        if connection.in_atomic_block:
            raise
        for field in fields:
            delattr(row, field.attname)


class RowValues:
    """The attributes that were set, and what they were before."""

    def __init__(self) -> None:
        self._before: list[tuple[Sequence[Any], str, list[Any]]] = []
        self._settled: list[tuple[Any, str, Any, Any]] = []

    def __bool__(self) -> bool:
        """Return whether there is anything to restore."""
        return bool(self._before)

    def set(self, rows: Sequence[Any], attname: str, values: Iterable[Any]) -> None:
        """Set an attribute of each row, until :meth:`restore` is called."""
        self._before.append((rows, attname, list(map(attrgetter(attname), rows))))
        for row, value in zip(rows, values, strict=True):
            setattr(row, attname, value)

    def restore(self) -> None:
        """Give all attributes the values that they had."""
        for rows, attname, values in reversed(self._before):
            for row, value in zip(rows, values, strict=True):
                setattr(row, attname, value)

    def settle(self, rows: Sequence[Any], field: Any) -> None:
        """Set the field to what its column must store, until :meth:`unsettle` is called.

        The name of the counter is made from that value; see :func:`settled`.
        """
        attname = field.attname
        values = list(map(attrgetter(attname), rows))
        if are_settled(field, values):
            return
        for row, value in zip(rows, values, strict=True):
            if is_expression(value):
                continue
            if (stored := settled(field, value)) is not value:
                self._settled.append((row, attname, value, stored))
                setattr(row, attname, stored)

    def settle_again(self) -> None:
        """Set the settled fields once more, for another INSERT of the same statement."""
        for row, attname, _, stored in self._settled:
            setattr(row, attname, stored)

    def unsettle(self) -> None:
        """Give the settled fields the values that the caller has set."""
        for row, attname, value, _ in self._settled:
            setattr(row, attname, value)
