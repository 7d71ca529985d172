"""Counters in a database that locks rows: SELECT … FOR UPDATE, then UPDATE or INSERT.

Nothing here needs more than the SQL standard has, but for PostgreSQL's error codes.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from django.db import DatabaseError, IntegrityError, OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import Allocation, Allocator
from sequences_core.table import with_table

LOCK = "SELECT last FROM {table} WHERE name = %s FOR UPDATE"
UPDATE = "UPDATE {table} SET last = %s WHERE name = %s"
INSERT = "INSERT INTO {table} (name, last) VALUES (%s, %s)"

# https://www.postgresql.org/docs/current/errcodes-appendix.html
SERIALIZATION_FAILURE = "40001"
DEADLOCK_DETECTED = "40P01"
UNDEFINED_TABLE = "42P01"

# libpq's numbers of a transaction that goes on: idle, active, in a transaction.
ALIVE = frozenset({0, 1, 2})


class CreatedMeanwhile(OperationalError):
    """Another transaction has created the counter since this one's snapshot, which lacks it."""


class GlobexAllocator(Allocator):
    """Lock the counter, look at it, and write: three statements, in one transaction."""

    protocol = 1
    vendors = frozenset({"postgresql"})
    single_statement = False
    retryable_codes: ClassVar = frozenset({SERIALIZATION_FAILURE, DEADLOCK_DETECTED})
    missing_table_codes: ClassVar = frozenset({UNDEFINED_TABLE})

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        with together(connection), connection.cursor() as cursor:
            last = lock(cursor, allocation)
            if last is None:
                if insert(connection, cursor, allocation):
                    return allocation.first_last
                # The INSERT has waited for the end of the transaction that was faster. At READ
                # COMMITTED each statement sees what is committed, so the row is there now.
                last = lock(cursor, allocation)
            if last is None:
                raise CreatedMeanwhile(f"counter {allocation.name!r} is newer than the snapshot")
            return move(cursor, allocation, last)

    def update(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        with together(connection), connection.cursor() as cursor:
            last = lock(cursor, allocation)
            return None if last is None else move(cursor, allocation, last)

    def error_code(self, error: BaseException) -> str | int | None:
        # The database has no error for it, and the way out is the same: run the whole block again.
        if isinstance(error, CreatedMeanwhile):
            return SERIALIZATION_FAILURE
        return super().error_code(error)

    def aborts_transaction(self, connection: BaseDatabaseWrapper, error: DatabaseError) -> bool:
        # PostgreSQL goes on after no error, unless a savepoint has been rolled back since.
        if isinstance(error, CreatedMeanwhile):
            return True
        return connection.connection.info.transaction_status not in ALIVE


def together(connection: BaseDatabaseWrapper) -> AbstractContextManager[Any]:
    """Open a transaction unless one is open: a lock ends with the transaction."""
    if connection.in_atomic_block or not connection.get_autocommit():
        return nullcontext()
    return transaction.atomic(using=connection.alias)


def lock(cursor: Any, allocation: Allocation) -> int | None:
    """Lock the counter, and return the last number taken; None if it isn't there."""
    cursor.execute(with_table(LOCK), [allocation.name])
    row = cursor.fetchone()
    return None if row is None else row[0]


def insert(connection: BaseDatabaseWrapper, cursor: Any, allocation: Allocation) -> bool:
    """Create the counter; return False if another transaction has done so.

    A row that isn't there can't be locked, so two may come here at once. One of them fails, and
    the savepoint keeps this from ending its transaction.
    """
    try:
        with transaction.atomic(using=connection.alias):
            cursor.execute(with_table(INSERT), [allocation.name, allocation.first_last])
    except IntegrityError:
        return False
    return True


def move(cursor: Any, allocation: Allocation, last: int) -> int | None:
    """Move the locked counter; return None, and leave it, if it would pass its end."""
    if allocation.reset_value is not None:
        assert isinstance(allocation.initial_value, int)
        more = last + 1 < allocation.reset_value
        moved = last + 1 if more else allocation.initial_value
    elif last <= allocation.highest_before:
        moved = last + allocation.count
    else:
        return None
    cursor.execute(with_table(UPDATE), [moved, allocation.name])
    return moved
