"""Running a whole transaction again after a serialization failure or a deadlock.

A conflict can surface as late as at COMMIT, and after it nothing of the transaction is left. So
the unit that is run again is everything from BEGIN to COMMIT; a call of ``get_next_value`` alone
can't be.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, connections, router, transaction

from .arguments import check_integer
from .models import Counter
from .registry import get_allocator

__all__ = ["retry_atomic", "run_atomic"]

P = ParamSpec("P")
T = TypeVar("T")

FIRST_PAUSE = 0.01
"""Seconds: a few commits on a local server."""

LONGEST_PAUSE = 1.0
"""Seconds: as long as PostgreSQL takes to notice a deadlock (deadlock_timeout)."""


def run_atomic(block: Callable[[], T], *, attempts: int = 10, using: str | None = None) -> T:
    """Call ``block`` in a transaction of its own, and again when it lost a conflict.

    ``block`` must be safe to run again: no e-mails, and no state kept from an earlier attempt.
    Pauses grow from FIRST_PAUSE to LONGEST_PAUSE, with jitter.

    :param attempts: how often at the most; the error of the last attempt is raised.
    :raises RuntimeError: a transaction is open already, so that COMMIT would not be in the block.
    :raises TransactionManagementError: the block caught an error that ended the transaction, or
        called ``set_rollback(True)``: a result is returned only for what was committed.
    """
    check_integer("attempts", attempts)
    if attempts < 1:
        raise ValueError("attempts is at least 1")
    alias = using or router.db_for_write(Counter)
    connection = connections[alias]
    allocator = get_allocator(connection)
    for attempt in range(attempts):
        try:
            with transaction.atomic(using=alias, durable=True):
                result = block()
                if connection.needs_rollback:  # atomic() would roll back without a word
                    raise transaction.TransactionManagementError(
                        "the block returned, but its transaction can only be rolled back: let "
                        "errors out of the block, or catch them around an atomic() of their own"
                    )
            return result
        except DatabaseError as error:
            if attempt + 1 == attempts or not allocator.is_retryable(error):
                raise
        # Full jitter spreads those who collided; 2.0**attempt could overflow, so bound it first.
        time.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 30))))  # noqa: S311 - no secret
    raise AssertionError("unreachable")


def retry_atomic(
    *, attempts: int = 10, using: str | None = None
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function so that each call is a :func:`run_atomic`."""

    def decorator(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            return run_atomic(
                functools.partial(function, *args, **kwargs), attempts=attempts, using=using
            )

        return wrapper

    return decorator
