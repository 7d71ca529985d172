"""Taking a block: in which transaction, with which warning, and as which error it fails."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from logging import DEBUG

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from . import waits
from .allocator import EXHAUSTED, FUNCTION, Allocation
from .arguments import check_integer
from .exceptions import (
    AutocommitRefused,
    GapWarning,
    SequenceExhausted,
    SequenceLocked,
    SequencesError,
    TableMissing,
)
from .functions import forget_functions, function_missing, place_of
from .models import Counter
from .origins import is_foreign
from .registry import get_allocator
from .table import table_parts

__all__ = ["begin", "database_errors", "in_users_transaction", "outside_transaction", "take"]

Allocate = Callable[[BaseDatabaseWrapper, Allocation], range]


def take(allocation: Allocation, using: str | None = None) -> range:
    """Take the block, with the errors and the warning that the public functions promise."""
    if not allocation.count:
        return range(0)
    connection = connections[using or router.db_for_write(Counter)]
    allocator = get_allocator(connection)
    if not in_users_transaction(connection):
        outside_transaction(allocation.name)
    allocate: Allocate = allocator.allocate
    # Here, so that it costs those who don't want to know one call, that of the logger.
    if waits.always or waits.logger.isEnabledFor(DEBUG):
        allocate = partial(waits.allocate, allocator)
    if callable(allocation.initial_value):
        return _take_or_start(connection, allocation, allocate)
    try:
        return allocate(connection, allocation)
    except Exception:
        # Only now, so that a number that is taken doesn't pay for a generator.
        with database_errors(connection, allocation.timeout):
            raise


def _take_or_start(
    connection: BaseDatabaseWrapper, allocation: Allocation, allocate: Allocate
) -> range:
    """Take the block; where there is no counter, start one at what the callable returns."""
    assert callable(allocation.initial_value)
    with database_errors(connection, allocation.timeout):
        with suppress(SequenceExhausted):  # which it may be; or there is no counter
            return allocate(connection, allocation)
        if Counter.objects.using(connection.alias).filter(pk=allocation.name).exists():
            # Exhausted, or created since the first statement looked.
            return allocate(connection, allocation)
    try:
        first = allocation.initial_value()
    except DatabaseError as error:  # the callable's own, whatever it is
        mark_rollback(connection, error)
        raise
    # Another taker may have created the counter meanwhile; the upsert then moves on from there.
    allocation = replace(allocation, initial_value=check_integer("initial_value", first))
    with database_errors(connection, allocation.timeout):
        return allocate(connection, allocation)


def in_users_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the caller has opened a transaction on this connection.

    Those that Django's TestCase opens around each test and class are not the caller's: what warns
    or fails outside a transaction must do so in a test.
    """
    if not connection.in_atomic_block:
        return not connection.get_autocommit()
    # A TestCase's blocks are the outermost ones, so if the last is, all are.
    blocks = connection.atomic_blocks
    return not (blocks and getattr(blocks[-1], "_from_testcase", False))


def begin(using: str, timeout: float | None = None) -> transaction.Atomic:
    """Enter ``atomic()``, waiting for ``timeout`` seconds at the most where that takes a lock.

    No savepoint is made in the caller's transaction: an error marks that for rollback.
    """
    connection = connections[using]
    atomic = transaction.atomic(using=using, savepoint=not in_users_transaction(connection))
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

    Errors of other databases pass unchanged. ``ours=False`` says that the block runs other
    statements than ours, too: only an error that names our table or function is turned into ours.
    """
    try:
        # Django lets some errors of a driver through, such as those of closing a cursor.
        with connection.wrap_database_errors if ours else nullcontext():
            yield
    except DatabaseError as error:
        _explain(connection, error, timeout, ours)
        raise


def mark_rollback(connection: BaseDatabaseWrapper, error: DatabaseError) -> None:
    """Set ``needs_rollback`` if the error has ended the transaction that is open here."""
    if not connection.in_atomic_block or is_foreign(connection, error):
        return
    if connection.connection is None or connection.closed_in_transaction:
        return  # the transaction ended with its connection, and Django knows
    if get_allocator(connection).aborts_transaction(connection, error):
        connection.needs_rollback = True


def _explain(
    connection: BaseDatabaseWrapper, error: DatabaseError, timeout: float | None, ours: bool = True
) -> None:
    """Mark the transaction as the server has it, and raise our error where there is one."""
    if isinstance(error, SequencesError) or is_foreign(connection, error):
        return  # said already, or not by this database
    mark_rollback(connection, error)
    allocator = get_allocator(connection)
    code, text = allocator.error_code(error), allocator.error_text(error)
    if code in allocator.missing_table_codes and (
        _names(text, table_parts()[-1]) or (ours and not allocator.names_missing_table)
    ):
        raise _table_missing(connection) from error
    if code in allocator.missing_function_codes and _names(text, FUNCTION):
        forget_functions()  # it was there when somebody looked
        raise function_missing(connection) from error
    if ours and timeout is not None and code in allocator.lock_timeout_codes:
        raise SequenceLocked(f"the sequence was locked for {timeout} s: {error}") from error
    if EXHAUSTED in text:
        raise SequenceExhausted(text) from error


def _names(text: str, name: str) -> bool:
    """Does the text of an error name this table or function, and not only one like it?"""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None


def _table_missing(connection: BaseDatabaseWrapper) -> TableMissing:
    alias = connection.alias
    label = Counter._meta.app_label
    remedy = f"run manage.py migrate {label} --database={alias}"
    if not router.allow_migrate_model(alias, Counter):
        remedy = f"the router's allow_migrate({alias!r}, {label!r}) is false"
    return TableMissing(f"{place_of(connection)} has no table {'.'.join(table_parts())}: {remedy}")


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
