"""Run a whole transaction again after a serialization failure or a deadlock.

A conflict can be reported as late as at COMMIT, and undoes the whole transaction. So everything
from BEGIN to COMMIT must be run again, not only a call of ``get_next_value()``.
"""

from __future__ import annotations

import functools
import inspect
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import AsyncGeneratorType, GeneratorType
from typing import Any, ParamSpec, TypeVar

from django.db import DatabaseError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .arguments import check_integer
from .endings import ends_transaction, text_of
from .models import Counter
from .origins import is_foreign
from .registry import get_allocator

__all__ = ["retry_atomic", "run_atomic"]

P = ParamSpec("P")
T = TypeVar("T")

FIRST_PAUSE = 0.01
"""In seconds: the time of a few commits on a local server."""

LONGEST_PAUSE = 1.0
"""In seconds: the default of PostgreSQL's deadlock_timeout."""

UNFINISHED = (
    *(GeneratorType, AsyncGeneratorType, map, filter, zip, enumerate, type(iter(int, 1))),
    Future,  # of a thread, whose connection has a transaction of its own
)
"""Types of lazy results. Awaitables and the types of itertools are lazy, too."""


class _Run:
    """One run of a block: records whether it was committed and the errors of its statements."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.allocator = get_allocator(connection)
        self.committed = False
        self.errors: list[DatabaseError] = []

    def note_commit(self) -> None:
        self.committed = True

    def execute(self, execute: Callable[..., Any], sql: Any, *args: Any) -> Any:
        """Execute a statement of the block, and record its error."""
        text = text_of(self.connection, sql)
        if ends_transaction(self.connection, text):
            raise transaction.TransactionManagementError(
                f"a block of run_atomic() must not end its transaction, as {text[:80]!r} would: if "
                f"it is run again after a conflict, rows that it has committed are stored twice"
            )
        try:
            return execute(sql, *args)
        except DatabaseError as error:
            self.errors.append(error)
            raise

    def fatal_errors(self) -> list[DatabaseError]:
        """Return the errors after which the transaction can't be committed."""
        if self.connection.closed_in_transaction:  # without a connection, nothing can be
            return self.errors
        aborts = self.allocator.aborts_transaction
        return [error for error in self.errors if aborts(self.connection, error)]

    def is_doomed(self) -> bool:
        """Return whether the transaction can't be committed.

        ``errors`` lacks those of fetching rows from a server-side cursor and of the driver's own
        cursors. But some backends know the state of the transaction, whatever the error was.
        """
        aborts = self.allocator.aborts_transaction
        return bool(self.fatal_errors()) or aborts(self.connection, DatabaseError())

    @contextmanager
    def conflicts_first(self) -> Iterator[None]:
        """Raise a conflict that the block has caught, instead of errors that result from it.

        For example, a savepoint may no longer exist after a conflict.
        """
        try:
            yield
        except DatabaseError:
            self._raise_conflict()
            raise
        self._raise_conflict()

    def _raise_conflict(self) -> None:
        for error in filter(self.allocator.is_retryable, self.fatal_errors()):
            raise error


def run_atomic(block: Callable[[], T], *, attempts: int = 10, using: str | None = None) -> T:
    """Call ``block`` in a transaction of its own, and again after a conflict.

    Only serialization failures and deadlocks are retried. ``block`` must be safe to run again: it
    must not send e-mails or keep state from an earlier attempt. Errors of ``on_commit`` hooks are
    not retried, because the transaction was committed; errors of other databases aren't either,
    because what the block did there may be committed. The pauses between attempts grow from
    some milliseconds to a second, at random.

    :param attempts: the maximum number of calls. The error of the last one is raised.
    :param using: the database alias. By default, the database router chooses it.
    :raises RuntimeError: a transaction is open already, or autocommit is off, so that this
        function can't execute the COMMIT.
    :raises TypeError: the block is, or returns, a coroutine or a generator, whose code would run
        only after the COMMIT.
    :raises TransactionManagementError: the block returned, but its transaction can only be rolled
        back: it caught an error that ended the transaction, or called ``set_rollback(True)``. Or
        the block executes a COMMIT, a ROLLBACK, or a statement that the database commits by itself,
        such as CREATE TABLE on MySQL.
    """
    attempts = _check_attempts(attempts)
    _refuse_deferred(block)
    alias = using or router.db_for_write(Counter)
    connection = connections[alias]
    allocator = get_allocator(connection)
    outermost = not connection.in_atomic_block  # else durable=True raises, except in a TestCase
    if outermost and not connection.get_autocommit():
        raise RuntimeError(
            f"database {alias!r} uses manual transaction management, so that this transaction "
            f"would not be committed: call set_autocommit(True) before"
        )
    for attempt in range(attempts):
        run = _Run(connection)
        try:
            with transaction.atomic(using=alias, durable=True):
                if outermost:  # it is the first hook, so that it runs even if another one raises
                    transaction.on_commit(run.note_commit, using=alias)
                with connection.execute_wrapper(run.execute), run.conflicts_first():
                    result = block()
                    _refuse_unfinished(result)
                # With needs_rollback, atomic() would roll back without an error. If the block has
                # caught an error of a cursor, Django doesn't know of it, and COMMIT may not fail.
                if connection.needs_rollback or run.is_doomed():
                    raise transaction.TransactionManagementError(
                        "the block returned, but its transaction can only be rolled back: don't "
                        "catch database errors in the block, or catch them around an inner atomic()"
                    )
            return result
        except DatabaseError as error:
            if run.committed or attempt + 1 == attempts:
                raise
            if is_foreign(connection, error) or not allocator.is_retryable(error):
                raise
        finally:
            run.errors.clear()  # their tracebacks refer to the block's local variables
        # Full jitter separates transactions that collided. The exponent is limited, because the
        # power of a large one would overflow.
        time.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 30))))  # noqa: S311 - no secret
    raise AssertionError("unreachable")


def retry_atomic(
    *, attempts: int = 10, using: str | None = None
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function so that :func:`run_atomic` runs each call.

    You can use it above or below ``staticmethod`` and ``classmethod``.

    :raises TypeError: the function is a class, a coroutine function or a generator function.
    """
    attempts = _check_attempts(attempts)

    def decorator(function: Callable[P, T]) -> Callable[P, T]:
        if isinstance(function, staticmethod | classmethod):
            kind: Any = type(function)
            return kind(decorator(function.__func__))  # type: ignore[no-any-return]
        if isinstance(function, type):
            raise TypeError(f"decorate the methods of {function!r}, not the class")
        _refuse_deferred(function)

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            return run_atomic(
                functools.partial(function, *args, **kwargs), attempts=attempts, using=using
            )

        return wrapper

    return decorator


def _check_attempts(attempts: int) -> int:
    attempts = check_integer("attempts", attempts)
    if attempts < 1:
        raise ValueError("attempts must be at least 1")
    return attempts


def _refuse_deferred(function: Any) -> None:
    """Raise TypeError for an object that isn't callable, or whose code runs after it returned."""
    if not callable(function):
        _close(function)
        raise TypeError(f"only a function can run in a transaction, not {function!r}")
    for each in (function, type(function).__call__):
        if (
            inspect.iscoroutinefunction(each)
            or inspect.isgeneratorfunction(each)
            or inspect.isasyncgenfunction(each)
        ):
            raise TypeError(
                f"{function!r} is a coroutine or generator function, whose code would run after "
                f"the COMMIT: use a plain function"
            )


def _refuse_unfinished(result: Any) -> None:
    """Raise TypeError for a lazy result, whose code hasn't run yet."""
    unfinished = getattr(result, "gen", result)  # @contextmanager functions have a generator there
    if (
        inspect.isawaitable(unfinished)
        or isinstance(unfinished, UNFINISHED)
        or type(unfinished).__module__ == "itertools"
    ):
        _close(unfinished)
        raise TypeError(
            f"the block returned {result!r}, whose code would run after the COMMIT: use a plain "
            f"function"
        )


def _close(unfinished: Any) -> None:
    """Close an awaitable that will not be awaited, to prevent its warning; cancel a task."""
    for name in ("close", "cancel"):
        if hasattr(unfinished, name) and inspect.isawaitable(unfinished):
            getattr(unfinished, name)()
            return
