"""The function of NextValue. SQLite can't store functions, so each connection defines it.

The function executes the allocator's upsert on the connection that evaluates it, which SQLite
allows (https://www.sqlite.org/c3ref/create_function.html). In autocommit, the upsert and the
calling statement are one transaction.
"""

from __future__ import annotations

import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import EXHAUSTED, FUNCTION, Allocation, checked
from sequences_core.arguments import MAX_VALUE
from sequences_core.table import with_table

REFUSED = "user-defined function raised exception"
"""The text of sqlite3's error after any exception inside a function."""

LAST = "SELECT last FROM {table} WHERE name = ?"

Statement = tuple[str, list[Any]]

_kept = threading.local()


def make(connection: BaseDatabaseWrapper, upsert: Callable[[Allocation], Statement]) -> None:
    """Define the function on the driver's connection, unless it is defined already."""
    database: Any = connection
    if database.connection is None:
        database.ensure_connection()
    if getattr(database, FUNCTION, None) is database.connection:
        return
    # The driver's connection refers to its functions, so they must refer to it only weakly.
    wrapper: Callable[[], Any] = weakref.ref(database)

    def next_value(name: Any, initial_value: Any, reset_value: Any) -> int:
        vars(_kept).clear()
        try:
            statement, params = upsert(checked(name, 1, initial_value, reset_value))
            run = wrapper().connection.execute
            rows = run(statement.replace("%s", "?"), params).fetchall()
            if not rows:
                if run(with_table(LAST), [name]).fetchall() != [(MAX_VALUE,)]:
                    raise ValueError(f"{FUNCTION}: a trigger has skipped the row")  # RAISE(IGNORE)
                raise ValueError(f"{EXHAUSTED}: {name}")
        except BaseException as error:
            _kept.error, _kept.caller = error, sys._getframe(1)
            raise
        number: int = rows[0][0]
        return number

    database.connection.create_function(FUNCTION, 3, next_value)
    setattr(database, FUNCTION, database.connection)


def cause(error: Any) -> BaseException:
    """Return the driver's error, or the exception of our function that caused it.

    If this exception asks the thread to end, such as KeyboardInterrupt, raise it: sqlite3 doesn't.
    """
    if REFUSED in str(error):
        if not hasattr(error, "refusal"):
            error.refusal = _refusal(error)
        if error.refusal is not None and not isinstance(error.refusal, Exception):
            raise error.refusal
        error = error.refusal or error
    inside: BaseException = error.__cause__ or error
    return inside


def _refusal(error: BaseException) -> BaseException | None:
    """Return the exception of our function if it was raised in the driver's failed call, else None.

    Another function may have failed in this call, or ours in an earlier one.
    """
    kept: dict[str, Any] = {**vars(_kept)}
    vars(_kept).clear()
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return kept["error"] if kept and any(kept["caller"] is frame for frame in frames) else None
