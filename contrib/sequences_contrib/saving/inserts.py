"""Numbering a row when Django inserts it: a wrapper around ``Model._do_insert``."""

from __future__ import annotations

import functools
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from sequences_core import DurabilityUnknown
from sequences_core.taking import database_errors

from ..counters import Numbering, is_numbered, unsettled_in_parents
from ..expressions import is_expression
from .numbering import Numbers
from .row_values import RowValues, deferring_if_lost


def numbering_insert(insert: Any) -> Any:
    """Wrap ``Model._do_insert``: the row is inserted with its numbers, or keeps what it had."""

    def number(
        self: Any, manager: Any, using: str, fields: Any, returning_fields: Any, raw: bool
    ) -> Any:
        numbered = list(filter(is_numbered, fields))
        if raw or not numbered:
            return insert(self, manager, using, fields, returning_fields, raw)
        connection = connections[using]
        returns = connection.features.can_return_columns_from_insert
        asked: list[Any] = []
        numbers = Numbers(connection, [self], numbered)
        results: Any = None
        unknown: DurabilityUnknown | None = None
        try:
            with numbers:
                # Numbers that were set here needn't be read back.
                asked = [
                    field
                    for field in returning_fields
                    if not isinstance(field, Numbering)
                    or (returns and type(getattr(self, field.attname)) is not int)
                ]
                results = insert(self, manager, using, fields, asked, raw)
        except DurabilityUnknown as error:
            if results is None:  # It is about another transaction, before the INSERT.
                numbers.restore(error)
                raise
            unknown = error
        except BaseException as error:
            # This generator is entered for errors only, so that other INSERTs don't pay for it.
            with database_errors(connection, ours=False):
                numbers.restore(error)
                raise
        known = dict(zip(asked, results[0] if results else (), strict=False))
        for field, value in known.items():
            setattr(self, field.attname, value)
        if returns:
            results = []  # Django has nothing left to set.
        else:
            _read_back(self, connection, numbered, known)
            results = _in_order(self, numbered, results, returning_fields)
        if self._meta.parents and manager.model is not self._meta.concrete_model:
            self._state.adding = True  # The row of the child is inserted later, and may fail.
        numbers.remember()
        if unknown is not None:  # The row is stored, and the instance has its primary key.
            raise unknown
        return results

    @functools.wraps(insert)
    def _do_insert(self: Any, manager: Any, using: str, fields: Any, *args: Any) -> Any:
        model: type[Model] = type(self)
        sources = unsettled_in_parents(model) if model._meta.parents else ()
        if not sources:
            return number(self, manager, using, fields, *args)
        values = RowValues()
        for field in sources & set(fields):
            values.settle([self], field)
        try:
            return number(self, manager, using, fields, *args)
        finally:
            values.unsettle()

    return _do_insert


def _read_back(
    row: Model, connection: BaseDatabaseWrapper, numbered: list[Any], known: dict[Any, Any]
) -> None:
    """Read the numbers that an INSERT without RETURNING took, by the row's primary key.

    :param known: the values that the INSERT returned, by field.
    """
    taken = [field for field in numbered if is_expression(getattr(row, field.attname))]
    options = numbered[0].model._meta
    keys = [(key, known.get(key, getattr(row, key.attname))) for key in options.pk_fields]
    if not taken or any(is_expression(value) for _, value in keys):
        return
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in taken)
    condition = " AND ".join(f"{quote(key.column)} = %s" for key, _ in keys)
    with deferring_if_lost(row, taken, connection), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns} FROM {quote(options.db_table)} WHERE {condition}",
            [key.get_db_prep_value(value, connection) for key, value in keys],
        )
        # Somebody may have deleted the row meanwhile; its numbers are None then.
        numbers = cursor.fetchone() or [None] * len(taken)
        for field, number in zip(taken, numbers, strict=True):
            setattr(row, field.attname, number)


def _in_order(row: Model, numbered: list[Any], results: Any, returning_fields: Any) -> Any:
    """Insert the numbers into the results of an INSERT, where Django looks for them."""
    if not results:
        return results
    values = list(results[0])
    returned: list[Any] = []
    for field in returning_fields:
        known = field in numbered and field.attname in row.__dict__
        if not known and not values:
            break
        number = row.__dict__.get(field.attname)
        returned.append(number if field in numbered else values.pop(0))
    return [tuple(returned)]
