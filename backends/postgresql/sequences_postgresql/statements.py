"""The statements; ``{table}`` is the table of counters."""

from __future__ import annotations

from sequences_core.arguments import MAX_VALUE

# ON CONFLICT waits for another transaction's uncommitted row, then goes on from the committed
# one: no gap between "is it there?" and "create it", and a third of the ORM's time (690 µs to
# 200 µs). Where the WHERE is false the row is locked, not changed, and nothing is returned: a full
# counter doesn't abort the transaction.
UPSERT = """
    INSERT INTO {table} AS counter (name, last)
         VALUES (%s, %s)
    ON CONFLICT (name)
  DO UPDATE SET last = counter.last + %s
          WHERE counter.last <= %s
      RETURNING last
"""

# The same for one number: each parameter less is a microsecond less in psycopg.
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

# lock_timeout is read when a lock is waited for, so the statement can set it for itself before it
# locks, and set it back when it has its answer. One round trip, and nothing is left behind for the
# rest of the transaction or the next user of a pooled session; an error undoes it with the
# transaction or the savepoint. A nested loop, which is all that can join ON true, reads the row of
# "outside", then that of "taken", and then makes the row of both, also if "taken" has none: that
# undoes the limit.
LIMITED_STATEMENT = """
    WITH outside AS MATERIALIZED (
        SELECT current_setting('lock_timeout') AS lock_timeout,
               set_config('lock_timeout', %s, true)
    ), taken AS ({statement})
    SELECT taken.last, set_config('lock_timeout', outside.lock_timeout, true)
      FROM outside LEFT JOIN taken ON true
"""


def limited(statement: str) -> str:
    """Return the statement with a bound on its wait as an additional first parameter."""
    statement = statement.replace("VALUES (%s, %s)", "SELECT %s, %s::bigint FROM outside")
    statement = statement.replace("AND last <=", "AND (SELECT true FROM outside) AND last <=")
    return LIMITED_STATEMENT.replace("{statement}", statement.strip())


LIMITED = {
    statement: limited(statement) for statement in (UPSERT, UPSERT_ONE, LOOPING_UPSERT, UPDATE)
}

# The transaction's COMMIT then doesn't wait for the disk, if it would have waited as the session
# was configured to: what somebody has set since is left alone. The value is 'off' if it was changed
# here, else NULL. A savepoint that is rolled back changes it back.
RELEASE = """
    CASE current_setting('synchronous_commit')
    WHEN %s THEN set_config('synchronous_commit', 'off', true)
    END"""


def early(statement: str) -> str:
    """Return the statement with RELEASE as a second column, and its level as the last parameter."""
    statement = statement.replace("RETURNING last", f"RETURNING last, {RELEASE} AS released")
    return statement.replace("SELECT taken.last,", "SELECT taken.last, taken.released,")


EARLY = {statement: early(statement) for statement in (*LIMITED, *LIMITED.values())}

# In an expression, around the call of the function; the planner evaluates a CASE in its order
# (https://www.postgresql.org/docs/15/sql-expressions.html#SYNTAX-EXPRESS-EVAL).
RELEASING = f"CASE WHEN {RELEASE} IS DISTINCT FROM '' THEN {{call}} END"

# The configured level, and whether the user may write the message. pg_settings and not
# current_setting(): a transaction that asks may have set another. By the function's fixed oid, for
# PostgreSQL 17 added a parameter to it.
DURABILITY = """
    SELECT reset_val, has_function_privilege(3577::oid, 'EXECUTE')
      FROM pg_catalog.pg_settings
     WHERE name = 'synchronous_commit'
"""

# A transactional message is a transaction of its own, whose commit record follows those of all that
# were committed before. When it is durable so are they, on the standbys too that the level names.
WAIT = """
    SELECT set_config('synchronous_commit', %s, true),
           pg_logical_emit_message(true, 'sequences', '')
"""
MESSAGE = "SELECT pg_logical_emit_message(true, 'sequences', '')"
WAIT_AS_SESSION = f"{MESSAGE} WHERE current_setting('synchronous_commit') <> 'off'"

# One round trip for what the statement inserts and the wait for it, as the session is configured.
# Several statements of one simple query are one transaction, unless they say otherwise
# (https://www.postgresql.org/docs/15/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT).
TOGETHER = f"BEGIN; SET LOCAL synchronous_commit = off; {{statement}}\n; COMMIT; {WAIT_AS_SESSION}"

# Rows stay on their page, as heap-only tuples, if the page has room and no indexed column
# changes (https://www.postgresql.org/docs/15/storage-hot.html): a counter's index never grows.
STORAGE = "ALTER TABLE {table} SET (fillfactor = 50)"
DEFAULT_STORAGE = "ALTER TABLE {table} RESET (fillfactor)"
