"""Limit waits on MySQL and MariaDB, and avoid waiting in an INSERT."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from .statements import sql

if TYPE_CHECKING:
    from django.db.backends.mysql.base import DatabaseWrapper  # which imports the driver

# MariaDB limits the wait of a single statement (https://mariadb.com/kb/en/set-statement/), in whole
# seconds for a row lock and in microseconds for the statement.
MARIADB_NOWAIT = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR"
MARIADB_LIMIT = "SET STATEMENT innodb_lock_wait_timeout = %s, max_statement_time = %s FOR"
# In seconds. The limit includes the statement's own time, which may be some milliseconds on a busy
# machine. A limit below a microsecond would disable it.
MARIADB_LEAST = 0.1

# MySQL can't do this: it has no SET_VAR for this variable (warning 3637). NOWAIT works for a row
# that exists, also for an uncommitted one. Other timeouts need the session's variable, whose
# minimum is 1 second.
MYSQL_NOWAIT = "SELECT last FROM {table} WHERE name = %s FOR UPDATE NOWAIT"
MYSQL_LIMIT = (
    "SET @sequences_core_wait = @@SESSION.innodb_lock_wait_timeout, "
    "SESSION innodb_lock_wait_timeout = %s"
)
# This also works if the statement above was killed before or after it was executed.
MYSQL_UNLIMIT = """
    SET SESSION innodb_lock_wait_timeout =
            COALESCE(@sequences_core_wait, @@SESSION.innodb_lock_wait_timeout),
        @sequences_core_wait = NULL
"""

# This lock serializes the sessions that create a counter of the same name, for the time of a search
# and an INSERT. MySQL needs it because its INSERT can't fail instead of waiting, and MariaDB
# because an INSERT in its function can't. It isn't used above READ COMMITTED, where an UPDATE that
# finds no row locks the gap: InnoDB's deadlock detector must choose the session that may insert,
# and it doesn't know this lock. Galera clusters refuse GET_LOCK. The lock's name has at most 64
# characters and is shared by the whole server.
GUARD = "SHA2(CONCAT(CONVERT(DATABASE() USING utf8mb4), '.{table}.', %s), 256)"
MYSQL_UNLOCKED_GAPS = "@@transaction_isolation = 'READ-COMMITTED'"
# Not all builds of MariaDB have wsrep_on: those for Windows can't be part of a cluster.
MARIADB_UNLOCKED_GAPS = """@@tx_isolation = 'READ-COMMITTED' AND NOT EXISTS (
    SELECT 1 FROM information_schema.session_variables
     WHERE variable_name = 'WSREP_ON' AND variable_value = 'ON')"""
# DO isn't a SELECT, which MySQL's max_execution_time could end. MariaDB's limit could end any
# statement.
UNGUARD = f"DO RELEASE_LOCK({GUARD})"
MARIADB_UNGUARD = f"SET STATEMENT max_statement_time = 0 FOR {UNGUARD}"

# Above READ COMMITTED, gap locks can make every INSERT that doesn't wait fail on MariaDB.
TRIES = 10


def is_mariadb(connection: BaseDatabaseWrapper) -> bool:
    return cast("DatabaseWrapper", connection).mysql_is_mariadb


def lock_now(cursor: Any, name: str) -> bool:
    """Lock the counter on MySQL, or raise error 3572; return whether it exists."""
    cursor.execute(sql(MYSQL_NOWAIT), [name])
    return cursor.fetchone() is not None


def unlocked_gaps(mariadb: bool) -> str:
    """Return the SQL condition under which an UPDATE that finds no row locks nothing."""
    return MARIADB_UNLOCKED_GAPS if mariadb else MYSQL_UNLOCKED_GAPS


@contextmanager
def guard(connection: BaseDatabaseWrapper, name: str) -> Iterator[bool]:
    """Let one session at a time create the counter. Statements in the block should not wait.

    Yield whether a lock wait timeout undoes only its statement, not the whole transaction.
    """
    mariadb = is_mariadb(connection)
    lock = f"IF({unlocked_gaps(mariadb)}, GET_LOCK({GUARD}, 2), NULL)"
    look = sql(f"SELECT {lock}, @@innodb_rollback_on_timeout")
    unguard = sql(MARIADB_UNGUARD if mariadb else UNGUARD)
    with connection.cursor() as cursor, undone_by(cursor, unguard, [name]) as undo:
        cursor.execute(look, [name])
        got, rolls_back = cursor.fetchone()
        undo.needed = got == 1
        yield not rolls_back


def rolls_back_on_timeout(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a lock wait timeout undoes the whole transaction.

    Raise the error of a conflict that has undone it meanwhile. In a Galera cluster, that may happen
    between two statements. Only the next one gets the error, and a COMMIT after that succeeds.
    """
    driver: Any = connection.connection
    if driver is None:
        return False
    # Django's cursor would refuse the query if the transaction is marked for rollback already.
    with connection.wrap_database_errors, driver.cursor() as cursor:
        cursor.execute("SELECT @@innodb_rollback_on_timeout")
        return bool(cursor.fetchone()[0])


def execute(
    connection: BaseDatabaseWrapper,
    cursor: Any,
    statement: str,
    params: list[Any],
    timeout: float | None,
) -> None:
    """Execute the statement. It waits for a lock for at most ``timeout`` seconds."""
    if timeout is None:
        cursor.execute(sql(statement), params)
    elif not is_mariadb(connection):
        with session_limit(connection, timeout):
            cursor.execute(sql(statement), params)
    elif timeout:
        limits = [math.ceil(timeout), max(timeout, MARIADB_LEAST)]
        cursor.execute(sql(MARIADB_LIMIT + statement), [*limits, *params])
    else:
        cursor.execute(sql(MARIADB_NOWAIT + statement), params)


@contextmanager
def session_limit(connection: BaseDatabaseWrapper, timeout: float) -> Iterator[None]:
    """Limit the waits of this MySQL session inside the block, in seconds."""
    with connection.cursor() as cursor, undone_by(cursor, MYSQL_UNLIMIT, []):
        cursor.execute(MYSQL_LIMIT, [max(1, math.ceil(timeout))])
        yield


class Undo:
    """Whether there is something to undo. This is assumed until the statement's result is known."""

    needed = True


@contextmanager
def undone_by(cursor: Any, statement: str, params: list[Any]) -> Iterator[Undo]:
    """Execute ``statement`` after the block, also if the block raises an error."""
    undo = Undo()
    try:
        yield undo
    except BaseException:
        if undo.needed:
            with suppress(Error):  # if the session has ended, there is nothing to undo
                _insist(cursor, statement, params)
        raise
    if undo.needed:
        _insist(cursor, statement, params)


def _insist(cursor: Any, statement: str, params: list[Any]) -> None:
    try:
        cursor.execute(statement, params)
    except Error:  # a KILL QUERY may have been late; it ends only one statement
        cursor.execute(statement, params)
