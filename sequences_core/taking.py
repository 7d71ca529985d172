"""Taking a block: in which transaction, with which warning, and as which error it fails."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .allocator import EXHAUSTED, FUNCTION, TABLE, Allocation
from .exceptions import (
    AutocommitRefused,
    GapWarning,
    SequenceExhausted,
    SequenceLocked,
    TableMissing,
)
from .functions import forget_functions, function_missing
from .models import Counter
from .registry import get_allocator

__all__ = ["begin", "database_errors", "in_users_transaction", "outside_transaction", "take"]


def take(allocation: Allocation, using: str | None = None) -> range:
    """Take the block, with the errors and the warning that the public functions promise."""
    if not allocation.count:
        return range(0)
    connection = connections[using or router.db_for_write(Counter)]
    allocator = get_allocator(connection)
    if not in_users_transaction(connection):
        outside_transaction(allocation.name)
    if callable(allocation.initial_value):
        return _take_or_start(connection, allocation)
    try:  # what database_errors does, without a generator's cost on the way to each number
        return allocator.allocate(connection, allocation)
    except DatabaseError as error:
        _explain(connection, error, allocation.timeout)
        raise


def _take_or_start(connection: BaseDatabaseWrapper, allocation: Allocation) -> range:
    """Take the block; where there is no counter, start one at what the callable returns."""
    assert callable(allocation.initial_value)
    allocator = get_allocator(connection)
    with database_errors(connection, allocation.timeout):
        with suppress(SequenceExhausted):  # which it may be; or there is no counter
            return allocator.allocate(connection, allocation)
        if Counter.objects.using(connection.alias).filter(pk=allocation.name).exists():
            # Exhausted, or created since the first statement looked.
            return allocator.allocate(connection, allocation)
    # Another taker may create the counter meanwhile; the upsert then moves on from there.
    allocation = replace(allocation, initial_value=allocation.initial_value())
    with database_errors(connection, allocation.timeout):
        return allocator.allocate(connection, allocation)


def in_users_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return whether what is done now on this connection is part of a transaction."""
    return connection.in_atomic_block or not connection.get_autocommit()


def begin(using: str, timeout: float | None = None) -> transaction.Atomic:
    """Enter ``atomic()``, waiting for ``timeout`` seconds at the most where that takes a lock."""
    connection = connections[using]
    atomic = transaction.atomic(using=using, savepoint=False)
    if timeout is None or connection.in_atomic_block:
        atomic.__enter__()
    else:
        limited = get_allocator(connection).limited(connection, timeout)
        with database_errors(connection, timeout), limited:
            atomic.__enter__()
    return atomic


@contextmanager
def database_errors(
    connection: BaseDatabaseWrapper, timeout: float | None = None, *, ours: bool = True
) -> Iterator[None]:
    """Turn the database's errors into ours, and tell Django when the transaction is dead.

    ``ours`` says that the block has statements of ours alone.
    """
    try:
        yield
    except DatabaseError as error:
        _explain(connection, error, timeout, ours)
        raise


def _explain(
    connection: BaseDatabaseWrapper, error: DatabaseError, timeout: float | None, ours: bool = True
) -> None:
    """Set ``needs_rollback`` as the server has it, and raise our error where there is one."""
    allocator = get_allocator(connection)
    if connection.in_atomic_block and allocator.aborts_transaction(connection, error):
        connection.needs_rollback = True
    code, text = allocator.error_code(error), allocator.error_text(error)
    if code in allocator.missing_table_codes and (ours or TABLE in text.lower()):
        raise TableMissing(
            f"database {connection.alias!r} has no table {Counter._meta.db_table}: run "
            f"manage.py migrate sequences_core --database={connection.alias}"
        ) from error
    if code in allocator.missing_function_codes and FUNCTION in text.lower():
        forget_functions()  # it was there when somebody looked
        raise function_missing(connection) from error
    if timeout is not None and code in allocator.lock_timeout_codes:
        raise SequenceLocked(f"the sequence was locked for {timeout} s: {error}") from error
    if EXHAUSTED in text and not isinstance(error, SequenceExhausted):
        raise SequenceExhausted(text) from error


CALLED = frozenset({__name__, f"{__package__}.api"})
"""The modules that stand between a public function and the warning."""


def outside_transaction(name: str) -> None:
    """Warn, at the caller's line, of a number that is taken in autocommit; or refuse to take it."""
    mode = getattr(settings, "SEQUENCES_AUTOCOMMIT", "warn")
    message = (
        f"a number of sequence {name!r} is taken outside a transaction: if what follows fails, "
        f"the number is lost. Use transaction.atomic(), or set SEQUENCES_AUTOCOMMIT"
    )
    if mode == "error":
        raise AutocommitRefused(message)
    if mode == "warn":
        stacklevel, frame = 1, sys._getframe()
        while frame.f_back and frame.f_globals.get("__name__") in CALLED:
            stacklevel, frame = stacklevel + 1, frame.f_back
        warnings.warn(message, GapWarning, stacklevel=stacklevel)
    elif mode != "allow":
        raise ImproperlyConfigured(
            f"SEQUENCES_AUTOCOMMIT is 'allow', 'warn' or 'error', not {mode!r}"
        )
