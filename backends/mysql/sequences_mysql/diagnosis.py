"""Facts and problems of a MySQL or MariaDB database, for ``sequences doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import FUNCTION
from sequences_core.diagnosis import read_only, server
from sequences_core.table import quoted_table, table_parts

from . import function, triggers
from .holders import account
from .statements import sql
from .waiting import is_mariadb, undone_by

DENIED = frozenset({1142, 1143})
# The errors of read_only, for users without special privileges; of a read-only session; and of
# innodb_read_only.
READ_ONLY = frozenset({1290, 1792, 1836})

# EXPLAIN requires the same privileges as the statement, and considers roles and columns
# (https://dev.mysql.com/doc/refman/8.4/en/explain.html).
NEEDED = {
    "INSERT": "EXPLAIN INSERT INTO {table} (name, last) VALUES ('', 0)",
    "UPDATE": "EXPLAIN UPDATE {table} SET last = last WHERE name = ''",
    "DELETE": "EXPLAIN DELETE FROM {table} WHERE name = ''",
}

SETTINGS = """
    SELECT CURRENT_USER(), {isolation}, @@innodb_flush_log_at_trx_commit, @@sync_binlog,
           (SELECT engine FROM information_schema.tables
             WHERE table_schema = DATABASE() AND table_name = %s)
"""

TRIGGERS = """
    SELECT trigger_name
      FROM information_schema.triggers
     WHERE event_object_schema = DATABASE() AND event_object_table = %s
       AND event_manipulation <> 'DELETE'
     ORDER BY 1
"""

# Queries also wait for metadata locks, such as that of ALTER TABLE. MySQL's minimum is 1 second.
LIMIT = """
    SET @sequences_core_metadata = @@SESSION.lock_wait_timeout,
        SESSION lock_wait_timeout = {least}
"""
UNLIMIT = """
    SET SESSION lock_wait_timeout =
            COALESCE(@sequences_core_metadata, @@SESSION.lock_wait_timeout),
        @sequences_core_metadata = NULL
"""


def describe(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return the settings that affect durability and conflicts."""
    found = _settings(connection)
    facts = {
        "server": server(connection),
        "user": found["user"],
        "isolation level": found["isolation"].lower().replace("-", " "),
        "durability": f"innodb_flush_log_at_trx_commit {found['flush']}, "
        f"sync_binlog {found['binlog']}",
    }
    if found["engine"]:  # None if there is no table
        facts["storage"] = f"engine {found['engine']}"
    return facts


def diagnose(connection: BaseDatabaseWrapper, reads_uncommitted: bool) -> Iterator[CheckMessage]:
    """See :meth:`sequences_core.Allocator.diagnose`.

    ``reads_uncommitted`` is true if the settings ask for this level, which ``check`` reports.
    """
    found = _settings(connection)
    alias, table = connection.alias, quoted_table("`")
    if found["isolation"] == "READ-UNCOMMITTED" and not reads_uncommitted:
        yield Error(
            f"The sessions of database {alias!r} are READ UNCOMMITTED: transactions see numbers "
            f"that are rolled back later, so that a number could be given twice.",
            hint='Set "isolation_level": "read committed" in the OPTIONS of this database.',
        )
    if found["engine"] != "InnoDB":
        yield Error(
            f"{table} of database {alias!r} uses the engine {found['engine']}: a rollback doesn't "
            f"give numbers back, and transactions don't lock the counter.",
            hint=f"ALTER TABLE {table} ENGINE = InnoDB",
        )
    with connection.cursor() as cursor:
        if reason := _refusal(cursor, NEEDED["UPDATE"], READ_ONLY):
            yield read_only(connection, reason)
        yield from _privileges(cursor, alias, account(found["user"]))
        changing = triggers.changing(cursor)
        cursor.execute(TRIGGERS, [table_parts()[-1]])
        for (trigger,) in cursor.fetchall():
            what = "runs for each number, while the counter is locked"
            if trigger == changing:
                what = "changes the stored values, so that numbers can't be taken"
            yield (Error if trigger == changing else Warning)(
                f"Trigger {trigger!r} on {table} of database {alias!r} {what}.",
                hint=f"If it is not needed: DROP TRIGGER `{trigger}`",
            )


@contextmanager
def without_waiting(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Limit waits for metadata locks; a SELECT without FOR UPDATE waits for no other locks."""
    with connection.cursor() as cursor, undone_by(cursor, UNLIMIT, []):
        cursor.execute(LIMIT.format(least=0 if is_mariadb(connection) else 1))
        yield


def _settings(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    isolation = "@@tx_isolation" if is_mariadb(connection) else "@@transaction_isolation"
    with connection.cursor() as cursor:
        cursor.execute(SETTINGS.format(isolation=isolation), [table_parts()[-1]])
        names = ("user", "isolation", "flush", "binlog", "engine")
        return dict(zip(names, cursor.fetchone(), strict=True))


def _privileges(cursor: Any, alias: str, user: str) -> Iterator[CheckMessage]:
    table = quoted_table("`")
    if lacking := ", ".join(
        privilege for privilege, explain in NEEDED.items() if _refusal(cursor, explain, DENIED)
    ):
        yield Error(
            f"User {user} of database {alias!r} may not {lacking} on {table}: numbers can't be "
            f"taken, or counters can't be deleted.",
            hint=f"GRANT {lacking} ON {table} TO {user}",
        )
    if _refusal(cursor, function.MAY_EXECUTE, frozenset({function.EXECUTE_DENIED})):
        yield Warning(
            f"User {user} of database {alias!r} may not execute {FUNCTION}: numbers are taken by "
            f"separate statements.",
            hint=f"GRANT EXECUTE ON FUNCTION {FUNCTION} TO {user}",
        )


def _refusal(cursor: Any, statement: str, codes: frozenset[int]) -> str:
    """Return the server's message if the statement fails with one of the codes, else ""."""
    try:
        cursor.execute(sql(statement))
    except DatabaseError as error:
        return str(error.args[1]) if error.args[0] in codes else ""
    cursor.fetchall()
    return ""
