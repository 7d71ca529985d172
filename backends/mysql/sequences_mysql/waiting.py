"""How MySQL and MariaDB are kept from waiting too long, or in the wrong place."""

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

# MariaDB bounds one statement's wait (https://mariadb.com/kb/en/set-statement/), in whole
# seconds for a row lock and in microseconds for the statement.
MARIADB_NOWAIT = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR"
MARIADB_LIMIT = "SET STATEMENT innodb_lock_wait_timeout = %s, max_statement_time = %s FOR"
# Seconds: the limit counts the statement's own time as well, and a busy machine may need some
# milliseconds for it without any wait. (Below a microsecond it would be none at all.)
MARIADB_LEAST = 0.1

# MySQL can't: no SET_VAR for this variable (warning 3637). NOWAIT works for a row that is there,
# an uncommitted one included; else the session's variable, whose smallest value is 1 second.
MYSQL_NOWAIT = "SELECT last FROM {table} WHERE name = %s FOR UPDATE NOWAIT"
MYSQL_LIMIT = (
    "SET @sequences_core_wait = @@SESSION.innodb_lock_wait_timeout, "
    "SESSION innodb_lock_wait_timeout = %s"
)
# Also where the statement above was killed, before or after it did its work.
MYSQL_UNLIMIT = """
    SET SESSION innodb_lock_wait_timeout =
            COALESCE(@sequences_core_wait, @@SESSION.innodb_lock_wait_timeout),
        @sequences_core_wait = NULL
"""

# So creators of one name take turns, each for as long as it takes to look and insert: MySQL's, who
# can't try an INSERT without waiting, and MariaDB's, whose function can't. Not above READ
# COMMITTED, where an UPDATE that finds no row locks the gap, and the InnoDB deadlock detector,
# which doesn't see this lock, has to sort out who may insert; nor in a Galera cluster, which
# refuses GET_LOCK. Its name has 64 characters at most, and is the whole server's.
GUARD = "SHA2(CONCAT(CONVERT(DATABASE() USING utf8mb4), '.{table}.', %s), 256)"
MYSQL_UNLOCKED_GAPS = "@@transaction_isolation = 'READ-COMMITTED'"
MARIADB_UNLOCKED_GAPS = "@@tx_isolation = 'READ-COMMITTED' AND NOT @@wsrep_on"
# No SELECT, which MySQL's max_execution_time may end; MariaDB's limit may end anything.
UNGUARD = f"DO RELEASE_LOCK({GUARD})"
MARIADB_UNGUARD = f"SET STATEMENT max_statement_time = 0 FOR {UNGUARD}"

# Above READ COMMITTED, gap locks make MariaDB's INSERT that doesn't wait fail however often.
TRIES = 10


def is_mariadb(connection: BaseDatabaseWrapper) -> bool:
    return cast("DatabaseWrapper", connection).mysql_is_mariadb


def lock_now(cursor: Any, name: str) -> bool:
    """Lock the counter on MySQL, or raise 3572; return whether it is there."""
    cursor.execute(sql(MYSQL_NOWAIT), [name])
    return cursor.fetchone() is not None


def unlocked_gaps(mariadb: bool) -> str:
    """The condition under which an UPDATE that finds no row locks nothing."""
    return MARIADB_UNLOCKED_GAPS if mariadb else MYSQL_UNLOCKED_GAPS


@contextmanager
def guard(connection: BaseDatabaseWrapper, name: str) -> Iterator[None]:
    """Let one session at a time create the counter; nobody waits for a row in the block."""
    mariadb = is_mariadb(connection)
    look = sql(f"SELECT IF({unlocked_gaps(mariadb)}, GET_LOCK({GUARD}, 2), NULL)")
    unguard = sql(MARIADB_UNGUARD if mariadb else UNGUARD)
    with connection.cursor() as cursor, undone_by(cursor, unguard, [name]) as undo:
        cursor.execute(look, [name])
        undo.needed = cursor.fetchone() == (1,)
        yield


@contextmanager
def session_limit(connection: BaseDatabaseWrapper, timeout: float) -> Iterator[None]:
    """Bound the waits of this MySQL session inside the block."""
    with connection.cursor() as cursor, undone_by(cursor, MYSQL_UNLIMIT, []):
        cursor.execute(MYSQL_LIMIT, [math.ceil(timeout)])
        yield


class Undo:
    """Is there anything to undo? Until the statement's answer is read, there may be."""

    needed = True


@contextmanager
def undone_by(cursor: Any, statement: str, params: list[Any]) -> Iterator[Undo]:
    """Execute ``statement`` after the block; also after an error, which is then raised."""
    undo = Undo()
    try:
        yield undo
    except BaseException:
        if undo.needed:
            with suppress(Error):  # in a session that has ended there is nothing to undo
                _insist(cursor, statement, params)
        raise
    if undo.needed:
        _insist(cursor, statement, params)


def _insist(cursor: Any, statement: str, params: list[Any]) -> None:
    try:
        cursor.execute(statement, params)
    except Error:  # a KILL QUERY that came late: one KILL ends one statement
        cursor.execute(statement, params)
