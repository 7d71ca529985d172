"""Columns of text whose collation compares some different texts as equal."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

TEXT_FIELDS = (models.CharField, models.TextField)

ALIKE = (("a", "A"), ("a", "á"), ("a", "a "), ("a", "a\u00ad"), ("á", "a\u0301"))
"""Texts that differ in case, accents, spaces at the end, characters that aren't shown (a soft
hyphen), and in the way in which an accent is written."""

BYTES = (
    "Set a db_collation that compares bytes, such as utf8mb4_0900_bin on MySQL, "
    "utf8mb4_nopad_bin on MariaDB, C on PostgreSQL."
)
"""The remedy."""


def merges_texts(column: Any, connection: BaseDatabaseWrapper) -> bool:
    """Return whether a column of text compares some different texts as equal."""
    if not isinstance(column, TEXT_FIELDS):
        return False
    collation = column.db_parameters(connection).get("collation")
    if collation is None and connection.vendor != "mysql":
        return False
    with connection.cursor() as cursor:
        if collation is None:
            cursor.execute("SELECT @@collation_database")
            (collation,) = cursor.fetchone()
        cursor.execute(f"SELECT CASE WHEN {_merges(collation, connection)} THEN 1 ELSE 0 END")
        return bool(cursor.fetchone()[0])


def _merges(collation: str, connection: BaseDatabaseWrapper) -> str:
    """Return SQL that is true if the collation merges texts."""
    if connection.vendor == "postgresql":  # whose encoding may not have all of these characters
        name = connection.ops.quote_name(collation).replace("'", "''")
        return (
            f"(SELECT NOT collisdeterministic FROM pg_collation WHERE oid = '{name}'::regcollation)"
        )
    literal = "'{}'".format
    if connection.vendor == "mysql" and not collation.startswith("uca1400_"):
        # A collation belongs to a character set, which may not be that of the connection.
        literal = f"CONVERT('{{}}' USING {collation.partition('_')[0]})".format
    name = connection.ops.quote_name(collation)
    return " OR ".join(f"{literal(a)} COLLATE {name} = {literal(b)}" for a, b in ALIKE)
