"""Release a counter before its commit is durable, and wait for the disk afterwards.

``SEQUENCES_EARLY_RELEASE`` enables it for backends with ``Allocator.can_release_early``. A
transaction releases its counters early only if Django itself executes its COMMIT, because then
the wait is the first code that runs after it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from .allocator import FUNCTION
from .exceptions import DurabilityUnknown
from .functions import uncounted
from .outcomes import Outcome
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
"""The results of ``Allocator.durability`` and ``Allocator.waiting_wrapper``, by alias."""


def durability(connection: BaseDatabaseWrapper) -> str | None:
    """Return what a wait on this connection waits for; None if it releases nothing early.

    The database is queried once for each alias.
    """
    return (_known.get(connection.alias) or _ask(connection))[0]


def sends_together(connection: BaseDatabaseWrapper) -> bool:
    """Return whether one round trip can take a number in autocommit, commit and wait."""
    return (_known.get(connection.alias) or _ask(connection))[1] is not None


def _ask(connection: BaseDatabaseWrapper) -> tuple[str | None, Wrapper | None]:
    allocator = get_allocator(connection)
    found = None
    if allocator.can_release_early and asks_for_early_release(connection.alias):
        with uncounted(connection):
            found = allocator.durability(connection)
    wrapper = None if found is None else allocator.waiting_wrapper(connection)
    _known[connection.alias] = found, wrapper
    return found, wrapper


def durability_in_transaction(connection: BaseDatabaseWrapper) -> str | None:
    """Return the same for the open transaction; None if Django doesn't execute its COMMIT.

    It doesn't in autocommit, in manual transaction management and in a TestCase.
    """
    found = durability(connection)
    if found is None or not connection.in_atomic_block or not connection.commit_on_exit:
        return None
    blocks = connection.atomic_blocks
    return None if blocks and getattr(blocks[0], "_from_testcase", False) else found


def wait_after_commit(connection: BaseDatabaseWrapper) -> None:
    """Register a wait that runs directly after the COMMIT of the open transaction.

    It becomes the first on_commit hook but for those that record the outcome of a block, so that
    the others run only after it has succeeded. It belongs to no savepoint, so that only the end of
    the transaction removes it: after ``clean_savepoints()``, Django gives the identifiers of
    savepoints again, and the rollback to one would remove the hooks of others. So a transaction may
    wait although a rollback to a savepoint has undone its release.
    """
    hooks: list[Any] = connection.run_on_commit
    first = 0
    while first < len(hooks) and isinstance(hooks[first][1], Outcome):
        first += 1
    if first < len(hooks) and getattr(hooks[first][1], "func", None) is wait_now:
        return
    wait = partial(wait_now, connection, durability(connection))
    hooks.insert(first, (set(), wait, False))


class WaitedFor:
    """A context manager that waits, in autocommit, until the INSERT in its block is durable.

    The INSERT calls FUNCTION. Fields may execute statements, open transactions and enter such a
    block themselves when Django asks for their values, so only the innermost wrapper in autocommit
    sends the wait.

    :raises DurabilityUnknown: the wait failed. If INSERT and wait were sent together, the
        database's own error is raised instead.
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

    def send(self, execute: Any, sql: Any, *args: Any) -> Any:
        assert self.together is not None
        innermost = self.connection.execute_wrappers[-1] == self.send
        # A field may execute a statement of the driver's own type, such as psycopg's SQL.
        takes = isinstance(sql, str) and FUNCTION in sql
        if not takes or self.connection.in_atomic_block or not innermost:
            return execute(sql, *args)
        self.sent = True
        return self.together(execute, sql, *args)


def wait_now(connection: BaseDatabaseWrapper, durability: str | None = None) -> None:
    """Wait until everything that was committed is durable.

    See :meth:`Allocator.wait_until_durable`.

    :raises DurabilityUnknown: the wait failed.
    """
    try:
        get_allocator(connection).wait_until_durable(connection, durability)
    except Error as error:
        unknown = DurabilityUnknown(
            f"database {connection.alias!r} has committed the transaction, and others see it, but "
            f"a crash of the server could still undo it, because the wait for the disk failed: "
            f"{error}"
        )
        unknown.using = connection.alias
        raise unknown from error


def forget_durabilities(*, setting: str | None = None, **kwargs: object) -> None:
    """Empty the cache: a setting has changed, or the server has recovered from a crash."""
    if setting in {None, "SEQUENCES_EARLY_RELEASE", "SEQUENCES_BACKEND", "DATABASES"}:
        _known.clear()
