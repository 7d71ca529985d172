"""Find the sessions that hold a counter, and those that wait for it.

PostgreSQL stores in a row the id of the transaction that updated it, and each transaction holds a
lock on its own id, so that the holder is known even if nobody waits
(https://www.postgresql.org/docs/15/view-pg-locks.html). An UPDATE that waits for a row holds, or
waits for, a lock on the row version that the holder has replaced. An upsert waits for the
transaction id. Every user can read this, but only members of pg_read_all_stats can read the
statements of other users.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import FUNCTION
from sequences_core.diagnosis import Holder
from sequences_core.table import quoted_table, table_parts, with_table

# "users" are sessions that have written to the table: a row's xmax may be a MultiXact id, which
# could equal another transaction's id by chance. "tuples" and "queue" are the waiting sessions: the
# first with the row version, the second with the transaction id and the statement. The counter that
# an upsert waits for is known from its statement, unless the driver sends parameters separately. A
# row that is being created is invisible. In both cases the counter is NULL.
HOLDERS = """
    WITH locks AS MATERIALIZED (
        SELECT * FROM pg_catalog.pg_locks
         WHERE pid <> pg_backend_pid()
    ), tuples AS (
        SELECT pid, format('(%%s,%%s)', page, tuple)::tid AS version
          FROM locks
         WHERE locktype = 'tuple' AND relation = %(table)s::regclass
    ), queue AS (
        SELECT session.pid, locks.transactionid, session.query
          FROM locks
          JOIN pg_catalog.pg_stat_activity AS session ON session.pid = locks.pid
         WHERE locks.locktype = 'transactionid' AND NOT locks.granted
           AND (strpos(session.query, %(bare)s) > 0 OR strpos(session.query, %(function)s) > 0)
           AND session.pid NOT IN (SELECT pid FROM locks WHERE locktype = 'tuple')
    ), users AS (
        SELECT own.pid, own.transactionid
          FROM locks AS own
         WHERE own.locktype = 'transactionid' AND own.granted
           AND EXISTS (
               SELECT FROM locks
                WHERE locktype = 'relation' AND relation = %(table)s::regclass AND granted
                  AND mode IN ('RowExclusiveLock', 'RowShareLock') AND pid = own.pid)
    ), counters AS (
        SELECT counter.name, counter.ctid AS version, users.*
          FROM {table} AS counter
          JOIN users ON users.transactionid = counter.xmax
    ), found AS (
        SELECT counters.name, counters.pid, tuples.pid AS waiting
          FROM counters
          LEFT JOIN tuples ON tuples.version = counters.version
         UNION ALL
        SELECT counters.name, users.pid, queue.pid
          FROM queue
          JOIN users USING (transactionid)
          LEFT JOIN counters
            ON counters.transactionid = queue.transactionid
           AND strpos(queue.query, quote_literal(counters.name)) > 0
    )
    SELECT found.name, found.pid,
           array_remove(array_agg(DISTINCT found.waiting), NULL),
           extract(epoch FROM clock_timestamp() - session.xact_start)::float,
           concat_ws(', ',
               'user ' || session.usename,
               'application ' || nullif(session.application_name, ''),
               'from ' || host(session.client_addr),
               session.state)
      FROM found
      LEFT JOIN pg_catalog.pg_stat_activity AS session ON session.pid = found.pid
     WHERE found.name = %(name)s OR found.name IS NULL OR %(name)s::text IS NULL
     GROUP BY found.name, found.pid, session.usename, session.application_name,
           session.client_addr, session.state, session.xact_start
     ORDER BY found.name NULLS LAST, found.pid
"""


def holders(connection: BaseDatabaseWrapper, name: str | None) -> Sequence[Holder]:
    """See :meth:`sequences_core.Allocator.holders`."""
    params = {
        "table": quoted_table(),
        "bare": table_parts()[-1],
        "function": FUNCTION,
        "name": name,
    }
    with connection.cursor() as cursor:
        cursor.execute(with_table(HOLDERS), params)
        rows = cursor.fetchall()
    return [
        Holder(
            counter, pid, tuple(waiting), seconds, activity, f"SELECT pg_terminate_backend({pid})"
        )
        for counter, pid, waiting, seconds, activity in rows
    ]
