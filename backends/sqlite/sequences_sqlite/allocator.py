"""Counters in SQLite: one upsert with RETURNING, which locks the whole database."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

from django.core.checks import CheckMessage
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import Allocation, Allocator
from sequences_core.diagnosis import Holder
from sequences_core.early_release import durability_in_transaction, wait_after_commit
from sequences_core.table import with_table

from . import checks, diagnosis, function, holders, wal

# A statement with RETURNING holds the write lock until all rows are fetched, so use fetchall().
UPSERT = """
    INSERT INTO {table} (name, last)
         VALUES (%s, %s)
    ON CONFLICT (name)
  DO UPDATE SET last = last + %s
          WHERE last <= %s
      RETURNING last
"""

LOOPING_UPSERT = """
    INSERT INTO {table} (name, last)
         VALUES (%s, %s)
    ON CONFLICT (name)
  DO UPDATE SET last = CASE WHEN last < %s THEN last + 1 ELSE %s END
      RETURNING last
"""

UPDATE = """
         UPDATE {table}
            SET last = last + %s
          WHERE name = %s
            AND last <= %s
      RETURNING last
"""


def upsert(allocation: Allocation) -> function.Statement:
    """Return the upsert and its parameters."""
    name, first_last = allocation.name, allocation.first_last
    if allocation.reset_value is None:
        return with_table(UPSERT), [name, first_last, allocation.count, allocation.highest_before]
    params = [name, first_last, allocation.reset_value - 1, allocation.initial_value]
    return with_table(LOOPING_UPSERT), params


class SQLiteAllocator(Allocator):
    """Take a block by one statement.

    SQLite has one write lock for the whole database, which BEGIN IMMEDIATE takes.
    """

    protocol = 1
    vendors = frozenset({"sqlite"})
    can_limit_wait = True
    can_limit_first_wait = True
    supports_function = True
    function_of_connection = True
    locks_database = True
    can_release_early = True
    # https://www.sqlite.org/rescode.html: BUSY means that the timeout has expired. BUSY_SNAPSHOT
    # means that the transaction's snapshot is outdated, and doesn't wait. In both cases nothing
    # was written, and the transaction can be run again.
    lock_timeout_codes: ClassVar = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
    retryable_codes: ClassVar = lock_timeout_codes | {sqlite3.SQLITE_BUSY_SNAPSHOT}
    missing_table_codes: ClassVar = frozenset({"no such table"})

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        return self._last(connection, *upsert(allocation), allocation.timeout)

    def update(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        params = [allocation.count, allocation.name, allocation.highest_before]
        return self._last(connection, with_table(UPDATE), params, allocation.timeout)

    def aborts_transaction(self, connection: BaseDatabaseWrapper, error: DatabaseError) -> bool:
        # Some errors, such as a full disk, make SQLite roll the transaction back itself. Only
        # SQLite knows when it did (https://www.sqlite.org/lang_transaction.html, 3.1).
        return not connection.connection.in_transaction

    def error_code(self, error: BaseException) -> str | int | None:
        error = function.cause(error)
        if str(error).startswith("no such table"):  # its code is the general SQLITE_ERROR
            return "no such table"
        code: int | None = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_BUSY_SNAPSHOT:
            return code
        return code and code & 0xFF  # the primary code of an extended one

    def error_text(self, error: BaseException) -> str:
        return str(function.cause(error))

    def is_installed(self, connection: BaseDatabaseWrapper) -> bool:
        function.make(connection, upsert)
        return True

    def check(self, connection: BaseDatabaseWrapper) -> Sequence[CheckMessage]:
        return list(checks.messages(connection))

    def durability(self, connection: BaseDatabaseWrapper) -> str | None:
        # The value is "log", also for a file without one: each wait examines the connection.
        memory = connection.is_in_memory_db()  # type: ignore[attr-defined] # only SQLite's has it
        return None if memory else "log"

    def wait_until_durable(self, connection: BaseDatabaseWrapper, durability: str | None) -> None:
        if log := self._unsynced_log(connection):
            wal.sync(log)

    @staticmethod
    def _unsynced_log(connection: BaseDatabaseWrapper) -> str | None:
        connection.ensure_connection()
        with connection.wrap_database_errors:
            return wal.unsynced_log(connection.connection)  # not recorded in connection.queries

    def check_early_release(self, connection: BaseDatabaseWrapper) -> Sequence[CheckMessage]:
        return [] if self._unsynced_log(connection) else [checks.released_late(connection)]

    def holders(self, connection: BaseDatabaseWrapper, name: str | None = None) -> Sequence[Holder]:
        return list(holders.holders(connection))

    def describe(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        return diagnosis.describe(connection)

    def diagnose(self, connection: BaseDatabaseWrapper) -> Iterable[CheckMessage]:
        return diagnosis.diagnose(connection)

    def without_waiting(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        return self.limited(connection, 0)

    @contextmanager
    def limited(self, connection: BaseDatabaseWrapper, timeout: float) -> Iterator[None]:
        with connection.cursor() as cursor:
            before = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
            try:
                # A PRAGMA can't have parameters.
                cursor.execute(f"PRAGMA busy_timeout = {math.ceil(timeout * 1000):d}")
                yield
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {before:d}")

    def _last(
        self,
        connection: BaseDatabaseWrapper,
        statement: str,
        params: list[Any],
        timeout: float | None,
    ) -> int | None:
        if timeout is not None:
            with self.limited(connection, timeout):
                return self._last(connection, statement, params, None)
        with connection.cursor() as cursor:
            cursor.execute(statement, params)
            rows = cursor.fetchall()
        if rows and durability_in_transaction(connection):
            wait_after_commit(connection)
        return rows[0][0] if rows else None
