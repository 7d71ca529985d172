"""What the kit knows of the databases that Django itself supports.

A contract class says it for any other database, by the hooks of the same names.
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
"""The isolation levels that a transaction can ask for, by vendor; empty where there is one."""

SET_ISOLATION_LEVEL = {
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {}",
    "mysql": "SET SESSION TRANSACTION ISOLATION LEVEL {}",
    "oracle": "ALTER SESSION SET ISOLATION_LEVEL = {}",
}

# Settings and advisory locks. pg_locks: https://www.postgresql.org/docs/15/view-pg-locks.html
POSTGRESQL_STATE = """
    SELECT name, setting FROM pg_settings
     UNION ALL
    SELECT 'advisory lock ' || objid, mode
      FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
"""

# RELEASE_ALL_LOCKS says how many locks of GET_LOCK there were.
MYSQL_STATE = ("SHOW SESSION VARIABLES", "SELECT 'locks', RELEASE_ALL_LOCKS()")

# What each statement, or another session, changes.
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


SESSIONS = 20
"""How many sessions does a test open at once, at the most?"""


def session_state(connection: BaseDatabaseWrapper) -> dict[str, Any] | None:
    """Return the session's settings and user-level locks; None for an unknown vendor."""
    with connection.cursor() as cursor:

        def ask(sql: str) -> list[Any]:
            cursor.execute(sql)
            return list(cursor.fetchall())

        if connection.vendor == "postgresql":
            return dict(ask(POSTGRESQL_STATE))
        if connection.vendor == "mysql":
            rows = [row for sql in MYSQL_STATE for row in ask(sql)]
            return {name: value for name, value in rows if name not in MYSQL_VOLATILE}
        if connection.vendor == "sqlite":
            return {name: ask(f"PRAGMA {name}") for name in SQLITE_PRAGMAS}
    return None


def canceller(connection: BaseDatabaseWrapper) -> Callable[[], None]:
    """Connect, and return what makes the statement fail in which this session is later.

    It is called from another thread. psycopg, psycopg2 and oracledb have ``cancel()`` for it,
    sqlite3 ``interrupt()``. MySQL's clients can't: another session must kill theirs.
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
    """Fail where the connections come from a pool that has too few of them.

    The threads of a test would wait for each other until the pool gives up, after 30 s.
    """
    pool = getattr(connection, "pool", None)
    # psycopg_pool says max_size, oracledb max.
    size = getattr(pool, "max_size", None) or getattr(pool, "max", None) or SESSIONS
    assert size >= SESSIONS, (
        f"the kit opens up to {SESSIONS} sessions at once, and the pool of database "
        f"{connection.alias!r} has {size}: set a larger max_size in OPTIONS"
    )


def end_session(connection: BaseDatabaseWrapper) -> None:
    """Close the connection, and all sessions that a pool would keep for those who come next."""
    connection.close()
    pooled: Any = connection  # if it is: only the wrappers that can be have a close_pool()
    if getattr(pooled, "pool", None) is not None:
        pooled.close_pool()


def _kill(connection: BaseDatabaseWrapper, number: int) -> None:
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("KILL %s", [number])
    finally:
        other.close()
