"""Savepoints with and without autocommit (``set_autocommit()``, ``AUTOCOMMIT`` of a database)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

NOTHING: AbstractContextManager[Any] = nullcontext()


def is_manual(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the caller ends transactions with ``commit()`` and ``rollback()``."""
    return not connection.in_atomic_block and not connection.get_autocommit()


def savepoint(using: str) -> AbstractContextManager[Any]:
    """Return ``atomic()``, which doesn't commit a transaction that the caller has to end."""
    connection = connections[using]
    # With autocommit turned off, SQLite's driver begins a transaction when the first row is
    # changed. An earlier savepoint would be the transaction, and its release would commit:
    # https://www.sqlite.org/lang_savepoint.html
    if connection.vendor == "sqlite" and is_manual(connection):
        with connection.cursor() as cursor:
            if not connection.connection.in_transaction:
                cursor.execute("BEGIN")
    return transaction.atomic(using=using)


def savepoint_if_manual(using: str) -> AbstractContextManager[Any]:
    """Return a savepoint if autocommit is turned off, and otherwise nothing.

    Inside ``atomic()``, an error marks the transaction for rollback, and in autocommit mode, there
    is nothing to undo. Here, the caller may catch the error and commit.
    """
    return savepoint(using) if is_manual(connections[using]) else NOTHING
