"""Running a whole transaction again after a serialization failure or a deadlock.

A conflict can surface as late as at COMMIT, and after it nothing of the transaction is left. So
the unit that is run again is everything from BEGIN to COMMIT; a call of ``get_next_value`` alone
can't be.
"""

from __future__ import annotations

import functools
import inspect
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import AsyncGeneratorType, GeneratorType
from typing import Any, ParamSpec, TypeVar

from django.db import DatabaseError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .arguments import check_integer
from .models import Counter
from .origins import is_foreign
from .registry import get_allocator

__all__ = ["retry_atomic", "run_atomic"]

P = ParamSpec("P")
T = TypeVar("T")

FIRST_PAUSE = 0.01
"""Seconds: a few commits on a local server."""

LONGEST_PAUSE = 1.0
"""Seconds: as long as PostgreSQL takes to notice a deadlock (deadlock_timeout)."""

UNFINISHED = (GeneratorType, AsyncGeneratorType, map, filter, zip, enumerate)
"""With awaitables and all of itertools, what is returned before its code has run."""


class _Run:
    """One run of a block: whether it was committed, and the errors of its statements."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.allocator = get_allocator(connection)
        self.committed = False
        self.errors: list[DatabaseError] = []

    def note_commit(self) -> None:
        self.committed = True

    def note_error(self, execute: Callable[..., Any], *args: Any) -> Any:
        try:
            return execute(*args)
        except DatabaseError as error:
            self.errors.append(error)
            raise

    def fatal_errors(self) -> list[DatabaseError]:
        """Return those after which the transaction can't be committed."""
        if self.connection.closed_in_transaction:  # nobody can say, and nothing can be committed
            return self.errors
        aborts = self.allocator.aborts_transaction
        return [error for error in self.errors if aborts(self.connection, error)]

    @contextmanager
    def conflicts_first(self) -> Iterator[None]:
        """Raise the conflict that a block has caught, also in place of what follows from it.

        That may be a savepoint that the server no longer knows.
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
    """Call ``block`` in a transaction of its own, and again when it lost a conflict.

    ``block`` must be safe to run again: no e-mails, and no state kept from an earlier attempt.
    Nothing that was committed is run again: an error of an ``on_commit`` hook is raised as it is,
    and so is one of another database, for what the block did there may be committed. Pauses grow
    from FIRST_PAUSE to LONGEST_PAUSE, with jitter.

    :param attempts: how often at the most; the error of the last attempt is raised.
    :raises RuntimeError: a transaction is open already, or autocommit is off, so that COMMIT would
        not be in the block.
    :raises TypeError: the block is, or returns, a coroutine or a generator: it would do its work
        only after the COMMIT.
    :raises TransactionManagementError: the block caught an error that ended the transaction, or
        called ``set_rollback(True)``: a result is returned only for what was committed.
    """
    attempts = _check_attempts(attempts)
    _refuse_deferred(block)
    alias = using or router.db_for_write(Counter)
    connection = connections[alias]
    allocator = get_allocator(connection)
    outermost = not connection.in_atomic_block  # else it is refused, but in a TestCase
    if outermost and not connection.get_autocommit():
        raise RuntimeError(
            f"database {alias!r} is in manual transaction management, so that what is run here "
            f"would not be committed: call set_autocommit(True) before"
        )
    for attempt in range(attempts):
        run = _Run(connection)
        try:
            with transaction.atomic(using=alias, durable=True):
                if outermost:  # the first hook, so that it runs whatever another one raises
                    transaction.on_commit(run.note_commit, using=alias)
                with connection.execute_wrapper(run.note_error), run.conflicts_first():
                    result = block()
                    _refuse_unfinished(result)
                # atomic() would roll back without a word. Of an error of a cursor that the block
                # caught Django doesn't know, and after it COMMIT doesn't fail.
                if connection.needs_rollback or run.fatal_errors():
                    raise transaction.TransactionManagementError(
                        "the block returned, but its transaction can only be rolled back: let "
                        "errors out of the block, or catch them around an atomic() of their own"
                    )
            return result
        except DatabaseError as error:
            if run.committed or attempt + 1 == attempts:
                raise
            if is_foreign(connection, error) or not allocator.is_retryable(error):
                raise
        finally:
            run.errors.clear()  # their tracebacks keep the block's locals
        # Full jitter spreads those who collided; 2.0**attempt could overflow, so bound it first.
        time.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 30))))  # noqa: S311 - no secret
    raise AssertionError("unreachable")


def retry_atomic(
    *, attempts: int = 10, using: str | None = None
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function so that each call is a :func:`run_atomic`.

    Use it above or below ``staticmethod`` and ``classmethod``. TypeError is raised for what isn't a
    plain function: a class, a coroutine function, a generator function.
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
        raise ValueError("attempts is at least 1")
    return attempts


def _refuse_deferred(function: Any) -> None:
    """Raise TypeError for what can't be called, or does its work only after it has returned."""
    if not callable(function):
        _close(function)
        raise TypeError(f"only a function can be run in a transaction, not {function!r}")
    for each in (function, type(function).__call__):
        if (
            inspect.iscoroutinefunction(each)
            or inspect.isgeneratorfunction(each)
            or inspect.isasyncgenfunction(each)
        ):
            raise TypeError(
                f"{function!r} is a coroutine or generator function, so it would do its work "
                f"after the COMMIT: put the work into a plain function"
            )


def _refuse_unfinished(result: Any) -> None:
    """Raise TypeError for a result whose code has not run yet."""
    unfinished = getattr(result, "gen", result)  # of a function with @contextmanager
    if (
        inspect.isawaitable(unfinished)
        or isinstance(unfinished, UNFINISHED)
        or type(unfinished).__module__ == "itertools"
    ):
        _close(unfinished)
        raise TypeError(
            f"the block returned {result!r}, which would do its work after the COMMIT: put the "
            f"work into a plain function"
        )


def _close(unfinished: Any) -> None:
    """Close what will not be run, so that it doesn't warn of that; cancel a task."""
    for name in ("close", "cancel"):
        if hasattr(unfinished, name) and inspect.isawaitable(unfinished):
            getattr(unfinished, name)()
            return
