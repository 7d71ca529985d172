"""An INSERT that takes its number in-statement, by calling a database function."""

from __future__ import annotations

from contextlib import ExitStack
from functools import lru_cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import FileField, Model

from sequences_core import NextValue
from sequences_core.early_release import WaitedFor, durability
from sequences_core.functions import has_function
from sequences_core.taking import in_users_transaction
from sequences_core.waits import are_measured, measuring

from ..copied import Copied
from ..expressions import is_expression
from ..scopes import PLAIN_PRE_SAVES


def can_take(connection: BaseDatabaseWrapper, field: Any, row: Any) -> bool:
    """Return whether the INSERT of this row can take the field's number by itself."""
    if not field.is_plain or _is_read(field.model) or _takes_another(row):
        return False
    if not has_function(connection):
        return False
    if connection.features.can_return_columns_from_insert:
        return True
    # The number is read back by the primary key, after the commit.
    keys = field.model._meta.pk_fields
    is_known = not any(is_expression(getattr(row, key.attname)) for key in keys)
    return is_known and field not in keys and not in_users_transaction(connection)


def take(connection: BaseDatabaseWrapper, field: Any, name: str) -> tuple[NextValue, Any]:
    """Return the expression that takes the number, and what surrounds the INSERT, entered.

    That is a context manager, which the caller exits after the INSERT, or None. It waits until the
    INSERT is durable, if that releases the counter earlier, and measures the wait for the counter.
    """
    # In atomic(), the core waits after the COMMIT. In autocommit, nobody else waits.
    must_wait = durability(connection) is not None and connection.get_autocommit()
    expression = _expression(name, field.first, field.reset_value, must_wait)
    if are_measured():
        with ExitStack() as around:
            if must_wait:
                around.enter_context(WaitedFor(connection))
            around.enter_context(measuring(connection, name))
            return expression, around.pop_all()
    if not must_wait:
        return expression, None
    waited_for = WaitedFor(connection)  # An ExitStack would cost more than this object.
    waited_for.__enter__()
    return expression, waited_for


@lru_cache(maxsize=1024)
def _expression(name: str, first: int, reset_value: int | None, waited_for: bool) -> NextValue:
    """Return the expression, which is cached because most INSERTs use one of a few counters."""
    expression = NextValue(name, first, reset_value)
    return expression.waited_for() if waited_for else expression


def _takes_another(row: Any) -> bool:
    """Return whether another value takes a number in the INSERT, whose columns decide the order."""
    values = filter(is_expression, vars(row).values())
    return any(isinstance(part, NextValue) for value in values for part in value.flatten())


@lru_cache(maxsize=1024)
def _is_read(model: type[Model]) -> bool:
    """Return whether another field of the model may read the number while the row is inserted.

    Such a field would read the expression instead of the number.
    """
    others = [field for field in model._meta.local_concrete_fields if not isinstance(field, Copied)]
    return any(map(_reads_rows, others))


def _reads_rows(field: Any) -> bool:
    """Return whether ``pre_save()`` of the field may read other fields of the row."""
    if isinstance(field, FileField) and type(field).pre_save is FileField.pre_save:
        return callable(field.upload_to)
    return type(field).pre_save not in PLAIN_PRE_SAVES
