"""Facts and problems of a SQLite database, for ``sequences doctor``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.checks import CheckMessage, Error, Warning
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.diagnosis import read_only, server
from sequences_core.table import table_parts

# https://www.sqlite.org/pragma.html#pragma_synchronous
SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")

# https://www.sqlite.org/pragma.html#pragma_journal_mode
UNDONE_BY_JOURNAL = {
    "off": "a rollback undoes nothing",
    "memory": "if the process ends within a transaction, the file is corrupt",
}

# https://www.sqlite.org/uri.html#recognized_query_parameters
READ_ONLY = frozenset({"mode=ro", "immutable=1"})

TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s"
DELETES = r"(?i)\bDELETE\s+ON\b"
# A statement in a trigger can't name a schema.
WRITES = r"""(?i)\b(?:UPDATE(?:\s+OR\s+\w+)?|INTO|DELETE\s+FROM)\s+["'`[]?{table}\b"""


def describe(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return the settings that affect durability and conflicts."""
    mode = connection.settings_dict.get("OPTIONS", {}).get("transaction_mode") or "DEFERRED"
    with connection.cursor() as cursor:
        journal, synchronous = (_pragma(cursor, each) for each in ("journal_mode", "synchronous"))
    return {
        "server": server(connection),
        "file": path(connection) or "in memory",
        "isolation level": "serializable",
        "transaction mode": str(mode).upper(),
        "durability": f"journal_mode {journal}, synchronous {SYNCHRONOUS[synchronous]}",
    }


def diagnose(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    """See :meth:`sequences_core.Allocator.diagnose`."""
    alias, table = connection.alias, table_parts()[-1]
    if file := path(connection):
        # SQLite writes its journal in the database's directory.
        for place in (Path(file), Path(file).parent):
            if not os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
                yield Error(
                    f"The user of this process may not write to {str(place)!r} of database "
                    f"{alias!r}: numbers can't be taken.",
                    hint=f"As its owner: chmod u+w {place}",
                )
    if mode := _read_only_mode(connection):
        yield read_only(connection, f"its NAME contains {mode}")
    with connection.cursor() as cursor:
        journal = _pragma(cursor, "journal_mode")
        if journal == "off" or (journal == "memory" and file):
            yield Error(
                f"Database {alias!r} has journal_mode {journal}: {UNDONE_BY_JOURNAL[journal]}, so "
                f"that numbers are lost or given twice.",
                hint='Set "init_command": "PRAGMA journal_mode = WAL" in the OPTIONS of this '
                "database.",
            )
        if _pragma(cursor, "query_only"):
            yield Error(
                f"Database {alias!r} is set to query_only: numbers can't be taken.",
                hint='Remove "PRAGMA query_only" from the init_command of this database.',
            )
        writes = WRITES.replace("{table}", re.escape(table))
        cursor.execute(TRIGGERS, [table])
        for trigger, sql in cursor.fetchall():
            what = "runs for each number, while the database is locked"
            changes = re.search(writes, sql)
            if not changes and re.search(DELETES, sql):
                continue  # Taking a number deletes no row.
            if changes:
                what = "seems to change the counters, so that numbers are repeated or missing"
            yield (Error if changes else Warning)(
                f"Trigger {trigger!r} on table {table!r} of database {alias!r} {what}.",
                hint=f'If it is not needed: DROP TRIGGER "{trigger}"',
            )


def path(connection: BaseDatabaseWrapper) -> str:
    """Return the path of the database's file, or "" if it is in memory."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA database_list")
        return str(next(file for _, name, file in cursor.fetchall() if name == "main"))


def _read_only_mode(connection: BaseDatabaseWrapper) -> str:
    """Return the parameter of the database's URI that makes it read-only, or ""."""
    uri = urlsplit(str(connection.settings_dict["NAME"]))
    return next(filter(READ_ONLY.__contains__, uri.query.split("&")), "")


def _pragma(cursor: Any, name: str) -> Any:
    cursor.execute(f"PRAGMA {name}")
    return cursor.fetchone()[0]
