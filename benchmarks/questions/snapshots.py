"""A long read-only transaction, and what it makes the database keep.

While a snapshot is open, no version of a row that it might read can be removed. Each number taken
leaves one version of its counter behind, and on PostgreSQL every taker walks past all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from django.db import connection

from tests.servers.probe import connect

OPEN = {
    "postgresql": ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"],
    "mysql": ["START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"],
    "sqlite": ["BEGIN"],
}

SIZE = {
    "postgresql": "SELECT pg_total_relation_size(to_regclass(%s))",
    "mysql": "SELECT count FROM information_schema.innodb_metrics "
    "WHERE name = 'trx_rseg_history_len' AND %s IS NOT NULL",
}
"""How much is kept: PostgreSQL's table with its index, in bytes; InnoDB's history, in versions."""

HOLDERS = {
    # https://www.postgresql.org/docs/15/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND names all
    # that hold back the removal of old versions.
    "postgresql": """
        SELECT 'transaction of process ' || pid AS holder,
               age(backend_xmin) AS transactions_since,
               now() - xact_start AS open_for
          FROM pg_stat_activity
         WHERE backend_xmin IS NOT NULL AND datname = current_database()
           AND pid <> pg_backend_pid()
     UNION ALL
        SELECT 'prepared transaction ' || gid, age(transaction), now() - prepared
          FROM pg_prepared_xacts
     UNION ALL
        SELECT 'replication slot ' || slot_name, age(xmin), NULL
          FROM pg_replication_slots
         WHERE xmin IS NOT NULL
      ORDER BY 2 DESC
    """,
    "mysql": """
        SELECT CONCAT('transaction of connection ', trx_mysql_thread_id) AS holder,
               NULL AS transactions_since,
               TIMEDIFF(NOW(), trx_started) AS open_for
          FROM information_schema.innodb_trx
      ORDER BY trx_started
    """,
}
"""Who keeps old versions, the oldest first: for an administrator, or a health check."""


@contextmanager
def snapshot(url: str, table: str) -> Iterator[None]:
    """Keep a read-only transaction open that has seen the table."""
    with closing(connect(url)) as reader:
        cursor = reader.cursor()
        for statement in OPEN[connection.vendor]:
            cursor.execute(statement)
        cursor.execute(f"SELECT COUNT(*) FROM {table}")
        cursor.fetchall()
        yield


def kept(table: str) -> int | None:
    """How much the database keeps, by SIZE."""
    return ask(SIZE, [table])[0][0] if connection.vendor in SIZE else None


def holders() -> list[str]:
    """Who keeps old versions, by HOLDERS."""
    return [row[0] for row in ask(HOLDERS, None)] if connection.vendor in HOLDERS else []


def ask(queries: dict[str, str], params: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(queries[connection.vendor], params)
        return list(cursor.fetchall())
