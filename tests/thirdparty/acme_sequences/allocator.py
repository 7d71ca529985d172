"""Counters in SQLite: each block is one statement, plain, batch and looping alike."""

from __future__ import annotations

import sqlite3
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import Allocation, Allocator
from sequences_core.arguments import MAX_VALUE
from sequences_core.table import with_table

MOVE = "last = CASE WHEN last < %(top)s THEN last + %(count)s ELSE %(bottom)s END"

UPDATE = f"""
    UPDATE {{table}} SET {MOVE}
     WHERE name = %(name)s AND last <= %(highest_before)s
    RETURNING last
"""

UPSERT = f"""
    INSERT INTO {{table}} (name, last) VALUES (%(name)s, %(first_last)s)
    ON CONFLICT (name) DO UPDATE SET {MOVE} WHERE last <= %(highest_before)s
    RETURNING last
"""


class AcmeAllocator(Allocator):
    """One statement for each block, under SQLite's lock of the whole database."""

    protocol = 1
    vendors = frozenset({"sqlite"})
    locks_database = True
    retryable_codes = frozenset({sqlite3.SQLITE_BUSY})
    missing_table_codes = frozenset({"no such table"})

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        return self._last(connection, UPSERT, allocation)

    def update(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        return self._last(connection, UPDATE, allocation)

    def error_code(self, error: BaseException) -> str | int | None:
        if str(error).startswith("no such table"):  # whose code is the general SQLITE_ERROR
            return "no such table"
        code: int | None = getattr(error.__cause__, "sqlite_errorcode", None)
        return code and code & 0xFF  # the primary code of an extended one

    @staticmethod
    def _last(
        connection: BaseDatabaseWrapper, statement: str, allocation: Allocation
    ) -> int | None:
        params: dict[str, Any] = {
            "name": allocation.name,
            "count": allocation.count,
            "first_last": allocation.first_last,
            "highest_before": allocation.highest_before,
            # A plain sequence never gets to the end of its loop.
            "top": MAX_VALUE,
            "bottom": None,
        }
        if allocation.reset_value is not None:
            params["top"] = allocation.reset_value - 1
            params["bottom"] = allocation.initial_value
            params["highest_before"] = MAX_VALUE
        with connection.cursor() as cursor:
            cursor.execute(with_table(statement), params)
            rows = cursor.fetchall()  # all of them: an open RETURNING keeps the write lock
        return rows[0][0] if rows else None
