"""The kit's knowledge of the databases that Django itself supports.

For another database, a contract class overrides the attributes and methods of the same names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

ISOLATION_LEVELS: dict[str, tuple[str, ...]] = {
    "postgresql": ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"),
    "mysql": ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"),
    "oracle": ("READ COMMITTED", "SERIALIZABLE"),
    "sqlite": (),
}
"""The isolation levels that a transaction can set, by vendor; empty if there is only one."""

SET_ISOLATION_LEVEL = {
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {}",
    "mysql": "SET SESSION TRANSACTION ISOLATION LEVEL {}",
    "oracle": "ALTER SESSION SET ISOLATION_LEVEL = {}",
}

POSTGRESQL_SETTINGS = "SELECT name, setting FROM pg_settings"

# https://www.postgresql.org/docs/15/view-pg-locks.html doesn't tell the locks that end with the
# transaction from those that don't.
POSTGRESQL_LOCKS = """
    SELECT 'advisory lock ' || classid || ' ' || objid, mode
      FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
"""

# RELEASE_ALL_LOCKS returns the number of locks of GET_LOCK.
MYSQL_STATE = ("SHOW SESSION VARIABLES", "SELECT 'locks', RELEASE_ALL_LOCKS()")

# Each statement, or another session, changes these.
MYSQL_VOLATILE = {
    *("error_count", "identity", "in_transaction", "insert_id", "last_insert_id", "statement_id"),
    *("pseudo_thread_id", "rand_seed1", "rand_seed2", "timestamp", "warning_count", "last_gtid"),
    *("gtid_executed", "gtid_purged", "gtid_binlog_pos", "gtid_binlog_state", "gtid_current_pos"),
}

SQLITE_PRAGMAS = (
    *(
        "busy_timeout",
        "cache_size",
        "defer_foreign_keys",
        "foreign_keys",
        "ignore_check_constraints",
    ),
    *("journal_mode", "locking_mode", "max_page_count", "query_only", "read_uncommitted"),
    *("recursive_triggers", "reverse_unordered_selects", "synchronous", "temp_store"),
)

LIMIT_WAITS = {
    "postgresql": "SET lock_timeout = 61000",
    "mysql": "SET SESSION innodb_lock_wait_timeout = 61",
    "sqlite": "PRAGMA busy_timeout = 61000",
}
"""A limit of the session that no database has by default, by vendor."""

SESSIONS = 20
"""The maximum number of sessions that a test opens at once."""


def session_state(connection: BaseDatabaseWrapper) -> dict[str, Any] | None:
    """Return the session's settings and user-level locks; None for an unknown vendor.

    Inside a transaction, leave out locks that may end with it.
    """
    with connection.cursor() as cursor:

        def ask(sql: str) -> list[Any]:
            cursor.execute(sql)
            return list(cursor.fetchall())

        if connection.vendor == "postgresql":
            locks = [] if connection.in_atomic_block else ask(POSTGRESQL_LOCKS)
            return dict([*ask(POSTGRESQL_SETTINGS), *locks])
        if connection.vendor == "mysql":
            rows = [row for sql in MYSQL_STATE for row in ask(sql)]
            return {name: value for name, value in rows if name not in MYSQL_VOLATILE}
        if connection.vendor == "sqlite":
            return {name: ask(f"PRAGMA {name}") for name in SQLITE_PRAGMAS}
    return None


def canceller(connection: BaseDatabaseWrapper) -> Callable[[], None]:
    """Connect, and return a function that cancels this session's current statement.

    The function is called in another thread. psycopg, psycopg2 and oracledb have ``cancel()`` for
    this, sqlite3 has ``interrupt()``. On MySQL, another session must kill the connection.
    """
    connection.ensure_connection()
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT CONNECTION_ID()")
            (number,) = cursor.fetchone()
        return partial(_kill, connection, number)

    def cancel() -> None:
        for name in ("cancel", "interrupt"):
            if callable(method := getattr(connection.connection, name, None)):
                method()
                return

    return cancel


def check_pool(connection: BaseDatabaseWrapper) -> None:
    """Fail if the connection pool is too small.

    The threads of a test would wait for each other until the pool's timeout, after 30 s.
    """
    pool = getattr(connection, "pool", None)
    # The attribute is max_size in psycopg_pool and max in oracledb.
    size = getattr(pool, "max_size", None) or getattr(pool, "max", None) or SESSIONS
    assert size >= SESSIONS, (
        f"the kit opens up to {SESSIONS} sessions at once, but the pool of database "
        f"{connection.alias!r} allows {size}: set a larger max_size in OPTIONS"
    )


def end_session(connection: BaseDatabaseWrapper) -> None:
    """Close the connection, and its pool if there is one, with all of the pool's sessions."""
    connection.close()
    pooled: Any = connection  # only some engines have pool and close_pool()
    if getattr(pooled, "pool", None) is not None:
        pooled.close_pool()


def _kill(connection: BaseDatabaseWrapper, number: int) -> None:
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("KILL %s", [number])
    finally:
        other.close()
