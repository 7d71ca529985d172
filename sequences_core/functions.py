"""Find out whether the function of NextValue exists, once for each database and schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from .allocator import FUNCTION
from .exceptions import BackendError, FunctionMissing
from .registry import get_allocator

__all__ = ["forget_functions", "function_missing", "has_function", "make_function"]

_functions: dict[tuple[str, str, str], bool] = {}
_unserved: set[str] = set()


def has_function(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the function of NextValue exists, is current, and may be executed."""
    allocator = get_allocator(connection)
    if not allocator.supports_function:
        return False
    if allocator.function_of_connection:
        with connection.wrap_database_errors:  # the driver's connection defines the function
            return allocator.is_installed(connection)
    namespace = allocator.namespace(connection)
    place = (connection.alias, str(connection.settings_dict["NAME"]), namespace)
    if place not in _functions:
        with uncounted(connection):
            _functions[place] = allocator.is_installed(connection)
    return _functions[place]


@contextmanager
def uncounted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Hide a query whose result is cached from assertNumQueries().

    The count must not depend on earlier tests.
    """
    logged, connection.force_debug_cursor = connection.force_debug_cursor, False
    try:
        yield
    finally:
        connection.force_debug_cursor = logged


def forget_functions(*, setting: str | None = None, **kwargs: Any) -> None:
    """Empty the cache after a function was created or dropped, or a setting has changed."""
    if setting in {None, "SEQUENCES_BACKEND", "DATABASES"}:
        _functions.clear()
    if setting in {"SEQUENCES_BACKEND", "DATABASES"}:
        _unserved.clear()


def make_function(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Define the function on a new connection if its database can't store functions.

    Statements that Django compiles without NextValue need it, too: since Django 6.0, an INSERT
    omits the column of a db_default, so that SQLite evaluates the default of the table.
    """
    if connection.alias in _unserved:
        return
    try:
        allocator = get_allocator(connection)
    except BackendError:  # check_settings() reports it
        _unserved.add(connection.alias)  # because searching the entry points takes milliseconds
        return
    if allocator.function_of_connection:
        allocator.is_installed(connection)


def function_missing(connection: BaseDatabaseWrapper) -> FunctionMissing:
    """Return the error that says how to create the function."""
    from .models import Counter  # NextValue may be imported before models can be

    return FunctionMissing(
        f"{place_of(connection)} has no current function {FUNCTION} that its user may execute: "
        f"run manage.py sequences install --database={connection.alias}. If a migration needs the "
        f"function, let it depend on the migration that creates the function: "
        f'dependencies = [("{Counter._meta.app_label}", "0001_initial")]'
    )


def place_of(connection: BaseDatabaseWrapper) -> str:
    """Return the database, and its schema if that is known, for a message."""
    schema = get_allocator(connection).namespace(connection)
    return f"{f'schema {schema!r} of ' if schema else ''}database {connection.alias!r}"
