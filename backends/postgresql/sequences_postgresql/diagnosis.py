"""Facts and problems of a PostgreSQL database, for ``sequences doctor``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.checks import CheckMessage, Error, Info, Warning
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import FUNCTION
from sequences_core.diagnosis import read_only
from sequences_core.table import quoted_table, table_parts

OLD = 1000
"""The age of a snapshot, in transactions, from which it slows down calls.

While a snapshot is open, a call takes twice as long after 10 000 to 40 000 numbers of one counter
(docs/backends/postgresql.rst).
"""

HOT = 0.5, 10_000
"""The least part of updates that should be HOT, and the least number of updates to judge by."""

# fillfactor is 100 by default. A partitioned table has none, and that of its partitions isn't
# examined. The statistics refer to the table by its oid.
TABLE = """
    SELECT current_user, current_setting('transaction_isolation'),
           current_setting('fsync'), current_setting('synchronous_commit'),
           counters.relpersistence = 'u',
           CASE WHEN counters.relkind <> 'p' THEN COALESCE((
               SELECT option_value FROM pg_catalog.pg_options_to_table(counters.reloptions)
                WHERE option_name = 'fillfactor'), '100')
           END,
           COALESCE(statistics.n_tup_upd, 0), COALESCE(statistics.n_tup_hot_upd, 0),
           pg_backend_pid()
      FROM pg_catalog.pg_class AS counters
      LEFT JOIN pg_catalog.pg_stat_all_tables AS statistics ON statistics.relid = counters.oid
     WHERE counters.oid = %s::regclass
"""

# This reads the session's default, because without_waiting() makes the transaction read-only
# (https://www.postgresql.org/docs/15/runtime-config-client.html).
READ_ONLY = """
    SELECT CASE WHEN pg_is_in_recovery() THEN 'the server is a standby'
                WHEN current_setting('default_transaction_read_only') = 'on'
                THEN 'default_transaction_read_only is on' END
"""

LACKING = """
    SELECT privilege
      FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted (privilege)
     WHERE NOT has_table_privilege(%s, privilege)
"""

# The function that its unqualified name refers to, if the user may not execute it.
LOCKED_FUNCTION = f"""
    SELECT oid::regprocedure::text
      FROM pg_catalog.pg_proc
     WHERE oid = to_regprocedure('{FUNCTION}(text, bigint, bigint)')
       AND NOT has_function_privilege(oid, 'EXECUTE')
"""

# Whether a trigger seems to change numbers: a BEFORE trigger (2 in tgtype) of INSERT (4) or UPDATE
# (16) can assign to the new row or return the old one, and any trigger can write to the table. "="
# assigns at the beginning of a statement, and compares elsewhere.
COMMENTS = r"--[^\n]*|/\*([^*]|\*+[^*/])*\*+/"
NEW = r'\mnew(\s*\.\s*"?(last|name)"?)?\s*'
INTO_NEW = r"\minto\s+(strict\s+)?([^\s,]+\s*,\s*)*new\M"
ASSIGNS = rf"{NEW}:=|(^|;|>>|\m(begin|then|else|loop)\M)\s*{NEW}=|{INTO_NEW}"
RETURNS_OLD = "code ~* 'return\\s+old' AND code !~* 'return\\s+new'"
WRITES = r'\m(update|into|delete\s+from)\s+(only\s+)?([\w"]+\s*\.\s*)?"?{table}\M'
TRIGGERS = f"""
    SELECT tgname, changes
      FROM pg_catalog.pg_trigger
      JOIN pg_catalog.pg_proc ON pg_proc.oid = tgfoid
     CROSS JOIN LATERAL (SELECT regexp_replace(prosrc, '{COMMENTS}', ' ', 'g') AS code) AS a
     CROSS JOIN LATERAL (SELECT tgtype & 20 <> 0 AS takes) AS b
     CROSS JOIN LATERAL (
         SELECT takes AND tgtype & 2 <> 0 AND (code ~* '{ASSIGNS}' OR {RETURNS_OLD})
                OR code ~* %s AS changes) AS c
     WHERE tgrelid = %s::regclass AND NOT tgisinternal AND tgenabled <> 'D' AND (takes OR changes)
     ORDER BY 1
"""

# What prevents VACUUM from removing old row versions, its age in transactions, and the statement
# that ends it (https://www.postgresql.org/docs/15/routine-vacuuming.html#VACUUM-FOR-SPACE-RECOVERY).
SNAPSHOTS = """
    SELECT concat_ws(' ', backend_type, pid, usename, nullif(application_name, ''), state)
               AS holder,
           greatest(age(backend_xmin), age(backend_xid)) AS transactions,
           format('SELECT pg_terminate_backend(%%s)', pid) AS remedy
      FROM pg_catalog.pg_stat_activity
     WHERE (datname = current_database() OR datname IS NULL) AND pid <> pg_backend_pid()
     UNION ALL
    SELECT 'prepared transaction ' || gid, age(transaction), format('ROLLBACK PREPARED %%L', gid)
      FROM pg_catalog.pg_prepared_xacts
     WHERE database = current_database()
     UNION ALL
    SELECT 'replication slot ' || slot_name, age(xmin),
           format('SELECT pg_drop_replication_slot(%%L)', slot_name)
      FROM pg_catalog.pg_replication_slots
     WHERE xmin IS NOT NULL
"""
# Ordinary users don't see the snapshots and statements of other users' sessions.
HIDDEN = """
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_stat_activity
         WHERE datname = current_database() AND query = '<insufficient privilege>')
"""
OLD_SNAPSHOTS = f"SELECT * FROM ({SNAPSHOTS}) AS old WHERE transactions >= %s ORDER BY 2 DESC"


def describe(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return the settings that affect durability, conflicts and speed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [quoted_table()])
        if cursor.fetchone() != (True,):
            return {}
        found = _table(cursor)
    hot = f", {100 * found['hot'] // found['updates']} % HOT updates" if found["updates"] else ""
    pooler = "yes" if _is_pooled(connection, found["pid"]) else "none seen"
    return {
        "user": found["user"],
        "isolation level": found["isolation"],
        "durability": f"fsync {found['fsync']}, synchronous_commit {found['commit']}",
        "storage": f"fillfactor {found['fillfactor'] or 'of its partitions'}{hot}",
        "pooler": pooler,
    }


def diagnose(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    """See :meth:`sequences_core.Allocator.diagnose`."""
    alias, table = connection.alias, quoted_table()
    with connection.cursor() as cursor:
        found = _table(cursor)
        cursor.execute(READ_ONLY)
        if (reason := cursor.fetchone()[0]) is not None:
            yield read_only(connection, reason)
        yield from _privileges(cursor, alias, found["user"])
        yield from _storage(alias, found)
        writes = WRITES.replace("{table}", re.escape(table_parts()[-1]))
        cursor.execute(TRIGGERS, [writes, table])
        for trigger, changes in cursor.fetchall():
            what = "runs for each number, while the counter is locked"
            if changes:
                what = "seems to change the counters, so that numbers are repeated or missing"
            yield (Error if changes else Warning)(
                f"Trigger {trigger!r} on {table} of database {alias!r} {what}.",
                hint=f'If it is not needed: DROP TRIGGER "{trigger}" ON {table}',
            )
        cursor.execute(HIDDEN)
        if cursor.fetchone() == (True,):
            yield Info(
                f"User {found['user']!r} of database {alias!r} can't see other users' sessions: "
                f"the report doesn't include all that hold counters or slow them down.",
                hint=f'GRANT pg_read_all_stats TO "{found["user"]}"',
            )
        cursor.execute(OLD_SNAPSHOTS, [OLD])
        for holder, transactions, remedy in cursor.fetchall():
            yield Warning(
                f"An old snapshot slows down the counters of database {alias!r}: {holder} prevents "
                f"the removal of row versions since {transactions} transactions.",
                hint=f"If it should not be open: {remedy}",
            )
    if _is_pooled(connection, found["pid"]) and not connection.settings_dict.get(
        "DISABLE_SERVER_SIDE_CURSORS"
    ):
        yield Warning(
            f"Django connects to database {alias!r} through a pooler: in transaction mode, "
            f"iterator() outside a transaction may lose its cursor.",
            hint=f'Set DATABASES["{alias}"]["DISABLE_SERVER_SIDE_CURSORS"] = True, unless the '
            f"pooler is in session mode.",
        )


@contextmanager
def without_waiting(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Open a read-only transaction, or a savepoint, that waits at most 1 ms for a lock.

    ALTER TABLE holds such a lock. The rollback at the end restores the settings if the caller has
    a transaction open.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('lock_timeout', '1ms', true), "
            "set_config('transaction_read_only', 'on', true)"
        )
        yield
        transaction.set_rollback(True, using=connection.alias)


def _table(cursor: Any) -> dict[str, Any]:
    cursor.execute(TABLE, [quoted_table()])
    names = (
        *("user", "isolation", "fsync", "commit", "unlogged", "fillfactor", "updates", "hot"),
        "pid",
    )
    return dict(zip(names, cursor.fetchone(), strict=True))


def _privileges(cursor: Any, alias: str, user: str) -> Iterator[CheckMessage]:
    table = quoted_table()
    cursor.execute(LACKING, [table])
    if lacking := ", ".join(privilege for (privilege,) in cursor.fetchall()):
        yield Error(
            f"User {user!r} of database {alias!r} may not {lacking} on {table}: numbers can't be "
            f"taken, or counters can't be deleted.",
            hint=f'GRANT {lacking} ON {table} TO "{user}"',
        )
    cursor.execute(LOCKED_FUNCTION)
    for (function,) in cursor.fetchall():
        yield Warning(
            f"User {user!r} of database {alias!r} may not execute {function}: numbers are taken "
            f"by separate statements.",
            hint=f'GRANT EXECUTE ON FUNCTION {function} TO "{user}"',
        )


def _storage(alias: str, found: dict[str, Any]) -> Iterator[CheckMessage]:
    table = quoted_table()
    if found["unlogged"]:
        yield Error(
            f"{table} of database {alias!r} is UNLOGGED: a crash of the server empties it, and "
            f"its numbers are given again.",
            hint=f"ALTER TABLE {table} SET LOGGED",
        )
    part, enough = HOT
    if found["updates"] >= enough and found["hot"] < part * found["updates"]:
        yield Warning(
            f"Only {found['hot']} of {found['updates']} updates of {table} in database {alias!r} "
            f"stayed on their page (HOT): its index grows, and taking numbers gets slower.",
            hint=f"Drop indexes of {table} other than that of its primary key, and run manage.py "
            f"sequences install --database={alias}, which lowers its fillfactor.",
        )
    elif int(found["fillfactor"] or 0) > 90:
        yield Warning(
            f"{table} of database {alias!r} has a fillfactor of {found['fillfactor']}: its pages "
            f"have little room for the new versions of counters.",
            hint=f"Run manage.py sequences install --database={alias}",
        )


def _is_pooled(connection: BaseDatabaseWrapper, pid: int) -> bool:
    """Return whether the session's pid differs from the one that the driver connected to."""
    return bool(connection.connection.info.backend_pid != pid)
