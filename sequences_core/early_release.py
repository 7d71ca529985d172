"""Releasing a counter before its commit is durable, and waiting for the disk afterwards.

``SEQUENCES_EARLY_RELEASE`` asks for it, a backend can do it (``Allocator.can_release_early``), and
somebody must wait: a transaction is released early only where Django's own COMMIT ends it, for
then the wait is the first thing that runs after that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import Error, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .allocator import FUNCTION
from .exceptions import DurabilityUnknown
from .registry import asks_for_early_release, get_allocator

__all__ = [
    "WaitedFor",
    "durability",
    "durability_in_transaction",
    "forget_durabilities",
    "sends_together",
    "wait_after_commit",
    "wait_now",
]

Wrapper = Callable[..., Any]

_known: dict[str, tuple[str | None, Wrapper | None]] = {}
"""What the backend of each alias said: what a wait waits for, and what sends it together."""


def durability(connection: BaseDatabaseWrapper) -> str | None:
    """Return what a wait of this connection waits for; None where nothing is released early.

    The database is asked once for each alias.
    """
    return (_known.get(connection.alias) or _ask(connection))[0]


def sends_together(connection: BaseDatabaseWrapper) -> bool:
    """Return whether, in autocommit, one round trip releases a counter, commits and waits."""
    return (_known.get(connection.alias) or _ask(connection))[1] is not None


def _ask(connection: BaseDatabaseWrapper) -> tuple[str | None, Wrapper | None]:
    allocator = get_allocator(connection)
    if not allocator.can_release_early or not asks_for_early_release(connection.alias):
        found = None
    else:
        # Out of assertNumQueries' sight, which would depend on the test that came first.
        logged, connection.force_debug_cursor = connection.force_debug_cursor, False
        try:
            found = allocator.durability(connection)
        finally:
            connection.force_debug_cursor = logged
    wrapper = None if found is None else allocator.waiting_wrapper(connection)
    _known[connection.alias] = found, wrapper
    return found, wrapper


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


class WaitedFor:
    """A context manager that waits, in autocommit, until the INSERT in its block is durable.

    The INSERT calls FUNCTION. Raises DurabilityUnknown, or the database's own error where both
    were sent together. Fields that Django asks for their values meanwhile may execute statements,
    open transactions and have blocks like this one: only the innermost wrapper in autocommit acts.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.together = (_known.get(connection.alias) or _ask(connection))[1]
        self.sent = False

    def __enter__(self) -> None:
        if self.together is not None:
            self.connection.execute_wrappers.append(self.send)

    def __exit__(self, *exception: object) -> None:
        if self.together is not None:
            self.connection.execute_wrappers.remove(self.send)
        if not self.sent and exception[0] is None:
            wait_now(self.connection)

    def send(self, execute: Any, sql: str, *args: Any) -> Any:
        assert self.together is not None
        innermost = self.connection.execute_wrappers[-1] == self.send
        if FUNCTION not in sql or self.connection.in_atomic_block or not innermost:
            return execute(sql, *args)
        self.sent = True
        return self.together(execute, sql, *args)


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
        _known.clear()
