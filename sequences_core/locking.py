"""Lock counters and set them: without a limit for the wait, and for the admin with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from django.db import connections
from django.db.models import F

from .allocation import Allocation
from .arguments import MAX_VALUE
from .exceptions import SequenceExhausted
from .models import Counter
from .registry import get_allocator
from .taking import begin, database_errors, not_stored, take

__all__ = ["lock", "locked", "move", "store"]


def move(alias: str, name: str, value: int, force: bool) -> int:
    """Lock the counter, set it to ``value`` if allowed, and return its last number."""
    if (found := lock(alias, name)) is not None:
        last = value if force else max(value, found)
        if last != found:
            store(alias, name, last)
        return last
    taken = take(Allocation(name, initial_value=value), alias)
    # Unless another transaction has created the counter meanwhile, taken is [value]. The counter
    # is locked now, so the number taken can be given back.
    last = value if force or taken[0] <= value else taken[0] - 1
    if last != taken[0]:
        store(alias, name, last)
    return last


def store(alias: str, name: str, last: int) -> None:
    """Set the last number of a counter that this transaction has locked."""
    if not Counter.objects.using(alias).filter(pk=name).update(last=last):
        raise not_stored(name)


def lock(alias: str, name: str) -> int | None:
    """Lock the counter until the transaction ends; return its last number, or None without one."""
    counters = Counter.objects.using(alias).filter(pk=name)
    # SELECT FOR UPDATE locks the row and reads its current version. Databases without it, such as
    # SQLite, lock by an update that changes nothing.
    if connections[alias].features.has_select_for_update:
        counters = counters.select_for_update()
    else:
        counters.update(last=F("last"))
    # Don't use first(), because on Oracle a query with a LIMIT can't lock rows.
    found = list(counters.values_list("last", flat=True))
    return found[0] if found else None


@contextmanager
def locked(
    sequence_name: str, *, free: str | None = None, timeout: float, using: str
) -> Iterator[int]:
    """Open a transaction that locks a counter, and yield the counter's last number.

    Transactions that ask for the same sequence wait until the block ends. Then the transaction is
    committed, or rolled back if the block raises an exception.

    :param free: a name without a counter; other transactions can't create one in the meantime.
    :param timeout: the seconds to wait for a transaction that has locked the counter.
    :raises Counter.DoesNotExist: there is no counter ``sequence_name``.
    :raises ValueError: there is a counter ``free``.
    :raises SequenceLocked: another transaction locked the counter for longer than ``timeout``.
    """
    last = None
    connection = connections[using]
    with ExitStack() as stack:
        stack.push(begin(using, timeout))
        with database_errors(connection, timeout):
            # In the order of the names, as get_next_blocks() does, so that nothing deadlocks.
            for name in sorted({sequence_name, free or sequence_name}):
                if name == free:
                    _reserve(name, timeout, using)
                else:
                    last = _lock(name, timeout, using)
            assert last is not None
            yield last


def _lock(name: str, timeout: float, using: str) -> int:
    """Lock the counter without changing it, and return its last number.

    Only the backend can limit a wait on its database, and only when it takes a number. So this
    takes a number and gives it back at once.
    """
    connection = connections[using]
    counter = Counter.objects.using(using).filter(pk=name)
    if get_allocator(connection).can_limit_wait:
        with suppress(SequenceExhausted):
            number = take(Allocation(name, 1, _no_counter, None, timeout), using)[0]
            counter.update(last=number - 1)
            return number - 1
    # The sequence is exhausted, so that nobody locks it for long; or the backend can't limit waits.
    nowait = connection.features.has_select_for_update_nowait
    return counter.select_for_update(nowait=nowait).get().last


def _no_counter() -> int:
    """Raise DoesNotExist instead of starting a new sequence."""
    raise Counter.DoesNotExist


def _reserve(name: str, timeout: float, using: str) -> None:
    """Prevent other transactions from creating a counter of this name, until this one ends.

    Wait for transactions that are creating one now.

    :raises ValueError: there is a counter of this name.
    """
    counter = Counter.objects.using(using).filter(pk=name)
    if not counter.exists() and get_allocator(connections[using]).can_limit_first_wait:
        # No existing counter would give MAX_VALUE next, so this number shows that it was created.
        taken = take(Allocation(name, 1, MAX_VALUE, None, timeout), using)[0]
        if taken == MAX_VALUE:
            counter.delete()
            return
    if counter.exists():
        raise ValueError(f"there is a sequence {name!r} already")
