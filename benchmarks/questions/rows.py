"""Rows that exist before a measurement, and transactions around the timed calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count

from django.db import DatabaseError, connection, transaction

SETTLE = {
    "postgresql": ("VACUUM ANALYZE {}", "CHECKPOINT"),
    "mysql": ("ANALYZE TABLE {}",),
    "sqlite": ("ANALYZE", "PRAGMA wal_checkpoint(FULL)"),
}
"""The statements that finish the server's background work on new rows."""


def integers(size: int) -> str:
    """Return a subquery of the integers 0 to ``size`` - 1, a power of ten, in the column i."""
    source = connection.features.bare_select_suffix
    digits = " UNION ALL ".join(f"SELECT {digit} AS d{source}" for digit in range(10))
    places = range(len(str(size)) - 1)
    total = " + ".join(f"{10**place} * d{place}.d" for place in places)
    return f"(SELECT {total} AS i FROM {', '.join(f'({digits}) d{place}' for place in places)})"


def concatenated(*parts: str) -> str:
    """Return the SQL expression that concatenates texts and integers."""
    if connection.vendor == "mysql":
        return f"CONCAT({', '.join(parts)})"
    return " || ".join(parts)


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
