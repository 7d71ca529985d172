"""Take a block: check for a transaction, and convert the database's errors."""

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
from django.db import DatabaseError, OperationalError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

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

__all__ = [
    "OUR_MODELS",
    "begin",
    "database_errors",
    "in_users_transaction",
    "outside_transaction",
    "take",
]

OUR_MODELS: set[type[Model]] = {Counter}
"""The models whose missing tables TableMissing reports. Other distributions add their own."""

Allocate = Callable[[BaseDatabaseWrapper, Allocation], range]


def take(allocation: Allocation, using: str | None = None) -> range:
    """Take the block, with the errors and the warning that the public functions document."""
    if not allocation.count:
        return range(0)
    connection = connections[using or router.db_for_write(Counter)]
    allocator = get_allocator(connection)
    if not in_users_transaction(connection):
        outside_transaction(allocation.name)
    allocate: Allocate = allocator.allocate
    # Checked here, so that one call of the logger is all that unmeasured calls cost.
    if waits.always or waits.logger.isEnabledFor(DEBUG):
        allocate = partial(waits.allocate, allocator)
    if callable(allocation.initial_value):
        return _take_or_start(connection, allocation, allocate)
    try:
        return allocate(connection, allocation)
    except BaseException:
        # Entered only after an error, so that a successful call doesn't create a generator.
        with _taking_errors(connection, allocation):
            raise


def _take_or_start(
    connection: BaseDatabaseWrapper, allocation: Allocation, allocate: Allocate
) -> range:
    """Take the block; if there is no counter, create one that starts at the callable's result."""
    assert callable(allocation.initial_value)
    with _taking_errors(connection, allocation):
        with suppress(SequenceExhausted):  # also raised if there is no counter
            return allocate(connection, allocation)
        if Counter.objects.using(connection.alias).filter(pk=allocation.name).exists():
            # The sequence is exhausted, or its counter was created after the first statement.
            return allocate(connection, allocation)
    try:
        first = allocation.initial_value()
    except DatabaseError as error:  # of the callable's own statements
        mark_rollback(connection, error)
        raise
    # Another transaction may have created the counter meanwhile; then the upsert increases it.
    allocation = replace(allocation, initial_value=check_integer("initial_value", first))
    with _taking_errors(connection, allocation):
        return allocate(connection, allocation)


@contextmanager
def _taking_errors(connection: BaseDatabaseWrapper, allocation: Allocation) -> Iterator[None]:
    """Convert the errors of statements that take the block.

    Any other exception, such as that of a signal's handler, may be raised after the block was taken
    and before the caller has received it. So the transaction can only be rolled back.
    """
    try:
        with database_errors(connection, allocation.timeout):
            try:
                yield
            except SequenceExhausted:
                _check_exhausted(connection, allocation)
                raise
    except DatabaseError:
        raise
    except BaseException:
        if connection.in_atomic_block:
            connection.needs_rollback = True
        raise


def _check_exhausted(connection: BaseDatabaseWrapper, allocation: Allocation) -> None:
    """Raise OperationalError if the sequence isn't exhausted, but the row was skipped."""
    counters = Counter.objects.using(connection.alias).filter(pk=allocation.name)
    if connection.in_atomic_block:  # read the current version of the row, not an older snapshot's
        counters = counters.select_for_update()
    last = next(iter(counters.values_list("last", flat=True)), None)
    if last is None:  # with a callable, it isn't even known whether there is a counter
        exhausted = allocation.first_last is None and not callable(allocation.initial_value)
    else:
        exhausted = allocation.reset_value is None and last > allocation.highest_before
    if not exhausted:
        raise not_stored(allocation.name)


def not_stored(name: str) -> OperationalError:
    """Return the error for a statement that succeeded, but didn't store the counter.

    A BEFORE trigger can skip the row: by RETURN NULL on PostgreSQL, by RAISE(IGNORE) on SQLite. A
    policy of PostgreSQL's row-level security can hide it from UPDATE, but not from SELECT.
    """
    return OperationalError(
        f"the last number of sequence {name!r} was not stored: does a trigger on table "
        f"{'.'.join(_parts_of_table(Counter))} skip the row, or a policy hide it?"
    )


def in_users_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the caller has opened a transaction on this connection.

    The transactions that Django's TestCase opens around each class and test don't count: code
    that warns or fails outside a transaction must do so in a test, too.
    """
    if not connection.in_atomic_block:
        return not connection.get_autocommit()
    # The outermost blocks are those of the TestCase, so if the last block is one, all are.
    blocks = connection.atomic_blocks
    return not (blocks and getattr(blocks[-1], "_from_testcase", False))


def begin(using: str, timeout: float | None = None) -> transaction.Atomic:
    """Enter ``atomic()``; where this takes a lock, wait for it for at most ``timeout`` seconds.

    In the caller's transaction, this creates no savepoint: an error marks the transaction for
    rollback.
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
    """Convert the database's errors into ours, and set ``needs_rollback`` where it applies.

    Errors of other connections pass unchanged. Pass ``ours=False`` if the block also executes
    statements of other code: then only errors that name our table or function are converted.
    """
    try:
        # Django doesn't convert some errors of a driver, such as those of closing a cursor.
        with connection.wrap_database_errors if ours else nullcontext():
            yield
    except DatabaseError as error:
        _explain(connection, error, timeout, ours)
        raise


def mark_rollback(connection: BaseDatabaseWrapper, error: DatabaseError) -> None:
    """Set ``needs_rollback`` if, after the error, the transaction can only be rolled back."""
    if not connection.in_atomic_block or is_foreign(connection, error):
        return
    if connection.connection is None or connection.closed_in_transaction:
        return  # the transaction ended with its connection, and Django has recorded that
    try:
        aborts = get_allocator(connection).aborts_transaction(connection, error)
    except DatabaseError:  # a conflict has undone the transaction meanwhile
        connection.needs_rollback = True
        raise
    if aborts:
        connection.needs_rollback = True


def _explain(
    connection: BaseDatabaseWrapper, error: DatabaseError, timeout: float | None, ours: bool = True
) -> None:
    """Set ``needs_rollback`` where it applies, and raise our error if one fits."""
    if isinstance(error, SequencesError) or is_foreign(connection, error):
        return  # it is converted already, or another database's
    mark_rollback(connection, error)
    allocator = get_allocator(connection)
    code, text = allocator.error_code(error), allocator.error_text(error)
    if code in allocator.missing_table_codes:
        missing = [model for model in OUR_MODELS if _names(text, _parts_of_table(model)[-1])]
        if not missing and ours and not allocator.names_missing_table:
            missing = [Counter]
        if missing:
            raise _table_missing(connection, missing[0]) from error
    if code in allocator.missing_function_codes and _names(text, FUNCTION):
        forget_functions()  # the cache may say that the function exists
        raise function_missing(connection) from error
    if ours and timeout is not None and code in allocator.lock_timeout_codes:
        raise SequenceLocked(
            f"another transaction locked the counter for more than {timeout} s: {error}"
        ) from error
    if EXHAUSTED in text:
        raise SequenceExhausted(text) from error


def _names(text: str, name: str) -> bool:
    """Return whether the text names this table or function, not only a similar name."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None


def _parts_of_table(model: type[Model]) -> list[str]:
    return model._meta.db_table.replace('"', "").split(".")


def _table_missing(connection: BaseDatabaseWrapper, model: type[Model]) -> TableMissing:
    alias, label, table = connection.alias, model._meta.app_label, ".".join(_parts_of_table(model))
    remedy = f"run manage.py migrate {label} --database={alias}"
    if not router.allow_migrate_model(alias, model):
        remedy = f"the router's allow_migrate({alias!r}, {label!r}) returns False"
    elif model is Counter:
        remedy += ", or rename the table if SEQUENCES_TABLE has changed"
    return TableMissing(f"{place_of(connection)} has no table {table}: {remedy}")


CALLED = frozenset({__name__, f"{__package__}.api"})
"""The modules whose frames are between the caller of a public function and the warning."""


def outside_transaction(name: str) -> None:
    """Issue a GapWarning at the caller's line, or raise AutocommitRefused.

    SEQUENCES_AUTOCOMMIT decides.
    """
    mode = getattr(settings, "SEQUENCES_AUTOCOMMIT", "warn")
    message = (
        f"a number of sequence {name!r} is taken outside a transaction: if the code that uses it "
        f"fails, the number is lost. Use transaction.atomic(), or set SEQUENCES_AUTOCOMMIT"
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
            f"SEQUENCES_AUTOCOMMIT must be 'allow', 'warn' or 'error', not {mode!r}"
        )
