"""The public functions, named as in django-sequences."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .allocator import EXHAUSTED, FUNCTION, Allocation, checked
from .arguments import check_integer, check_sequence_name
from .exceptions import (
    AutocommitRefused,
    GapWarning,
    SequenceExhausted,
    SequenceLocked,
    TableMissing,
)
from .expressions import forget_functions, function_missing
from .models import Counter
from .registry import get_allocator
from .table import table_parts

InitialValue = int | Callable[[], int]


def get_next_value(
    sequence_name: str = "default",
    initial_value: InitialValue = 1,
    reset_value: int | None = None,
    *,
    nowait: bool = False,
    timeout: float | None = None,
    using: str | None = None,
) -> int:
    """Take the next number of a sequence, in the transaction that is open.

    The number is given back if that transaction, or a savepoint around this call, rolls back.
    Another transaction that asks for the same sequence waits until this one ends.

    :param initial_value: the first number; a callable is called only if there is no counter yet.
    :param reset_value: before reaching this the sequence restarts at ``initial_value``.
    :param timeout: seconds to wait for another transaction; ``nowait=True`` is ``timeout=0``.
    :param using: the database alias; by default the router says.
    :raises TypeError, ValueError: for bad arguments, before the database is touched.
    :raises SequenceLocked: another transaction held the sequence for longer than ``timeout``.
    :raises SequenceExhausted: the number would be above 2**63 - 1.
    """
    if nowait:
        timeout = _no_time(timeout)
    request = Allocation if callable(initial_value) else checked
    return take(request(sequence_name, 1, initial_value, reset_value, timeout), using)[0]


def get_next_values(
    batch_size: int,
    sequence_name: str = "default",
    initial_value: InitialValue = 1,
    *,
    nowait: bool = False,
    timeout: float | None = None,
    using: str | None = None,
) -> range:
    """Take the next ``batch_size`` consecutive numbers; otherwise like :func:`get_next_value`.

    ``get_next_values(0)`` is an empty range and touches nothing.
    """
    if nowait:
        timeout = _no_time(timeout)
    request = Allocation if callable(initial_value) else checked
    return take(request(sequence_name, batch_size, initial_value, None, timeout), using)


def get_next_blocks(
    batch_sizes: Mapping[str, int],
    initial_value: InitialValue = 1,
    *,
    nowait: bool = False,
    timeout: float | None = None,
    using: str | None = None,
) -> dict[str, range]:
    """Take the next numbers of several sequences, in an order that can't deadlock.

    Transactions that take the same sequences in opposite orders end up waiting for each other.
    This takes them in the order of their names, whoever asks; so let it be a transaction's only
    way to numbers. All are taken or none: an error marks the transaction, or the savepoint around
    this call, for rollback.

    >>> get_next_blocks({"invoices": 1, "lines": 3})
    {'invoices': range(7, 8), 'lines': range(19, 22)}

    :param batch_sizes: how many numbers of which sequence.
    :param timeout: seconds to wait for other transactions, all in all.
    """
    if not isinstance(batch_sizes, Mapping):
        raise TypeError(f"batch_sizes maps names to how many, not {batch_sizes!r}")
    if nowait:
        timeout = _no_time(timeout)
    requests = [
        Allocation(name, count, initial_value, None, timeout) for name, count in batch_sizes.items()
    ]
    blocks = dict.fromkeys((request.name for request in requests), range(0))
    if not any(request.count for request in requests):
        return blocks
    alias = using or router.db_for_write(Counter)
    connection = connections[alias]
    if not connection.in_atomic_block and connection.get_autocommit():
        _outside_transaction(", ".join(blocks))
    deadline = time.monotonic() + (timeout or 0)
    with ExitStack() as stack:
        stack.push(begin(alias, timeout))
        for request in sorted(requests, key=lambda request: request.name):
            left = timeout and max(0.0, deadline - time.monotonic())
            blocks[request.name] = take(replace(request, timeout=left), alias)
    return blocks


def get_last_value(sequence_name: str = "default", *, using: str | None = None) -> int | None:
    """Return the last number taken, as this transaction sees it; None for no counter."""
    sequence_name = check_sequence_name(sequence_name)
    alias = using or router.db_for_read(Counter)
    with database_errors(connections[alias]):
        return _last_value(alias, sequence_name)


def set_last_value(
    value: int,
    sequence_name: str = "default",
    *,
    force: bool = False,
    using: str | None = None,
) -> None:
    """Make ``value`` the last number taken, so that ``value + 1`` is next.

    :param force: lower the counter too; the numbers above ``value`` will be given again.
    :raises ValueError: the counter is past ``value`` already, and ``force`` is false.
    """
    sequence_name = check_sequence_name(sequence_name)
    check_integer("value", value)
    alias = using or router.db_for_write(Counter)
    with database_errors(connections[alias]), transaction.atomic(using=alias, savepoint=False):
        last = _move(alias, sequence_name, value, force)
    if last > value:
        raise ValueError(
            f"sequence {sequence_name!r} is at {last}; to lower it to {value}, and give the "
            f"numbers above that again, use force=True"
        )


def delete(sequence_name: str = "default", *, using: str | None = None) -> bool:
    """Delete the counter, so that the sequence starts anew; return whether there was one."""
    sequence_name = check_sequence_name(sequence_name)
    alias = using or router.db_for_write(Counter)
    with database_errors(connections[alias]):
        deleted, _ = Counter.objects.using(alias).filter(pk=sequence_name).delete()
    return deleted > 0


class Sequence:
    """A sequence with its arguments said once; iterating over it takes numbers without end.

    >>> invoice_numbers = Sequence("invoices", initial_value=1000)
    >>> with transaction.atomic():
    ...     Invoice.objects.create(number=next(invoice_numbers))
    """

    def __init__(
        self,
        sequence_name: str = "default",
        initial_value: InitialValue = 1,
        reset_value: int | None = None,
        *,
        using: str | None = None,
    ) -> None:
        Allocation(sequence_name, 1, initial_value, reset_value)  # raises for bad arguments
        self.sequence_name = sequence_name
        self.initial_value = initial_value
        self.reset_value = reset_value
        self.using = using

    def get_next_value(self, *, nowait: bool = False, timeout: float | None = None) -> int:
        """See :func:`get_next_value`."""
        return get_next_value(
            self.sequence_name,
            self.initial_value,
            self.reset_value,
            nowait=nowait,
            timeout=timeout,
            using=self.using,
        )

    def get_next_values(
        self, batch_size: int, *, nowait: bool = False, timeout: float | None = None
    ) -> range:
        """See :func:`get_next_values`; ValueError for a sequence with a ``reset_value``."""
        if nowait:
            timeout = _no_time(timeout)
        allocation = Allocation(
            self.sequence_name, batch_size, self.initial_value, self.reset_value, timeout
        )
        return take(allocation, self.using)

    def get_last_value(self) -> int | None:
        """See :func:`get_last_value`."""
        return get_last_value(self.sequence_name, using=self.using)

    def set_last_value(self, value: int, *, force: bool = False) -> None:
        """See :func:`set_last_value`."""
        set_last_value(value, self.sequence_name, force=force, using=self.using)

    def delete(self) -> bool:
        """See :func:`delete`."""
        return delete(self.sequence_name, using=self.using)

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        return self.get_next_value()


def take(allocation: Allocation, using: str | None = None) -> range:
    """Take the block, with the errors and the warning that the functions above promise."""
    if not allocation.count:
        return range(0)
    connection = connections[using or router.db_for_write(Counter)]
    allocator = get_allocator(connection)
    if not connection.in_atomic_block and connection.get_autocommit():
        _outside_transaction(allocation.name)
    try:  # what database_errors does, without a generator's cost on the way to each number
        return allocator.allocate(connection, allocation)
    except DatabaseError as error:
        _explain(connection, error, allocation.timeout)
        raise


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
    if code in allocator.missing_table_codes and (
        ours or table_parts()[-1].lower() in text.lower()
    ):
        raise TableMissing(
            f"database {connection.alias!r} has no table {'.'.join(table_parts())}: run "
            f"manage.py migrate {Counter._meta.app_label} --database={connection.alias}"
        ) from error
    if code in allocator.missing_function_codes and FUNCTION in text.lower():
        forget_functions()  # it was there when somebody looked
        raise function_missing(connection) from error
    if timeout is not None and code in allocator.lock_timeout_codes:
        raise SequenceLocked(f"the sequence was locked for {timeout} s: {error}") from error
    if EXHAUSTED in text and not isinstance(error, SequenceExhausted):
        raise SequenceExhausted(text) from error


def _no_time(timeout: float | None) -> float:
    if timeout is not None:
        raise ValueError("nowait=True is timeout=0: give only one of them")
    return 0


def _last_value(alias: str, name: str) -> int | None:
    counters = Counter.objects.using(alias).filter(pk=name)
    return counters.values_list("last", flat=True).first()


def _move(alias: str, name: str, value: int, force: bool) -> int:
    """Lock the counter, move it to ``value`` if allowed, and return where it is."""
    counters = Counter.objects.using(alias).filter(pk=name)
    movable = counters if force else counters.filter(last__lte=value)
    if movable.update(last=value):
        return value
    # Locked, for another transaction may have created the counter since the update looked.
    found = list(counters.select_for_update().values_list("last", flat=True))
    if found:
        last = value if force else max(value, found[0])
        counters.update(last=last)
        return last
    connection = connections[alias]
    taken = get_allocator(connection).allocate(connection, Allocation(name, initial_value=value))
    # Unless another transaction was faster in creating the counter, taken is [value]. It is
    # locked by now, so going back from the number taken is safe.
    last = value if force or taken[0] <= value else taken[0] - 1
    counters.update(last=last)
    return last


def _outside_transaction(name: str) -> None:
    mode = getattr(settings, "SEQUENCES_AUTOCOMMIT", "warn")
    message = (
        f"a number of sequence {name!r} is taken outside a transaction: if what follows fails, "
        f"the number is lost. Use transaction.atomic(), or set SEQUENCES_AUTOCOMMIT"
    )
    if mode == "error":
        raise AutocommitRefused(message)
    if mode == "warn":
        stacklevel, frame = 1, sys._getframe()
        while frame.f_back and frame.f_code.co_filename == __file__:
            stacklevel, frame = stacklevel + 1, frame.f_back
        warnings.warn(message, GapWarning, stacklevel=stacklevel)
    elif mode != "allow":
        raise ImproperlyConfigured(
            f"SEQUENCES_AUTOCOMMIT is 'allow', 'warn' or 'error', not {mode!r}"
        )
