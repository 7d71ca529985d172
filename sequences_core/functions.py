"""Is the function behind NextValue in the database? Asked once for each database and schema."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from .allocator import FUNCTION
from .exceptions import BackendError, FunctionMissing
from .registry import get_allocator

__all__ = ["forget_functions", "function_missing", "has_function", "make_function"]

_functions: dict[tuple[str, str], bool] = {}


def has_function(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the function of NextValue is there and current."""
    allocator = get_allocator(connection)
    if not allocator.supports_function or allocator.function_of_connection:
        return allocator.supports_function and allocator.is_installed(connection)
    database = (connection.alias, str(connection.settings_dict["NAME"]))
    if database not in _functions:
        # Out of assertNumQueries' sight, which would depend on the test that came first.
        logged, connection.force_debug_cursor = connection.force_debug_cursor, False
        try:
            _functions[database] = allocator.is_installed(connection)
        finally:
            connection.force_debug_cursor = logged
    return _functions[database]


def forget_functions(**kwargs: Any) -> None:
    """Ask again: a function was made or dropped, or a setting changed."""
    if kwargs.get("setting") in {None, "SEQUENCES_BACKEND", "DATABASES"}:
        _functions.clear()


def make_function(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Give a new connection the function that its database can't store.

    For statements that are not compiled with NextValue in them: from Django 6.0 on an INSERT leaves
    out the column of a db_default, and SQLite takes it from the table's definition.
    """
    try:
        allocator = get_allocator(connection)
    except BackendError:  # said by check_settings
        return
    if allocator.function_of_connection:
        allocator.is_installed(connection)


def function_missing(connection: BaseDatabaseWrapper) -> FunctionMissing:
    """Make the error that says how to get the function."""
    return FunctionMissing(
        f"database {connection.alias!r} has no current function {FUNCTION} that its user may "
        f"execute: run manage.py sequences install --database={connection.alias}"
    )
