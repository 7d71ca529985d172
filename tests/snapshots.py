"""What a test must know about the snapshots of MariaDB and MySQL."""

from __future__ import annotations

from typing import Any


def setting(cursor: Any, name: str) -> str | None:
    """Return the value of a setting of MariaDB or MySQL; None if this release doesn't have it."""
    cursor.execute(f"SHOW VARIABLES LIKE '{name}'")
    row = cursor.fetchone()
    return str(row[1]) if row else None


def finds_what_it_does_not_see(connection: Any) -> bool:
    """Return whether an UPDATE at REPEATABLE READ finds rows that a SELECT doesn't find.

    MySQL's UPDATE finds them; MariaDB raises an error from 11.8 on.
    """
    if connection.vendor != "mysql":
        return False
    with connection.cursor() as cursor:
        return setting(cursor, "innodb_snapshot_isolation") != "ON"
