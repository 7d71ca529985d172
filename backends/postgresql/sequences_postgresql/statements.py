"""The SQL statements. ``{table}`` stands for the table of counters."""

from __future__ import annotations

from sequences_core.arguments import MAX_VALUE

# ON CONFLICT waits for another transaction's uncommitted row, then updates the committed one, so
# that there is no race between the search for a counter and its creation. It takes a third of the
# ORM's time (200 µs instead of 690 µs). If the WHERE clause is false, the row is locked but not
# changed, and nothing is returned: an exhausted sequence doesn't abort the transaction.
UPSERT = """
    INSERT INTO {table} AS counter (name, last)
         VALUES (%s, %s)
    ON CONFLICT (name)
  DO UPDATE SET last = counter.last + %s
          WHERE counter.last <= %s
      RETURNING last
"""

# The same for one number: each parameter takes about a microsecond in psycopg.
UPSERT_ONE = UPSERT.replace("last + %s", "last + 1").replace("<= %s", f"< {MAX_VALUE}")

LOOPING_UPSERT = """
    INSERT INTO {table} AS counter (name, last)
         VALUES (%s, %s)
    ON CONFLICT (name)
  DO UPDATE SET last = CASE WHEN counter.last < %s THEN counter.last + 1 ELSE %s END
      RETURNING last
"""

UPDATE = """
         UPDATE {table}
            SET last = last + %s
          WHERE name = %s
            AND last <= %s
      RETURNING last
"""

# PostgreSQL reads lock_timeout when it begins to wait for a lock. So the statement can set it
# before it locks, and restore it at the end, in one round trip. The setting doesn't affect the rest
# of the transaction or the next user of a pooled session; after an error, the rollback restores it.
# Only a nested loop can join ON true: it reads the row of "outside", then that of "taken", and then
# returns the joined row, also if "taken" has none. The set_config() in that row restores the
# setting.
LIMITED_STATEMENT = """
    WITH outside AS MATERIALIZED (
        SELECT current_setting('lock_timeout') AS lock_timeout,
               set_config('lock_timeout', %s, true)
    ), taken AS ({statement})
    SELECT taken.last, set_config('lock_timeout', outside.lock_timeout, true)
      FROM outside LEFT JOIN taken ON true
"""


def limited(statement: str) -> str:
    """Return the statement with an additional first parameter that limits its wait."""
    statement = statement.replace("VALUES (%s, %s)", "SELECT %s, %s::bigint FROM outside")
    statement = statement.replace("AND last <=", "AND (SELECT true FROM outside) AND last <=")
    return LIMITED_STATEMENT.replace("{statement}", statement.strip())


LIMITED = {
    statement: limited(statement) for statement in (UPSERT, UPSERT_ONE, LOOPING_UPSERT, UPDATE)
}

# This lets the transaction's COMMIT return before it is durable, unless the application has changed
# the session's configured level. The value is 'off' if this changed the setting, else NULL. A
# rollback to a savepoint restores the setting.
RELEASE = """
    CASE current_setting('synchronous_commit')
    WHEN %s THEN set_config('synchronous_commit', 'off', true)
    END"""


def early(statement: str) -> str:
    """Return the statement with RELEASE as a second column, and its level as the last parameter."""
    statement = statement.replace("RETURNING last", f"RETURNING last, {RELEASE} AS released")
    return statement.replace("SELECT taken.last,", "SELECT taken.last, taken.released,")


EARLY = {statement: early(statement) for statement in (*LIMITED, *LIMITED.values())}

# The same in an expression that calls the function. A CASE is evaluated in its order
# (https://www.postgresql.org/docs/15/sql-expressions.html#SYNTAX-EXPRESS-EVAL).
RELEASING = f"CASE WHEN {RELEASE} IS DISTINCT FROM '' THEN {{call}} END"

# What identifies a run of the server: when it was started, and where its last recovery ended. After
# a crash of one of its processes, the server recovers without a start; its log has grown since the
# recovery before. A crash may be followed by a clean start, which recovers nothing.
RUN = """
    concat(extract(epoch FROM pg_postmaster_start_time()), ' ', pg_last_wal_replay_lsn())"""

# The configured level; whether the user may execute the function; and the server's run, if there is
# a pool between client and server, because the pool tells the client another process ID. This reads
# pg_settings instead of current_setting(), because the transaction may have set another level. It
# identifies the function by its fixed oid, because PostgreSQL 17 added a parameter to it.
DURABILITY = f"""
    SELECT reset_val, has_function_privilege(3577::oid, 'EXECUTE'),
           CASE WHEN pg_backend_pid() <> %s THEN {RUN} END
      FROM pg_catalog.pg_settings
     WHERE name = 'synchronous_commit'
"""

# In autocommit, a transactional message is a transaction. Its commit record follows those of all
# earlier commits, so when it is durable, they are durable, too, also on the standbys that the level
# includes.
WAIT = """
    SELECT set_config('synchronous_commit', %s, true),
           pg_logical_emit_message(true, 'sequences', '')
"""
WAIT_BEHIND_POOL = f"{WAIT}, {RUN}"
MESSAGE = "SELECT pg_logical_emit_message(true, 'sequences', '')"
WAIT_AS_SESSION = f"{MESSAGE} WHERE current_setting('synchronous_commit') <> 'off'"

# One round trip for the INSERT and the wait, with the session's configured level. The statements of
# a simple query are one transaction, unless they contain BEGIN and COMMIT
# (https://www.postgresql.org/docs/15/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT).
TOGETHER = f"BEGIN; SET LOCAL synchronous_commit = off; {{statement}}\n; COMMIT; {WAIT_AS_SESSION}"

# New row versions stay on their page, as heap-only tuples, if the page has room and no indexed
# column changes (https://www.postgresql.org/docs/15/storage-hot.html). So the index doesn't grow.
STORAGE = "ALTER TABLE {table} SET (fillfactor = 50)"
DEFAULT_STORAGE = "ALTER TABLE {table} RESET (fillfactor)"

# Only its partitions have storage parameters. The lock is the one that the statements above take.
IS_PARTITIONED = "SELECT relkind = 'p' FROM pg_catalog.pg_class WHERE oid = %s::regclass"
LOCK_AS_FOR_STORAGE = "LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE"
