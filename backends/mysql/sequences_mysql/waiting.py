"""How MySQL and MariaDB are kept from waiting too long, or in the wrong place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import TABLE

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
MYSQL_NOWAIT = f"SELECT last FROM {TABLE} WHERE name = %s FOR UPDATE NOWAIT"
MYSQL_LIMIT = (
    "SET @sequences_core_wait = @@SESSION.innodb_lock_wait_timeout, "
    "SESSION innodb_lock_wait_timeout = %s"
)
MYSQL_UNLIMIT = "SET SESSION innodb_lock_wait_timeout = @sequences_core_wait"

# So creators of one name take turns, each for as long as it takes to look and insert: MySQL's, who
# can't try an INSERT without waiting, and MariaDB's, whose function can't. Not above READ
# COMMITTED, where an UPDATE that finds no row locks the gap, and the InnoDB deadlock detector,
# which doesn't see this lock, has to sort out who may insert; nor in a Galera cluster, which
# refuses GET_LOCK. Its name has 64 characters at most, and is the whole server's.
GUARD = f"SHA2(CONCAT(CONVERT(DATABASE() USING utf8mb4), '.{TABLE}.', %s), 256)"
MYSQL_UNLOCKED_GAPS = "@@transaction_isolation = 'READ-COMMITTED'"
MARIADB_UNLOCKED_GAPS = "@@tx_isolation = 'READ-COMMITTED' AND NOT @@wsrep_on"
UNGUARD = f"SELECT RELEASE_LOCK({GUARD})"

# Above READ COMMITTED, gap locks make MariaDB's INSERT that doesn't wait fail however often.
TRIES = 10


def is_mariadb(connection: BaseDatabaseWrapper) -> bool:
    return cast("DatabaseWrapper", connection).mysql_is_mariadb


def lock_now(cursor: Any, name: str) -> bool:
    """Lock the counter on MySQL, or raise 3572; return whether it is there."""
    cursor.execute(MYSQL_NOWAIT, [name])
    return cursor.fetchone() is not None


def unlocked_gaps(mariadb: bool) -> str:
    """The condition under which an UPDATE that finds no row locks nothing."""
    return MARIADB_UNLOCKED_GAPS if mariadb else MYSQL_UNLOCKED_GAPS


@contextmanager
def guard(cursor: Any, name: str, mariadb: bool) -> Iterator[None]:
    """Let one session at a time create the counter; nobody waits for a row in the block."""
    condition = unlocked_gaps(mariadb)
    cursor.execute(f"SELECT IF({condition}, GET_LOCK({GUARD}, 2), NULL)", [name])
    guarded = cursor.fetchone() == (1,)
    try:
        yield
    finally:
        if guarded:
            cursor.execute(UNGUARD, [name])


@contextmanager
def session_limit(cursor: Any, timeout: float) -> Iterator[None]:
    """Bound the waits of this MySQL session inside the block."""
    cursor.execute(MYSQL_LIMIT, [math.ceil(timeout)])
    try:
        yield
    finally:
        cursor.execute(MYSQL_UNLIMIT)
