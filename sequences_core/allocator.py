"""The contract between Django, a database, and whoever wants numbers without holes.

A counter is a row ``(name, last)``. Taking a number updates that row inside the caller's
transaction: a rollback gives the number back, and the row lock makes the next taker wait until
the transaction ends.

A backend subclasses :class:`Allocator` and writes two statements, :meth:`Allocator.upsert` and
:meth:`Allocator.update`. An :class:`Allocation` is what they are asked for; it was checked before
they see it. ``sequences_core.testing`` proves a backend.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import DatabaseError, NotSupportedError, transaction

from .allocation import Allocation, checked
from .arguments import MAX_VALUE
from .diagnosis import Diagnosable
from .exceptions import SequenceExhausted

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = [
    "EXHAUSTED",
    "FUNCTION",
    "PROTOCOL",
    "Allocation",
    "Allocator",
    "checked",
    "function_mark",
]

PROTOCOL = 1
"""The version of this contract. A backend states the version it was written for."""

FUNCTION = "sequences_next_value"
"""The database function that a backend may install, ``(name, initial_value, reset_value)``."""

EXHAUSTED = f"{FUNCTION}: exhausted"
"""How the function's error begins where a number would pass MAX_VALUE."""


class Allocator(Diagnosable, ABC):
    """Takes blocks of numbers from counters in one kind of database.

    Instances hold no state, and one serves all threads. Statements go through
    ``connection.cursor()``, so that ``connection.queries`` and ``execute_wrapper`` see them, and
    let the database's errors through: the core turns them into what the caller should see, by
    the codes below. :meth:`upsert` and :meth:`update` each guarantee:

    - **one statement** does it all, in the transaction that is open, or by itself in autocommit
      (but see ``single_statement``);
    - it **locks the counter** to the end of the transaction: a second taker waits, then goes on
      from the committed value. Takers of other names don't wait (but see ``locks_database``);
    - ``last`` moves by ``count``, or, where ``last + 1`` would reach ``reset_value``, to
      ``initial_value``; where it would pass ``MAX_VALUE``, it stays and None is returned;
    - names compare byte for byte (the table's collation sees to it).
    """

    protocol: ClassVar[int]
    """Which version of this contract was it written for? Each backend states a literal number."""

    vendors: ClassVar[frozenset[str] | None] = None
    """Which vendors of Django's connections does it serve? None is any."""

    single_statement: ClassVar[bool] = True
    """Does one statement take a block, at least from the second use of a name on?"""

    first_use_may_conflict: ClassVar[bool] = False
    """Can first takers of a name get a retryable error when the first of them rolls back?"""

    can_limit_wait: ClassVar[bool] = False
    """Does ``timeout`` bound the wait for a counter that exists?"""

    can_limit_first_wait: ClassVar[bool] = False
    """Does ``timeout`` bound the wait for one that another transaction is just creating?"""

    timeout_step: ClassVar[float] = 0.001
    """To how many seconds is a ``timeout`` rounded up? (Zero stays "don't wait".)"""

    supports_function: ClassVar[bool] = False
    """Does :meth:`install` make FUNCTION, so that numbers are taken inside other statements?"""

    function_of_connection: ClassVar[bool] = False
    """Is FUNCTION not stored in the database, but made on each connection by is_installed()?"""

    can_release_early: ClassVar[bool] = False
    """Can it release a counter before the commit is durable, and wait for that afterwards?"""

    locks_database: ClassVar[bool] = False
    """Does taking one name make the takers of all names wait?"""

    retryable_codes: ClassVar[frozenset[str | int]] = frozenset()
    """Which error codes mean "this transaction lost a conflict; run it again"?"""

    lock_timeout_codes: ClassVar[frozenset[str | int]] = frozenset()
    """Which error codes mean "waited for a lock for too long"?"""

    missing_table_codes: ClassVar[frozenset[str | int]] = frozenset()
    """Which error codes mean "there is no such table"?"""

    names_missing_table: ClassVar[bool] = True
    """Does the text of such an error say which?"""

    missing_function_codes: ClassVar[frozenset[str | int]] = frozenset()
    """Which error codes mean "there is no such function"?"""

    def allocate(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> range:
        """Take the block and return it.

        Raises SequenceExhausted when it would pass MAX_VALUE and, while ``initial_value`` is a
        callable, when there is no counter: the core then calls it and asks again. Raises
        NotSupportedError for a ``timeout`` that this database can't keep, and the database's own
        errors.
        """
        if allocation.timeout is not None and not self.can_limit_wait:
            raise NotSupportedError(
                f"{type(self).__name__} can't bound the wait for a counter on "
                f"{connection.vendor}: leave out timeout and nowait"
            )
        move = self.update if allocation.first_last is None else self.upsert
        last = move(connection, allocation)
        if last is None:
            if allocation.first_last is None and connection.in_atomic_block:
                self._check_seen(connection, allocation)
            raise SequenceExhausted(
                f"{allocation.count} more of sequence {allocation.name!r} would pass {MAX_VALUE}"
            )
        return range(last - allocation.count + 1, last + 1)

    @abstractmethod
    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        """Move the counter, or create it at ``allocation.first_last``; return the new ``last``.

        Concurrent first takers at READ COMMITTED all succeed: no IntegrityError, no deadlock.
        """

    @abstractmethod
    def update(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        """Move the counter and return the new ``last``; None also when there is no counter."""

    def limited(
        self, connection: BaseDatabaseWrapper, timeout: float
    ) -> AbstractContextManager[None]:
        """Bound the waits inside the block: for a BEGIN that takes a lock. Most take none."""
        return nullcontext()

    def is_retryable(self, error: BaseException) -> bool:
        """Would the whole transaction, run again, have a fair chance?"""
        return isinstance(error, DatabaseError) and self.error_code(error) in self.retryable_codes

    def aborts_transaction(self, connection: BaseDatabaseWrapper, error: DatabaseError) -> bool:
        """Has this error ended the open transaction, or left it good for a rollback only?"""
        return self.is_retryable(error)

    def error_code(self, error: BaseException) -> str | int | None:
        """The database's code for an error that Django raised: SQLSTATE, errno, ORA number."""
        cause = error.__cause__
        return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)  # of psycopg2

    def error_text(self, error: BaseException) -> str:
        """What the database says of an error that Django raised."""
        return str(error)

    def install(self, connection: BaseDatabaseWrapper) -> None:
        """Add what the backend wants beside the bare table; run by ``migrate``, idempotent."""

    def uninstall(self, connection: BaseDatabaseWrapper) -> None:
        """Undo :meth:`install`; idempotent too."""

    def is_installed(self, connection: BaseDatabaseWrapper) -> bool:
        """Is FUNCTION there, as this version of the backend makes it, for this user to execute?"""
        return False

    def durability(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return what commits wait for as this database is configured, in the backend's words.

        None if counters can't be released early, or nothing is waited for anyway. Where it isn't
        None, and ``early_release.durability_in_transaction`` isn't either, :meth:`upsert` and
        :meth:`update` may let the transaction's COMMIT not wait; if they do, they call
        ``early_release.wait_after_commit``.
        """
        return None

    def releasing(self, sql: str, durability: str) -> str:
        """Return the SQL of a call of FUNCTION, so that the COMMIT after it needn't wait."""
        return sql

    def wait_until_durable(self, connection: BaseDatabaseWrapper, durability: str | None) -> None:
        """Wait, outside a transaction, until all that was committed is durable.

        ``durability`` says what for; None is what the session's commits wait for now.
        """

    def waiting_wrapper(self, connection: BaseDatabaseWrapper) -> Callable[..., Any] | None:
        """Return an ``execute_wrapper`` that sends a statement and, with it, the wait for it.

        For one statement in autocommit, whose COMMIT it makes not wait, so that :meth:`releasing`
        needn't. None where the wait takes a second round trip anyway. Asked once for each alias.
        """
        return None

    def namespace(self, connection: BaseDatabaseWrapper) -> str:
        """Return the schema that statements mean now, as far as that is known without asking."""
        return ""

    def name_column(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        """What of ``Field.db_parameters`` lets the column of names compare byte for byte?"""
        return {}

    def reads_uncommitted(self, connection: BaseDatabaseWrapper) -> bool:
        """Do this connection's settings ask for READ UNCOMMITTED, where numbers are given twice?"""
        level = connection.settings_dict.get("OPTIONS", {}).get("isolation_level")
        return str(level).lower() == "read uncommitted"

    def has_schemas(self, connection: BaseDatabaseWrapper) -> bool:
        """May SEQUENCES_TABLE name a schema here?"""
        return False

    def _check_seen(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> None:
        """Raise the database's own conflict for a counter that was created after this snapshot."""
        # Only creating it shows that it is there; the savepoint undoes what this has written.
        if not callable(allocation.initial_value):  # the core asks again when it has called it
            with transaction.atomic(using=connection.alias):
                self.upsert(connection, replace(allocation, count=1, initial_value=0))
                transaction.set_rollback(True, using=connection.alias)


def function_mark(source: str) -> str:
    """Return the comment by which :meth:`Allocator.is_installed` knows this source again."""
    return f"sequences_core {zlib.crc32(source.encode()):08x}"
