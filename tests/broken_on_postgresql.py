"""Allocators for PostgreSQL with one flaw each, which the conformance kit must detect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

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
