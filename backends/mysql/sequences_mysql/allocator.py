"""Counters in MySQL and MariaDB: one upsert, whose value comes back with its OK packet."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar, cast

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.mysql.base import DatabaseWrapper

from sequences_core.allocator import TABLE, Allocation, Allocator

from . import function

# LAST_INSERT_ID(expr) makes expr the "insert id" of the OK packet, so reading the number costs no
# second round trip (https://dev.mysql.com/doc/refman/8.4/en/information-functions.html). That id
# is unsigned, and 0 where nothing was said: it carries last + 1, and 0 for "would pass the end".
# Hence the casts, for last + 1 may be 2**63, and hence "+ 1" in the parameters. MariaDB's
# RETURNING takes half as long again (192 to 130 µs), an upsert with a SELECT twice as long.
UPSERT = f"""
    INSERT INTO {TABLE} (name, last)
         VALUES (%s, LAST_INSERT_ID(%s) - 1)
   ON DUPLICATE KEY
         UPDATE last = IF(last <= %s,
                          LAST_INSERT_ID(CAST(last AS UNSIGNED) + %s) - 1,
                          last + LAST_INSERT_ID(0))
"""

LOOPING_UPSERT = f"""
    INSERT INTO {TABLE} (name, last)
         VALUES (%s, LAST_INSERT_ID(%s) - 1)
   ON DUPLICATE KEY
         UPDATE last = LAST_INSERT_ID(IF(last < %s, last + 2, %s)) - 1
"""

UPDATE = f"""
         UPDATE {TABLE}
            SET last = LAST_INSERT_ID(CAST(last AS UNSIGNED) + %s) - 1
          WHERE name = %s
            AND last <= %s
"""

# MariaDB bounds one statement's wait (https://mariadb.com/kb/en/set-statement/), in whole
# seconds for a row lock and in microseconds for the statement.
MARIADB_NOWAIT = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR"
MARIADB_LIMIT = "SET STATEMENT innodb_lock_wait_timeout = %s, max_statement_time = %s FOR"

# MySQL can't: no SET_VAR for this variable (warning 3637). NOWAIT works for a row that is there,
# an uncommitted one included; else the session's variable, whose smallest value is 1 second.
MYSQL_NOWAIT = f"SELECT last FROM {TABLE} WHERE name = %s FOR UPDATE NOWAIT"
MYSQL_LIMIT = (
    "SET @sequences_core_wait = @@SESSION.innodb_lock_wait_timeout, "
    "SESSION innodb_lock_wait_timeout = %s"
)
MYSQL_UNLIMIT = "SET SESSION innodb_lock_wait_timeout = @sequences_core_wait"


# Access denied (1044, 1142, 1227, 1370); binary logging without trust in function creators (1419).
PRIVILEGE_CODES = frozenset({1044, 1142, 1227, 1370, 1419})


class MySQLAllocator(Allocator):
    """One statement, one round trip; on MySQL three with a bound on the wait."""

    protocol = 1
    can_limit_wait = True
    can_limit_first_wait = True
    timeout_step = 1.0
    supports_function = True
    # https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html and
    # https://mariadb.com/kb/en/mariadb-error-code-reference/: deadlock, and MariaDB's "record has
    # changed since last read"; lock wait timeout, max_statement_time, NOWAIT; no such table.
    retryable_codes: ClassVar = frozenset({1213, 1020})
    lock_timeout_codes: ClassVar = frozenset({1205, 1969, 3572})
    missing_table_codes: ClassVar = frozenset({1146})

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        assert isinstance(allocation.initial_value, int)
        initial, count = allocation.initial_value, allocation.count
        params: list[Any] = [allocation.name, initial + count]
        if allocation.reset_value is None:
            params += [allocation.highest_before, count + 1]
            return self._last(connection, UPSERT, params, allocation)
        params += [allocation.reset_value - 1, initial + 1]
        return self._last(connection, LOOPING_UPSERT, params, allocation)

    def update(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        params = [allocation.count + 1, allocation.name, allocation.highest_before]
        return self._last(connection, UPDATE, params, allocation)

    def error_code(self, error: BaseException) -> str | int | None:
        code = error.args[0] if error.args else None
        return code if isinstance(code, int) else None

    def install(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            if self.is_installed(connection):
                return
            try:
                cursor.execute(function.DROP)
                cursor.execute(function.CREATE)
            except OperationalError as error:
                if self.error_code(error) not in PRIVILEGE_CODES:
                    raise
                warnings.warn(
                    f"the database function of NextValue was not made ({error}): numbers will be "
                    f"taken by a statement of their own. To have it, run manage.py sequences "
                    f"install as a user with CREATE ROUTINE, and SUPER or "
                    f"log_bin_trust_function_creators = 1",
                    stacklevel=2,
                )

    def uninstall(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            cursor.execute(function.DROP)

    def is_installed(self, connection: BaseDatabaseWrapper) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(function.IS_INSTALLED)
            return cursor.fetchone() == (1,)

    def _last(
        self,
        connection: BaseDatabaseWrapper,
        statement: str,
        params: list[Any],
        allocation: Allocation,
    ) -> int | None:
        limit: Any = nullcontext()
        timeout = allocation.timeout
        if timeout is not None:
            if cast(DatabaseWrapper, connection).mysql_is_mariadb:
                if timeout:
                    statement = MARIADB_LIMIT + statement
                    params = [math.ceil(timeout), timeout, *params]
                else:
                    statement = MARIADB_NOWAIT + statement
            else:
                limit = _session_limit(connection, allocation.name, timeout)
        with limit, connection.cursor() as cursor:
            cursor.execute(statement, params)
            encoded = cursor.lastrowid
        return encoded - 1 if encoded else None


@contextmanager
def _session_limit(connection: BaseDatabaseWrapper, name: str, timeout: float) -> Iterator[None]:
    """Bound the waits of this MySQL session inside the block."""
    with connection.cursor() as cursor:
        if not timeout:
            cursor.execute(MYSQL_NOWAIT, [name])
            if cursor.fetchone():  # locked by now: nothing to wait for
                yield
                return
        cursor.execute(MYSQL_LIMIT, [max(1, math.ceil(timeout))])
        try:
            yield
        finally:
            cursor.execute(MYSQL_UNLIMIT)
