"""A long read-only transaction, and what it makes the database keep.

While a snapshot is open, no version of a row that it might read can be removed. Each number taken
leaves one version of its counter behind, and on PostgreSQL every taker walks past all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from django.db import DatabaseError, connection

from tests.servers.probe import connect

OPEN = {
    "postgresql": ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"],
    "mysql": ["START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"],
    "sqlite": ["BEGIN"],
}

KEPT = {
    "postgresql": "SELECT n_dead_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables "
    "WHERE relname = %s",
    "mysql": "SELECT count, NULL FROM information_schema.innodb_metrics "
    "WHERE name = 'trx_rseg_history_len' AND %s IS NOT NULL",
}
"""How many old versions are kept, and the bytes of the table with its index. InnoDB counts
transactions whose old versions it keeps, of all tables, and keeps them elsewhere."""


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


def kept(table: str) -> dict[str, int | None]:
    """How much the database keeps: old versions, and bytes."""
    if connection.vendor == "sqlite":
        # A snapshot keeps the log from being started anew.
        name = str(connection.settings_dict["NAME"])
        files = [Path(name), Path(f"{name}-wal")]
        return {"versions": None, "bytes": sum(file.stat().st_size for file in files)}
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with suppress(DatabaseError):  # new in version 15; older ones tell a second later
                cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(KEPT[connection.vendor], [table])
        versions, size = cursor.fetchone()
    return {"versions": versions, "bytes": size}
