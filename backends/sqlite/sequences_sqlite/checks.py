"""What the allocator's system checks report."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from django.core.checks import CheckMessage, Error, Info, Warning
from django.db.backends.base.base import BaseDatabaseWrapper

# RETURNING requires it (https://www.sqlite.org/lang_returning.html). Django 5.2 and 6.0 also allow
# SQLite 3.31.
MINIMUM_VERSION = (3, 35)


def messages(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    """Yield the problems of a database: an old SQLite, or transactions that begin unlocked."""
    if sqlite3.sqlite_version_info < MINIMUM_VERSION:
        minimum = ".".join(map(str, MINIMUM_VERSION))
        yield Error(
            f"Numbers in database {connection.alias!r} need SQLite {minimum} or newer; "
            f"this Python has {sqlite3.sqlite_version}.",
            hint="Use a Python with a newer SQLite. Or install sequences-orm and set "
            f'SEQUENCES_BACKEND = {{"{connection.alias}": "orm"}}.',
            id="sequences_sqlite.E001",
        )
        return
    options = connection.settings_dict.get("OPTIONS", {})
    if str(options.get("transaction_mode")).upper() not in {"IMMEDIATE", "EXCLUSIVE"}:
        yield Warning(
            f"Database {connection.alias!r} begins transactions without a lock: a transaction "
            f"that reads first and takes a number later fails at once with 'database is "
            f"locked' if another one has written meanwhile.",
            hint='Set "transaction_mode": "IMMEDIATE" in the OPTIONS of this database.',
            id="sequences_sqlite.W001",
        )


def released_late(connection: BaseDatabaseWrapper) -> CheckMessage:
    """Return the message for a database where SEQUENCES_EARLY_RELEASE has no effect."""
    return Info(
        f"SEQUENCES_EARLY_RELEASE has no effect on database {connection.alias!r}, because it isn't "
        f"in WAL mode with synchronous = NORMAL.",
        hint='Set "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL" '
        "in the OPTIONS of this database.",
        id="sequences_sqlite.I001",
    )
