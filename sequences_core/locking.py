"""Holding a counter still while it is set, renamed or deleted, without waiting for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from django.db import connections

from .allocation import Allocation
from .exceptions import SequenceExhausted
from .models import Counter
from .registry import get_allocator
from .taking import begin, database_errors, take

__all__ = ["locked"]


@contextmanager
def locked(sequence_name: str, *, timeout: float, using: str) -> Iterator[int]:
    """Open a transaction that locks a counter; the value of the block is its last number.

    Takers of the sequence wait until the block ends. Its transaction is committed then, or rolled
    back if an error leaves the block.

    :param timeout: seconds to wait for the transaction that holds the counter.
    :raises Counter.DoesNotExist: there is no such counter.
    :raises SequenceLocked: another transaction held the counter for longer than ``timeout``.
    """
    connection = connections[using]
    with ExitStack() as stack:
        stack.push(begin(using, timeout))
        with database_errors(connection, timeout):
            yield _lock(sequence_name, timeout, using)


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
