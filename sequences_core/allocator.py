"""The contract of a backend: how it takes numbers from the counters of a database.

A counter is a row ``(name, last)``. Taking a number updates that row inside the caller's
transaction: a rollback gives the number back, and the row lock makes the next transaction that
asks for a number wait until this one ends.

A backend subclasses :class:`Allocator` and implements two statements, :meth:`Allocator.upsert`
and :meth:`Allocator.update`. Both receive an :class:`Allocation`, whose values were validated.
The conformance kit ``sequences_core.testing`` tests a backend.
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
"""The version of this contract. A backend states the version that it was written for."""

FUNCTION = "sequences_next_value"
"""The database function that a backend may install, ``(name, initial_value, reset_value)``."""

EXHAUSTED = f"{FUNCTION}: exhausted"
"""The first words of the function's error if a number would exceed MAX_VALUE."""


class Allocator(Diagnosable, ABC):
    """Take blocks of numbers from the counters of one kind of database.

    Instances hold no state; all threads share one. Methods execute statements through
    ``connection.cursor()``, so that ``connection.queries`` and ``execute_wrapper`` see them, and
    let the database's errors propagate: the core converts them by the error codes below.
    :meth:`upsert` and :meth:`update` guarantee that:

    - **one statement** takes the block, in the open transaction or in autocommit (unless
      ``single_statement`` is false);
    - the statement **locks the counter** until the transaction ends. Another transaction that asks
      for the same sequence waits, then continues after the committed value. Transactions that ask
      for other sequences don't wait (unless ``locks_database`` is true);
    - ``last`` increases by ``count``. If ``last + 1`` would reach ``reset_value``, ``last`` becomes
      ``initial_value`` instead. If ``last`` would exceed ``MAX_VALUE``, it doesn't change and the
      method returns None;
    - names compare byte for byte, by the collation of the table's column.
    """

    protocol: ClassVar[int]
    """For which version of this contract was it written? Each backend states a literal number."""

    vendors: ClassVar[frozenset[str] | None] = None
    """Which values of ``connection.vendor`` does it serve? None means any."""

    single_statement: ClassVar[bool] = True
    """Does one statement take a block, at least if the counter exists?"""

    first_use_may_conflict: ClassVar[bool] = False
    """Can concurrent first uses of a name fail with a retryable error if one rolls back?"""

    can_limit_wait: ClassVar[bool] = False
    """Does ``timeout`` limit the wait for a counter that exists?"""

    can_limit_first_wait: ClassVar[bool] = False
    """Does ``timeout`` limit the wait for a counter that another transaction is creating?"""

    timeout_step: ClassVar[float] = 0.001
    """To a multiple of how many seconds is ``timeout`` rounded up? Zero always means no wait."""

    supports_function: ClassVar[bool] = False
    """Does :meth:`install` create FUNCTION, so that other statements can take numbers?"""

    function_of_connection: ClassVar[bool] = False
    """Does :meth:`is_installed` define FUNCTION on each connection, not in the database?"""

    can_release_early: ClassVar[bool] = False
    """Can it release a counter before the commit is durable, and wait for that afterwards?"""

    locks_database: ClassVar[bool] = False
    """Does taking a number of one sequence make requests for all sequences wait?"""

    retryable_codes: ClassVar[frozenset[str | int]] = frozenset()
    """Which error codes report a serialization failure or a deadlock?"""

    lock_timeout_codes: ClassVar[frozenset[str | int]] = frozenset()
    """Which error codes report that the timeout of a lock expired?"""

    missing_table_codes: ClassVar[frozenset[str | int]] = frozenset()
    """Which error codes report a table that doesn't exist?"""

    names_missing_table: ClassVar[bool] = True
    """Does the text of such an error name the table?"""

    missing_function_codes: ClassVar[frozenset[str | int]] = frozenset()
    """Which error codes report a function that doesn't exist?"""

    def allocate(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> range:
        """Take the block and return it.

        :raises SequenceExhausted: the block would exceed MAX_VALUE; or ``initial_value`` is a
            callable and there is no counter. In this case, the core calls the callable and
            allocates again with its result.
        :raises NotSupportedError: there is a ``timeout``, and ``can_limit_wait`` is false.
        :raises django.db.Error: the database refused the statement.
        """
        if allocation.timeout is not None and not self.can_limit_wait:
            raise NotSupportedError(
                f"{type(self).__name__} can't limit the wait for a counter on "
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
        """Increase the counter, or create it at ``allocation.first_last``; return ``last``.

        Return None if the block would exceed MAX_VALUE. At READ COMMITTED, concurrent first uses
        of a name all succeed, without an IntegrityError or a deadlock (unless
        ``first_use_may_conflict`` is true).
        """

    @abstractmethod
    def update(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        """Increase the counter and return ``last``; also return None if there is no counter."""

    def limited(
        self, connection: BaseDatabaseWrapper, timeout: float
    ) -> AbstractContextManager[None]:
        """Limit how long a BEGIN in the block may wait, in seconds, if BEGIN takes a lock."""
        return nullcontext()

    def is_retryable(self, error: BaseException) -> bool:
        """Return whether the error is a conflict, so that the transaction can be run again."""
        return isinstance(error, DatabaseError) and self.error_code(error) in self.retryable_codes

    def aborts_transaction(self, connection: BaseDatabaseWrapper, error: DatabaseError) -> bool:
        """Return whether, after this error, the open transaction can only be rolled back."""
        return self.is_retryable(error)

    def error_code(self, error: BaseException) -> str | int | None:
        """Return the database's code of a Django error: an SQLSTATE, errno or ORA number."""
        cause = error.__cause__
        return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)  # of psycopg2

    def error_text(self, error: BaseException) -> str:
        """Return the database's text of a Django error."""
        return str(error)

    def install(self, connection: BaseDatabaseWrapper) -> None:
        """Create what the backend needs besides the table, such as FUNCTION; idempotent."""

    def uninstall(self, connection: BaseDatabaseWrapper) -> None:
        """Undo :meth:`install`; idempotent."""

    def is_installed(self, connection: BaseDatabaseWrapper) -> bool:
        """Return whether this version's FUNCTION exists and the current user may execute it."""
        return False

    def durability(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return what commits wait for in this database's configuration.

        The text is the backend's own. None means that counters can't be released early, or that
        commits don't wait. If neither this nor ``early_release.durability_in_transaction()``
        is None, :meth:`upsert` and :meth:`update` may make the transaction's COMMIT return before
        it is durable. If they do, they must call ``early_release.wait_after_commit()``.
        """
        return None

    def releasing(self, connection: BaseDatabaseWrapper, sql: str, durability: str) -> str:
        """Return the SQL of a call of FUNCTION that lets the next COMMIT return early."""
        return sql

    def wait_until_durable(self, connection: BaseDatabaseWrapper, durability: str | None) -> None:
        """Wait, outside a transaction, until everything that was committed is durable.

        ``durability`` is a result of :meth:`durability`, or None: what the session is set to.
        """

    def waiting_wrapper(self, connection: BaseDatabaseWrapper) -> Callable[..., Any] | None:
        """Return an ``execute_wrapper`` that executes a statement and waits, in one round trip.

        It makes the COMMIT of a single statement in autocommit return early, without
        :meth:`releasing`. Return None if the wait needs a second round trip. Called once per alias.
        """
        return None

    def namespace(self, connection: BaseDatabaseWrapper) -> str:
        """Return the current schema if it is known without a query, else ""."""
        return ""

    def name_column(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        """Return what ``Field.db_parameters`` needs so that names compare byte for byte."""
        return {}

    def check_name(self, connection: BaseDatabaseWrapper, name: str) -> None:
        """Raise ValueError if FUNCTION would get this name, not all ASCII, as another one."""

    def reads_uncommitted(self, connection: BaseDatabaseWrapper) -> bool:
        """Return whether the settings ask for READ UNCOMMITTED, which allows duplicates."""
        level = connection.settings_dict.get("OPTIONS", {}).get("isolation_level")
        return str(level).lower() == "read uncommitted"

    def has_schemas(self, connection: BaseDatabaseWrapper) -> bool:
        """Return whether SEQUENCES_TABLE may name a schema on this connection."""
        return False

    def _check_seen(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> None:
        """Raise the database's conflict if a counter was created after this snapshot began."""
        # Only an attempt to create the counter reveals it. The savepoint undoes the attempt.
        if not callable(allocation.initial_value):  # else the core allocates again with its result
            with transaction.atomic(using=connection.alias):
                self.upsert(connection, replace(allocation, count=1, initial_value=0))
                transaction.set_rollback(True, using=connection.alias)


def function_mark(source: str) -> str:
    """Return the comment by which :meth:`Allocator.is_installed` recognizes this source."""
    return f"sequences_core {zlib.crc32(source.encode()):08x}"
