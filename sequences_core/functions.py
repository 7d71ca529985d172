"""Is the function behind NextValue in the database? Asked once for each database and schema."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from .allocator import FUNCTION
from .exceptions import BackendError, FunctionMissing
from .registry import get_allocator

__all__ = ["forget_functions", "function_missing", "has_function", "make_function"]

_functions: dict[tuple[str, str, str], bool] = {}
_unserved: set[str] = set()


def has_function(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the function of NextValue is there and current."""
    allocator = get_allocator(connection)
    if not allocator.supports_function:
        return False
    if allocator.function_of_connection:
        with connection.wrap_database_errors:  # it is made on the driver's own connection
            return allocator.is_installed(connection)
    namespace = allocator.namespace(connection)
    place = (connection.alias, str(connection.settings_dict["NAME"]), namespace)
    if place not in _functions:
        # Out of assertNumQueries' sight, which would depend on the test that came first.
        logged, connection.force_debug_cursor = connection.force_debug_cursor, False
        try:
            _functions[place] = allocator.is_installed(connection)
        finally:
            connection.force_debug_cursor = logged
    return _functions[place]


def forget_functions(*, setting: str | None = None, **kwargs: Any) -> None:
    """Ask again: a function was made or dropped, or a setting changed."""
    if setting in {None, "SEQUENCES_BACKEND", "DATABASES"}:
        _functions.clear()
    if setting in {"SEQUENCES_BACKEND", "DATABASES"}:
        _unserved.clear()


def make_function(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Give a new connection the function that its database can't store.

    For statements that are not compiled with NextValue in them: from Django 6.0 on an INSERT leaves
    out the column of a db_default, and SQLite takes it from the table's definition.
    """
    if connection.alias in _unserved:
        return
    try:
        allocator = get_allocator(connection)
    except BackendError:  # said by check_settings
        _unserved.add(connection.alias)  # for looking at what is installed takes milliseconds
        return
    if allocator.function_of_connection:
        allocator.is_installed(connection)


def function_missing(connection: BaseDatabaseWrapper) -> FunctionMissing:
    """Make the error that says how to get the function."""
    from .models import Counter  # NextValue may be imported before models can be

    return FunctionMissing(
        f"{place_of(connection)} has no current function {FUNCTION} that its user may execute: "
        f"run manage.py sequences install --database={connection.alias}. If a migration has asked "
        f"for the function, let that migration run after the one that makes it: "
        f'dependencies = [("{Counter._meta.app_label}", "0001_initial")]'
    )


def place_of(connection: BaseDatabaseWrapper) -> str:
    """Return the database for a message, with the schema if that is known."""
    schema = get_allocator(connection).namespace(connection)
    return f"{f'schema {schema!r} of ' if schema else ''}database {connection.alias!r}"
