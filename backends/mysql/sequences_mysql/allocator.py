"""Counters in MySQL and MariaDB: one update, whose value comes back with its OK packet."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from django.core.checks import CheckMessage, Error
from django.db import DatabaseError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import TABLE, Allocation, Allocator

from . import function
from .waiting import (
    MARIADB_LEAST,
    MARIADB_LIMIT,
    MARIADB_NOWAIT,
    TRIES,
    guard,
    is_mariadb,
    lock_now,
    session_limit,
)

# LAST_INSERT_ID(expr) makes expr the "insert id" of the OK packet, so reading the number costs no
# second round trip (https://dev.mysql.com/doc/refman/8.4/en/information-functions.html).
# MariaDB's RETURNING takes half as long again (192 to 130 µs), an upsert with a SELECT twice.
UPDATE = f"""
         UPDATE {TABLE}
            SET last = LAST_INSERT_ID(last + %s)
          WHERE name = %s
"""

LOOPING_UPDATE = f"""
         UPDATE {TABLE}
            SET last = LAST_INSERT_ID(IF(last < %s, last + 1, %s))
          WHERE name = %s
"""

# The row is updated first, and inserted only if it isn't there, without ever waiting in the
# INSERT. For when the first taker rolls back, InnoDB turns the locks of those who wait in an
# INSERT for its row into gap locks, also at READ COMMITTED, and two of them deadlock over the gap;
# those who wait in an UPDATE just find no row. An insert id of 0 says that the row is there by now;
# the last number of a new counter may be 0, so its insert id is one more.
INSERT = f"""
    INSERT INTO {TABLE} (name, last)
         VALUES (%s, LAST_INSERT_ID(%s) - 1)
   ON DUPLICATE KEY
         UPDATE last = last + LAST_INSERT_ID(0)
"""

# A COMMIT that lost to a conflict may say so by the storage engine's code for a deadlock.
DEADLOCK = 1213
ERROR_DURING_COMMIT = 1180
DEADLOCK_OF_ENGINE = "error 149 "

# "BIGINT value is out of range": undoes the statement, and only that.
OUT_OF_RANGE = 1690

EXECUTE_DENIED = 1370

# Access denied (1044, 1142, 1227, 1370); binary logging without trust in function creators: 1419
# to users without SUPER, 1418 to all, for the function is not deterministic and writes.
PRIVILEGE_CODES = frozenset({1044, 1142, 1227, EXECUTE_DENIED, 1418, 1419})


class MySQLAllocator(Allocator):
    """One statement, one round trip; on MySQL three with a bound on the wait."""

    protocol = 1
    vendors = frozenset({"mysql"})
    can_limit_wait = True
    can_limit_first_wait = True
    timeout_step = 1.0
    supports_function = True
    # https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html and
    # https://mariadb.com/kb/en/mariadb-error-code-reference/: deadlock, MariaDB's "record has
    # changed since last read", and MySQL's rollback at COMMIT, by Group Replication; lock wait
    # timeout, max_statement_time, NOWAIT; no such routine; no such table.
    retryable_codes: ClassVar = frozenset({DEADLOCK, 1020, 3101})
    lock_timeout_codes: ClassVar = frozenset({1205, 1969, 3572})
    missing_function_codes: ClassVar = frozenset({1305})
    missing_table_codes: ClassVar = frozenset({1146})

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        tries = 0
        while True:
            found, last = self._update(connection, allocation)
            if found:
                return last
            last = self._insert(connection, allocation, wait=tries >= TRIES)
            if last is not None:
                return last
            tries += 1  # another transaction creates the counter: wait for its end in the update

    def update(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        return self._update(connection, allocation)[1]

    def error_code(self, error: BaseException) -> str | int | None:
        code = error.args[0] if error.args else None
        if code == ERROR_DURING_COMMIT and DEADLOCK_OF_ENGINE in str(error):
            return DEADLOCK
        return code if isinstance(code, int) else None

    def check(self, connection: BaseDatabaseWrapper) -> Sequence[CheckMessage]:
        if connection.settings_dict["ENGINE"] != "django_tidb":
            return ()
        return [
            Error(
                f"Database {connection.alias!r} is TiDB, which has no stored functions, and for "
                f"which this backend was not made.",
                hint='pip install sequences-orm, and leave SEQUENCES_BACKEND at "auto".',
                id="sequences_mysql.E001",
            )
        ]

    def install(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            if self.is_installed(connection):
                return
            try:
                cursor.execute(function.DROP)
                cursor.execute(function.create(is_mariadb(connection)))
            except OperationalError as error:
                if self.error_code(error) not in PRIVILEGE_CODES:
                    raise
                warnings.warn(
                    f"the database function of NextValue was not made ({error}): numbers will be "
                    f"taken by a statement of their own. To have it, run manage.py sequences "
                    f"install as a user with CREATE ROUTINE, on a server with "
                    f"log_bin_trust_function_creators = 1 if it has a binary log",
                    stacklevel=2,
                )

    def uninstall(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            try:
                cursor.execute(function.DROP)
            except OperationalError as error:  # also where there is nothing to drop
                if self.error_code(error) not in PRIVILEGE_CODES:
                    raise
                warnings.warn(
                    f"the database function of NextValue, if there is one, was not dropped "
                    f"({error}): that needs the privilege ALTER ROUTINE",
                    stacklevel=2,
                )

    def is_installed(self, connection: BaseDatabaseWrapper) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(function.COMMENT)
            if cursor.fetchone() != (function.mark(is_mariadb(connection)),):
                return False
            try:  # to some users, such as with SELECT on *.*, it shows all the same
                cursor.execute(function.MAY_EXECUTE)
            except DatabaseError as error:  # where all is read-only, others than EXECUTE_DENIED
                return self.error_code(error) != EXECUTE_DENIED
        return True

    def _update(
        self, connection: BaseDatabaseWrapper, allocation: Allocation
    ) -> tuple[bool, int | None]:
        """Move the counter; return whether it is there, and its new ``last`` unless exhausted."""
        name, timeout = allocation.name, allocation.timeout
        statement = UPDATE
        params: list[Any] = [allocation.count, name]
        if allocation.reset_value is not None:
            statement = LOOPING_UPDATE
            params = [allocation.reset_value - 1, allocation.initial_value, name]
        with connection.cursor() as cursor:
            if timeout is None:
                return self._moved(cursor, statement, params)
            if is_mariadb(connection):
                if not timeout:
                    return self._moved(cursor, MARIADB_NOWAIT + statement, params)
                params = [math.ceil(timeout), max(timeout, MARIADB_LEAST), *params]
                return self._moved(cursor, MARIADB_LIMIT + statement, params)
            if not timeout:
                found = lock_now(cursor, name)
                return self._moved(cursor, statement, params) if found else (False, None)
            with session_limit(cursor, timeout):
                return self._moved(cursor, statement, params)

    def _moved(self, cursor: Any, statement: str, params: list[Any]) -> tuple[bool, int | None]:
        try:
            cursor.execute(statement, params)
        except DatabaseError as error:
            if self.error_code(error) == OUT_OF_RANGE:
                return True, None
            raise
        # Django's connections count the rows that match, changed or not.
        return (True, cursor.lastrowid) if cursor.rowcount else (False, None)

    def _insert(
        self, connection: BaseDatabaseWrapper, allocation: Allocation, wait: bool
    ) -> int | None:
        """Create the counter and return its ``last``; None if another transaction is at it."""
        assert allocation.first_last is not None
        params: list[Any] = [allocation.name, allocation.first_last + 1]
        with connection.cursor() as cursor:
            try:
                with guard(cursor, allocation.name, is_mariadb(connection)):
                    if not is_mariadb(connection):
                        if lock_now(cursor, allocation.name):
                            return None
                        cursor.execute(INSERT, params)
                    else:
                        cursor.execute(INSERT if wait else MARIADB_NOWAIT + INSERT, params)
                    return self._decoded(cursor)
            except OperationalError as error:
                if wait or self.error_code(error) not in self.lock_timeout_codes:
                    raise
                return None

    @staticmethod
    def _decoded(cursor: Any) -> int | None:
        return cursor.lastrowid - 1 if cursor.lastrowid else None
