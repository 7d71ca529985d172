"""Releasing a counter before its commit is durable, and waiting for the disk afterwards.

``SEQUENCES_EARLY_RELEASE`` asks for it, a backend can do it (``Allocator.can_release_early``), and
somebody must wait: a transaction is released early only where Django's own COMMIT ends it, for
then the wait is the first thing that runs after that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db import Error, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .allocator import FUNCTION
from .exceptions import DurabilityUnknown
from .registry import asks_for_early_release, get_allocator

__all__ = [
    "durability",
    "durability_in_transaction",
    "forget_durabilities",
    "wait_after_commit",
    "wait_now",
    "waited_for",
]

_durabilities: dict[str, str | None] = {}


def durability(connection: BaseDatabaseWrapper) -> str | None:
    """Return what a wait of this connection waits for; None where nothing is released early.

    The database is asked once for each alias.
    """
    alias = connection.alias
    if alias not in _durabilities:
        allocator = get_allocator(connection)
        wanted = allocator.can_release_early and asks_for_early_release(alias)
        # Out of assertNumQueries' sight, which would depend on the test that came first.
        logged, connection.force_debug_cursor = connection.force_debug_cursor, False
        try:
            found = allocator.durability(connection) if wanted else None
        finally:
            connection.force_debug_cursor = logged
        _durabilities[alias] = found
    return _durabilities[alias]


def durability_in_transaction(connection: BaseDatabaseWrapper) -> str | None:
    """Return the same for the open transaction: None also where Django doesn't commit it.

    It doesn't in autocommit, in manual transaction management, and in a TestCase.
    """
    found = durability(connection)
    if found is None or not connection.in_atomic_block or not connection.commit_on_exit:
        return None
    blocks = connection.atomic_blocks
    return None if blocks and getattr(blocks[0], "_from_testcase", False) else found


def wait_after_commit(connection: BaseDatabaseWrapper) -> None:
    """Let the open transaction, which is released early, be waited for right after its COMMIT.

    The other on_commit hooks run after it, whenever they were registered, and not at all if it
    fails. Rolling back to a savepoint forgets the wait, as the server undoes the release; a wait
    that is left is for later releases too, since what forgets it then undoes them.
    """
    hooks = connection.run_on_commit
    if hooks and getattr(hooks[0][1], "func", None) is wait_now:
        return
    wait = partial(wait_now, connection, durability(connection))
    transaction.on_commit(wait, using=connection.alias)
    hooks.insert(0, hooks.pop())


@contextmanager
def waited_for(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Wait, in autocommit, until the statement in the block that calls FUNCTION is durable.

    Raises DurabilityUnknown, or the database's own error where both were sent together.
    """
    sent: list[str] = []
    wrapper = get_allocator(connection).waiting_wrapper(connection)
    if wrapper is None:
        yield
    else:

        def send(execute: Any, sql: str, *args: Any) -> Any:
            if FUNCTION not in sql:
                return execute(sql, *args)
            sent.append(sql)
            return wrapper(execute, sql, *args)

        with connection.execute_wrapper(send):
            yield
    if not sent:
        wait_now(connection)


def wait_now(connection: BaseDatabaseWrapper, durability: str | None = None) -> None:
    """Wait until what was committed is durable; see :meth:`Allocator.wait_until_durable`.

    Raises DurabilityUnknown.
    """
    try:
        get_allocator(connection).wait_until_durable(connection, durability)
    except Error as error:
        unknown = DurabilityUnknown(
            f"database {connection.alias!r} has committed the transaction, and others see it; but "
            f"if the server crashes now it may be undone, for waiting for the disk failed: {error}"
        )
        unknown.using = connection.alias
        raise unknown from error


def forget_durabilities(*, setting: str | None = None, **kwargs: object) -> None:
    """Ask again: a setting changed."""
    if setting in {None, "SEQUENCES_EARLY_RELEASE", "SEQUENCES_BACKEND", "DATABASES"}:
        _durabilities.clear()
