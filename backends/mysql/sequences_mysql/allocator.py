"""Counters in MySQL and MariaDB: one UPDATE, whose OK packet has the new value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from django.core.checks import CheckMessage
from django.db import DatabaseError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import Allocation, Allocator
from sequences_core.diagnosis import Holder

from . import checks, diagnosis, function, holders, triggers
from .statements import (
    INSERT,
    LOOPING_UPDATE,
    UPDATE,
    is_exhausted,
    number_despite_trigger,
)
from .waiting import (
    TRIES,
    execute,
    guard,
    is_mariadb,
    lock_now,
    rolls_back_on_timeout,
)

# A COMMIT that fails because of a conflict may report the storage engine's code for a deadlock.
DEADLOCK = 1213
ERROR_DURING_COMMIT = 1180
DEADLOCK_OF_ENGINE = "error 149 "

LOCK_WAIT_TIMEOUT = 1205
LOCK_TABLE_FULL = 1206
"""InnoDB undoes the whole transaction: row_mysql_handle_errors() in row0mysql.cc."""


class MySQLAllocator(Allocator):
    """Take a block by one statement and one round trip; on MySQL, a timeout needs three."""

    protocol = 1
    vendors = frozenset({"mysql"})
    can_limit_wait = True
    can_limit_first_wait = True
    timeout_step = 1.0
    supports_function = True
    # https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html and
    # https://mariadb.com/kb/en/mariadb-error-code-reference/: deadlock, MariaDB's "record has
    # changed since last read", and MySQL's rollback at COMMIT by Group Replication; lock wait
    # timeout, max_statement_time, NOWAIT; no such routine; no such table.
    retryable_codes: ClassVar = frozenset({DEADLOCK, 1020, 3101})
    lock_timeout_codes: ClassVar = frozenset({LOCK_WAIT_TIMEOUT, 1969, 3572})
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
            tries += 1  # another transaction is creating the counter: let the UPDATE wait for it
            if tries > 10 * TRIES:
                raise OperationalError(
                    f"the counter of sequence {allocation.name!r} exists, but can't be updated"
                )

    def update(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        return self._update(connection, allocation)[1]

    def aborts_transaction(self, connection: BaseDatabaseWrapper, error: DatabaseError) -> bool:
        code = self.error_code(error)
        if code == LOCK_WAIT_TIMEOUT:
            return rolls_back_on_timeout(connection)
        return code == LOCK_TABLE_FULL or self.is_retryable(error)

    def error_code(self, error: BaseException) -> str | int | None:
        code = error.args[0] if error.args else None
        if code == ERROR_DURING_COMMIT and DEADLOCK_OF_ENGINE in str(error):
            return DEADLOCK
        return code if isinstance(code, int) else None

    def name_column(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        # The default collations ignore case and accents, and utf8mb4_bin ignores trailing spaces
        # (https://dev.mysql.com/doc/refman/8.4/en/charset-binary-collations.html).
        return {"collation": "utf8mb4_nopad_bin" if is_mariadb(connection) else "utf8mb4_0900_bin"}

    def check_name(self, connection: BaseDatabaseWrapper, name: str) -> None:
        checks.check_name(connection, name)

    def check(self, connection: BaseDatabaseWrapper) -> Sequence[CheckMessage]:
        return list(checks.messages(connection))

    def install(self, connection: BaseDatabaseWrapper) -> None:
        if self.is_installed(connection):
            return
        with function.warning_of_privileges(function.NOT_MADE):
            while not function.make(connection):
                if self.is_installed(connection):  # by another process meanwhile
                    break
        triggers.warn(connection)

    def uninstall(self, connection: BaseDatabaseWrapper) -> None:
        # Without the privilege, DROP … IF EXISTS fails even if there is no function.
        with function.warning_of_privileges(function.NOT_DROPPED), connection.cursor() as cursor:
            cursor.execute(function.DROP)

    def is_installed(self, connection: BaseDatabaseWrapper) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(function.FOUND)
            current = (function.mark(is_mariadb(connection)), function.SQL_MODE)
            if cursor.fetchone() != current or triggers.changing(cursor):
                return False
            try:  # users with SELECT on *.* see functions that they may not execute
                cursor.execute(function.MAY_EXECUTE)
            except DatabaseError as error:  # a read-only server raises other errors
                return self.error_code(error) != function.EXECUTE_DENIED
        return True

    def holders(self, connection: BaseDatabaseWrapper, name: str | None = None) -> Sequence[Holder]:
        return holders.holders(connection, name)

    def describe(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        return diagnosis.describe(connection)

    def diagnose(self, connection: BaseDatabaseWrapper) -> Iterable[CheckMessage]:
        return diagnosis.diagnose(connection, self.reads_uncommitted(connection))

    def without_waiting(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        return diagnosis.without_waiting(connection)

    def _update(
        self, connection: BaseDatabaseWrapper, allocation: Allocation
    ) -> tuple[bool, int | None]:
        """Increase the counter; return whether it exists, and ``last``, or None if exhausted."""
        name, timeout = allocation.name, allocation.timeout
        statement, one_more = UPDATE, 0
        params: list[Any] = [allocation.count, name]
        if allocation.reset_value is not None:
            statement, one_more = LOOPING_UPDATE, 1
            params = [allocation.reset_value - 1, allocation.initial_value, name]
        with connection.cursor() as cursor:
            if timeout == 0 and not is_mariadb(connection):
                if not lock_now(cursor, name):
                    return False, None
                if not connection.get_autocommit():  # Else the lock has ended with its statement.
                    timeout = None
            try:
                execute(connection, cursor, statement, params, timeout)
            except DatabaseError as error:
                if is_exhausted(self.error_code(error), error):
                    return True, None
                raise
            if cursor.lastrowid:
                return True, cursor.lastrowid - one_more
            # With Django's client flags, rowcount counts the rows that match, changed or not.
            if not cursor.rowcount:
                return False, None
            last = number_despite_trigger(connection, cursor, allocation, one_more)
            return last is not None, last

    def _insert(
        self, connection: BaseDatabaseWrapper, allocation: Allocation, wait: bool
    ) -> int | None:
        """Create the counter and return ``last``; None if another transaction is creating it."""
        assert allocation.first_last is not None
        name, timeout = allocation.name, allocation.timeout
        params: list[Any] = [name, allocation.first_last + 1]
        with connection.cursor() as cursor:
            try:
                with guard(connection, name) as timeout_is_harmless:
                    if is_mariadb(connection):
                        wait = wait or not timeout_is_harmless
                    else:
                        wait = False  # an error of lock_now() means that another one creates it
                        if lock_now(cursor, name):
                            return None
                        wait = True  # MySQL has no INSERT that doesn't
                    execute(connection, cursor, INSERT, params, timeout if wait else 0)
            except OperationalError as error:
                if wait or self.error_code(error) not in self.lock_timeout_codes:
                    raise
                return None
            if cursor.lastrowid:
                return int(cursor.lastrowid) - 1
            return number_despite_trigger(connection, cursor, allocation, 1)
