"""Allocators for PostgreSQL with one flaw each, which the conformance kit must detect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from sequences_postgresql import PostgreSQLAllocator

from sequences_core import Allocation
from sequences_core.table import quoted_table, table_parts


class KnowsNoDeadlock(PostgreSQLAllocator):
    """Doesn't say that a deadlock can be retried."""

    retryable_codes: ClassVar = frozenset({"40001"})


class InSteps(PostgreSQLAllocator):
    """Executes more statements than one."""

    single_statement = False

    def run(self, connection: BaseDatabaseWrapper, sql: str, *params: Any) -> Any:
        """Execute a statement and return the first value of its result."""
        with connection.cursor() as cursor:
            cursor.execute(sql.replace("{table}", quoted_table()), params)
            row = cursor.fetchone() if cursor.description else None
        return row and row[0]


class ForgetsToQuote(InSteps):
    """Doesn't quote the table's name in one of its statements."""

    def update(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        sql = f"SELECT last FROM {table_parts()[-1]} WHERE name = %s"
        return super().update(connection, allocation) if self.run(connection, sql, "s") else None


class CommitsBefore(InSteps):
    """Commits the caller's statements before it creates a counter."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        sql = "SELECT last FROM {table} WHERE name = %s"
        exists = self.run(connection, sql, allocation.name) is not None
        if connection.in_atomic_block and not exists:
            self.run(connection, "COMMIT")
            self.run(connection, "BEGIN")
        return super().upsert(connection, allocation)


class StartsAtOne(InSteps):
    """Ignores initial_value if another transaction has created the counter, and rolls back."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        sql = "SELECT pg_try_advisory_xact_lock(hashtext(%s))"
        if not self.run(connection, sql, allocation.name) and allocation.reset_value is None:
            allocation = replace(allocation, initial_value=1)
        return super().upsert(connection, allocation)


class LoopsWithoutALock(InSteps):
    """Reads the last number of a loop without a lock, and writes the next one."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        sql = "SELECT last FROM {table} WHERE name = %s"
        last: int | None = self.run(connection, sql, allocation.name)
        if allocation.reset_value is None or last is None or last >= allocation.reset_value - 1:
            return super().upsert(connection, allocation)
        sql = "UPDATE {table} SET last = %s WHERE name = %s"
        self.run(connection, sql, last + 1, allocation.name)
        return last + 1


class LocksTheTableForABatch(InSteps):
    """Takes a batch under a lock of the whole table."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        if allocation.count > 1 and connection.in_atomic_block:
            self.run(connection, "LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        return super().upsert(connection, allocation)


class RetriesDuplicates(PostgreSQLAllocator):
    """Says that a duplicate key is a conflict."""

    retryable_codes: ClassVar = PostgreSQLAllocator.retryable_codes | {"23505"}


class RetriesTimeouts(PostgreSQLAllocator):
    """Says that a wait in vain is a conflict."""

    retryable_codes: ClassVar = PostgreSQLAllocator.retryable_codes | {"55P03"}


class TakesCancelForTimeout(PostgreSQLAllocator):
    """Says that a cancelled statement is a timeout of a lock."""

    lock_timeout_codes: ClassVar = PostgreSQLAllocator.lock_timeout_codes | {"57014"}


class AbortsNever(PostgreSQLAllocator):
    """Says that the transaction goes on after any error."""

    def aborts_transaction(self, connection: BaseDatabaseWrapper, error: DatabaseError) -> bool:
        return False


class UsesTheDefault(PostgreSQLAllocator):
    """Uses the default database, whatever connection is passed."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        return super().upsert(connections["default"], allocation)


class ForgetsTheLimit(InSteps):
    """After a call with a timeout, waits are unlimited, and not limited as before."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        last = super().upsert(connection, allocation)
        if allocation.timeout is not None:
            self.run(connection, "SET lock_timeout = 0")
        return last


class RoundsDown(PostgreSQLAllocator):
    """Rounds a short timeout to 0 milliseconds, which PostgreSQL takes for no limit."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        if allocation.timeout and allocation.timeout < 0.001:
            allocation = replace(allocation, timeout=None)
        return super().upsert(connection, allocation)


class WaitsForTheRow(InSteps):
    """Limits the wait for its own lock, and not the one for the row."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        if allocation.timeout is not None and not connection.in_atomic_block:
            with transaction.atomic(using=connection.alias):
                sql = "SELECT pg_try_advisory_xact_lock(hashtext(%s))"
                if self.run(connection, sql, allocation.name):
                    return super().upsert(connection, replace(allocation, timeout=None))
        return super().upsert(connection, allocation)


class InstallsOnce(InSteps):
    """Can't be installed twice."""

    def install(self, connection: BaseDatabaseWrapper) -> None:
        super().install(connection)
        self.run(connection, "CREATE TABLE installed_once ()")

    def uninstall(self, connection: BaseDatabaseWrapper) -> None:
        self.run(connection, "DROP TABLE IF EXISTS installed_once")
        super().uninstall(connection)


class KeepsALock(InSteps):
    """Locks the name for the session, inside transactions only."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        if connection.in_atomic_block:
            self.run(connection, "SELECT pg_advisory_lock(hashtext(%s))", allocation.name)
        return super().upsert(connection, allocation)


class LocksForTheTransaction(InSteps):
    """Has no flaw: the lock ends with the transaction."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        self.run(connection, "SELECT pg_advisory_xact_lock_shared(1)")
        return super().upsert(connection, allocation)
