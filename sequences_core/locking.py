"""Holding a counter still while it is set, renamed or deleted, without waiting for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from django.db import connections

from .allocation import Allocation
from .arguments import MAX_VALUE
from .exceptions import SequenceExhausted
from .models import Counter
from .registry import get_allocator
from .taking import begin, database_errors, take

__all__ = ["locked"]


@contextmanager
def locked(
    sequence_name: str, *, free: str | None = None, timeout: float, using: str
) -> Iterator[int]:
    """Open a transaction that locks a counter; the value of the block is its last number.

    Takers of the sequence wait until the block ends. Its transaction is committed then, or rolled
    back if an error leaves the block.

    :param free: a name that no other transaction may begin to use either.
    :param timeout: seconds to wait for the transaction that holds a counter.
    :raises Counter.DoesNotExist: there is no such counter.
    :raises ValueError: there is a counter ``free``.
    :raises SequenceLocked: another transaction held a counter for longer than ``timeout``.
    """
    last = None
    connection = connections[using]
    with ExitStack() as stack:
        stack.push(begin(using, timeout))
        with database_errors(connection, timeout):
            # In the order of their names, as all who lock several.
            for name in sorted({sequence_name, free or sequence_name}):
                if name == free:
                    _reserve(name, timeout, using)
                else:
                    last = _lock(name, timeout, using)
            assert last is not None
            yield last


def _lock(name: str, timeout: float, using: str) -> int:
    """Lock the counter, leave it as it is, and return its last number.

    Only the backend knows how to bound a wait on its database, and does so when a number is taken:
    so one is taken, and given back at once.
    """
    connection = connections[using]
    counter = Counter.objects.using(using).filter(pk=name)
    if get_allocator(connection).can_limit_wait:
        with suppress(SequenceExhausted):
            number = take(Allocation(name, 1, _no_counter, None, timeout), using)[0]
            counter.update(last=number - 1)
            return number - 1
    # An exhausted counter, which no taker holds for long, or a backend that can't bound the wait.
    nowait = connection.features.has_select_for_update_nowait
    return counter.select_for_update(nowait=nowait).get().last


def _no_counter() -> int:
    """Refuse to start a sequence that is not there."""
    raise Counter.DoesNotExist


def _reserve(name: str, timeout: float, using: str) -> None:
    """Wait for those who are just creating a counter of this name, and keep others from it.

    Raises ValueError if there is one.
    """
    counter = Counter.objects.using(using).filter(pk=name)
    if not counter.exists() and get_allocator(connections[using]).can_limit_first_wait:
        # The highest number is no other counter's next one.
        taken = take(Allocation(name, 1, MAX_VALUE, None, timeout), using)[0]
        if taken == MAX_VALUE:
            counter.delete()
            return
    if counter.exists():
        raise ValueError(f"there is a sequence {name!r} already")
