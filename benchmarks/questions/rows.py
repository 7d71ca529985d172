"""Rows that exist before a measurement, and transactions around the timed calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import Model

SETTLE = {
    "postgresql": ("VACUUM ANALYZE {}", "CHECKPOINT"),
    "mysql": ("ANALYZE TABLE {}",),
    "sqlite": ("ANALYZE", "PRAGMA wal_checkpoint(FULL)"),
}
"""The statements that finish the server's background work on new rows."""


def store(model: type[Model], fields: str, rows: Any) -> None:
    """Insert rows, which are tuples of values for these fields, and settle them."""
    names = [connection.ops.quote_name(name) for name in fields.split()]
    places = ", ".join(["%s"] * len(names))
    table = model._meta.db_table
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", [*rows])
    settle(table)


def settle(table: str) -> None:
    """Finish the server's work on the table, so that it doesn't disturb the measurement."""
    with connection.cursor() as cursor, suppress(DatabaseError):  # CHECKPOINT may be forbidden
        for statement in SETTLE.get(connection.vendor, ()):
            cursor.execute(statement.format(table))
            if cursor.description:
                cursor.fetchall()


CALLS = 20
"""The calls per transaction: PostgreSQL reads all row versions that its own transaction made."""


@contextmanager
def transactions(alias: str = "default") -> Iterator[Callable[[], None]]:
    """Yield a function, to be called before each call, that opens a transaction every few calls."""
    done = count()
    with ExitStack() as stack:

        def renew() -> None:
            if next(done) % CALLS == 0:
                stack.close()
                stack.enter_context(transaction.atomic(using=alias))

        yield renew
