"""Rows that are there before anything is timed, and transactions around what is."""

from __future__ import annotations

from contextlib import ExitStack, suppress

from django.db import DatabaseError, connection, transaction

SETTLE = {
    "postgresql": ("VACUUM ANALYZE {}", "CHECKPOINT"),
    "mysql": ("ANALYZE TABLE {}",),
    "sqlite": ("ANALYZE", "PRAGMA wal_checkpoint(FULL)"),
}
"""What ends the server's work on rows that were filled in."""


def integers(count: int) -> str:
    """A subquery of the integers from 0 to below ``count``, a power of ten, in the column i."""
    source = connection.features.bare_select_suffix
    digits = " UNION ALL ".join(f"SELECT {digit} AS d{source}" for digit in range(10))
    places = range(len(str(count)) - 1)
    total = " + ".join(f"{10**place} * d{place}.d" for place in places)
    return f"(SELECT {total} AS i FROM {', '.join(f'({digits}) d{place}' for place in places)})"


def concatenated(*parts: str) -> str:
    """The expression that joins texts and integers to a text."""
    if connection.vendor == "mysql":
        return f"CONCAT({', '.join(parts)})"
    return " || ".join(parts)


def settle(table: str) -> None:
    """Let the server finish its work on the table, so that it doesn't disturb what comes next."""
    with connection.cursor() as cursor, suppress(DatabaseError):  # CHECKPOINT may be forbidden
        for statement in SETTLE.get(connection.vendor, ()):
            cursor.execute(statement.format(table))
            if cursor.description:
                cursor.fetchall()


CALLS = 20
"""In a transaction: PostgreSQL reads all versions of a row that its own transaction made."""


class Transactions:
    """Keeps a transaction open, a fresh one for every few calls; a context manager."""

    def __init__(self, alias: str = "default") -> None:
        self.alias = alias
        self.done = 0
        self.open = ExitStack()

    def renew(self) -> None:
        """To be called before each call."""
        if self.done % CALLS == 0:
            self.open.close()
            self.open.enter_context(transaction.atomic(using=self.alias))
        self.done += 1

    def __enter__(self) -> Transactions:
        return self

    def __exit__(self, *exception: object) -> None:
        self.open.close()
