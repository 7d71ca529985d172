"""The public functions. Those that django-sequences has, too, have the same names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace

from django.db import IntegrityError, connections, router, transaction

from .allocator import Allocation, checked
from .arguments import check_integer, check_sequence_name
from .locking import lock, move, store
from .models import Counter
from .signals import sequence_renamed
from .taking import begin, database_errors, in_users_transaction, outside_transaction, take

__all__ = [
    "Sequence",
    "delete",
    "get_last_value",
    "get_next_blocks",
    "get_next_value",
    "get_next_values",
    "rename",
    "set_last_value",
]

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
    """Take the next number of a sequence in the current transaction.

    A rollback of the transaction, or to a savepoint before this call, gives the number back.
    Another transaction that asks for the same sequence waits until this one ends.

    :param initial_value: the first number. A callable is called only if there is no counter yet.
    :param reset_value: the sequence restarts at ``initial_value`` instead of reaching this value.
    :param timeout: the seconds to wait for another transaction; ``nowait=True`` means 0.
    :param using: the database alias. By default, the database router chooses it.
    :raises TypeError, ValueError: an argument is invalid. No statement was executed.
    :raises SequenceLocked: another transaction locked the counter for longer than ``timeout``.
    :raises SequenceExhausted: the number would exceed 2**63 - 1.
    """
    if nowait:
        timeout = _no_time(timeout)
    return take(checked(sequence_name, 1, initial_value, reset_value, timeout), using)[0]


def get_next_values(
    batch_size: int,
    sequence_name: str = "default",
    initial_value: InitialValue = 1,
    *,
    nowait: bool = False,
    timeout: float | None = None,
    using: str | None = None,
) -> range:
    """Take the next ``batch_size`` consecutive numbers, as :func:`get_next_value` takes one.

    ``get_next_values(0)`` returns an empty range and executes no statement.
    """
    if nowait:
        timeout = _no_time(timeout)
    batch_size = check_integer("batch_size", batch_size)
    return take(checked(sequence_name, batch_size, initial_value, None, timeout), using)


def get_next_blocks(
    batch_sizes: Mapping[str, int],
    initial_value: InitialValue = 1,
    *,
    nowait: bool = False,
    timeout: float | None = None,
    using: str | None = None,
) -> dict[str, range]:
    """Take the next numbers of several sequences, without the risk of a deadlock.

    The function always locks counters in the order of their names. Don't mix it with other ways of
    taking numbers in one transaction. It takes all numbers or none: an error marks the transaction,
    or the innermost ``atomic()`` block, for rollback.

    >>> get_next_blocks({"invoices": 1, "lines": 3})
    {'invoices': range(7, 8), 'lines': range(19, 22)}

    :param batch_sizes: maps the name of each sequence to the size of its block.
    :param timeout: the seconds to wait for other transactions, in total.
    """
    if not isinstance(batch_sizes, Mapping):
        raise TypeError(f"batch_sizes must map names to block sizes, not {batch_sizes!r}")
    if nowait:
        timeout = _no_time(timeout)
    for name, count in batch_sizes.items():
        check_sequence_name(name, "a name in batch_sizes")
        check_integer(f"batch_sizes[{name!r}]", count)
    requests = [
        Allocation(name, count, initial_value, None, timeout) for name, count in batch_sizes.items()
    ]
    blocks = dict.fromkeys((request.name for request in requests), range(0))
    if len(blocks) < len(requests):  # two keys are unequal subclasses of str with the same text
        raise ValueError(f"batch_sizes names a sequence twice: {batch_sizes!r}")
    if not any(request.count for request in requests):
        return blocks
    alias = using or router.db_for_write(Counter)
    connection = connections[alias]
    if not in_users_transaction(connection):
        outside_transaction(", ".join(blocks))
    deadline = time.monotonic() + (timeout or 0)
    with ExitStack() as stack:
        stack.push(begin(alias, timeout))
        for request in sorted(requests, key=lambda request: request.name):
            left = timeout and max(0.0, deadline - time.monotonic())
            blocks[request.name] = take(replace(request, timeout=left), alias)
    return blocks


def get_last_value(sequence_name: str = "default", *, using: str | None = None) -> int | None:
    """Return the last number as the current transaction sees it; None if there is no counter."""
    sequence_name = check_sequence_name(sequence_name)
    alias = using or router.db_for_read(Counter)
    counters = Counter.objects.using(alias).filter(pk=sequence_name)
    with database_errors(connections[alias]):
        return next(iter(counters.values_list("last", flat=True)), None)


def set_last_value(
    value: int,
    sequence_name: str = "default",
    *,
    force: bool = False,
    using: str | None = None,
) -> None:
    """Set the last number to ``value``, or create the counter, so that ``value + 1`` is next.

    :param force: also lower the counter; the numbers above ``value`` will be given again.
    :raises ValueError: the last number is already above ``value``, and ``force`` is false.
    """
    sequence_name = check_sequence_name(sequence_name)
    value = check_integer("value", value)
    alias = using or router.db_for_write(Counter)
    connection = connections[alias]
    savepoint = not in_users_transaction(connection)
    with database_errors(connection), transaction.atomic(using=alias, savepoint=savepoint):
        last = move(alias, sequence_name, value, force)
    if last > value:
        raise ValueError(
            f"the last number of sequence {sequence_name!r} is {last}: use force=True to lower it "
            f"to {value}; the numbers above {value} are then given again"
        )


def delete(sequence_name: str = "default", *, using: str | None = None) -> bool:
    """Delete the counter, so that the sequence starts again; return whether there was one."""
    sequence_name = check_sequence_name(sequence_name)
    alias = using or router.db_for_write(Counter)
    with database_errors(connections[alias]):
        deleted, _ = Counter.objects.using(alias).filter(pk=sequence_name).delete()
    return deleted > 0


def rename(sequence_name: str, new_name: str, *, using: str | None = None) -> None:
    """Rename a sequence: ``new_name`` continues after the last number of ``sequence_name``.

    The function waits for transactions that have taken numbers of the sequence. Code that asks
    for the old name afterwards creates a new counter, so stop such code first.

    :raises ValueError: there is no sequence ``sequence_name``, or ``new_name`` exists already.
    """
    old, new = check_sequence_name(sequence_name), check_sequence_name(new_name, "new_name")
    if old == new:
        raise ValueError(f"sequence {old!r} has that name already")
    alias = using or router.db_for_write(Counter)
    counters = Counter.objects.using(alias)
    with database_errors(connections[alias]), transaction.atomic(using=alias):
        last = -1
        for name in sorted((old, new)):  # the order in which get_next_blocks() locks counters
            if name == old:
                if (found := lock(alias, old)) is None:
                    raise ValueError(f"there is no sequence {old!r} in database {alias!r}")
                last = found
            else:
                try:
                    with transaction.atomic(using=alias):
                        counters.create(name=new, last=0)
                except IntegrityError as error:
                    if lock(alias, new) is None:  # the error of a trigger or a receiver
                        raise
                    raise ValueError(f"there is a sequence {new!r} already") from error
        store(alias, new, last)
        counters.filter(pk=old).delete()
        sequence_renamed.send(Counter, old=old, new=new, using=alias)


class Sequence:
    """A sequence with its arguments. Iterating over it takes numbers without end.

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
        """See :func:`get_next_values`; with a ``reset_value``, ``batch_size`` must be 1."""
        if nowait:
            timeout = _no_time(timeout)
        batch_size = check_integer("batch_size", batch_size)
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


def _no_time(timeout: float | None) -> float:
    if timeout is not None:
        raise ValueError("nowait=True means timeout=0: pass only one of them")
    return 0
