"""Differences between databases that have no backend of their own, or none installed."""

from __future__ import annotations

from typing import Any

from sequences_core.arguments import MAX_NAME_LENGTH


def name_column(connection: Any) -> dict[str, str]:
    """Return the collation or type that compares bytes.

    MySQL's and MariaDB's default collations ignore case and accents, and utf8mb4_bin ignores
    trailing spaces (https://dev.mysql.com/doc/refman/8.4/en/charset-binary-collations.html).
    Oracle's NVARCHAR2 counts UTF-16 code units, and an emoji has two. The rest is from
    documentation, and not tested: SQL Server's BIN2 collations compare code points
    (https://learn.microsoft.com/sql/relational-databases/collations/collation-and-unicode-support).
    TiDB has utf8mb4_0900_bin only since 7.4; utf8mb4_bin is enough, because names don't end in a
    space (https://docs.pingcap.com/tidb/stable/character-set-and-collation).
    """
    if connection.vendor == "mysql":
        if connection.display_name == "TiDB":
            return {"collation": "utf8mb4_bin"}
        return {
            "collation": "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
        }
    return {
        "postgresql": {"collation": "C"},
        "microsoft": {"collation": "Latin1_General_100_BIN2"},
        "oracle": {"type": f"NVARCHAR2({2 * MAX_NAME_LENGTH})"},
    }.get(connection.vendor, {})


def reads_uncommitted(connection: Any) -> bool:
    """Return whether the level is psycopg's for READ UNCOMMITTED, which depends on its version."""
    level = connection.settings_dict.get("OPTIONS", {}).get("isolation_level")
    if not isinstance(level, int):
        return False
    from django.db.backends.postgresql.psycopg_any import IsolationLevel  # imports the driver

    return level == IsolationLevel.READ_UNCOMMITTED


def update_waits(connection: Any) -> bool:
    """Return whether an UPDATE can wait for another transaction's row without a conflict.

    On Firebird 3.0.11, with 4 writers, 62 of 100 updates ended with a conflict at READ COMMITTED,
    and none of those that came after a SELECT … WITH LOCK.
    """
    return bool(connection.vendor != "firebird")


def has_schemas(connection: Any) -> bool:
    """Return whether Django keeps a schema in a table's name. SQLite's schemas are files."""
    quoted = '"a"."b"'
    return bool(
        connection.vendor != "sqlite" and connection.ops.quote_name(quoted).lower() == quoted
    )
