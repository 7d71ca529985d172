"""Waiting for the disk after the lock is released: a sync of the write-ahead log.

With ``journal_mode = WAL`` and ``synchronous = NORMAL`` a commit appends its pages to the log and
releases the lock; SQLite syncs the log before it copies from it to the database, the database
after that, and the log's new header before it writes over what was copied
(https://www.sqlite.org/pragma.html#pragma_synchronous, https://www.sqlite.org/wal.html). So what
was committed is either in the log, and durable as soon as that is synced, or durable already. After
a crash SQLite reads the log up to the first frame whose checksum, which goes on from frame to
frame, is wrong (https://www.sqlite.org/fileformat2.html#walformat): a prefix of the commits is
left, and numbers have no gap.
"""

from __future__ import annotations

import os

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

NORMAL = 1
"""What PRAGMA synchronous says of a connection that syncs at checkpoints only."""

# The file's size is all of its metadata that a reader needs, and fdatasync() writes that.
_sync = getattr(os, "fdatasync", os.fsync)


def unsynced_log(connection: BaseDatabaseWrapper) -> str | None:
    """Return the path of the log if this connection's commits are in it and not synced."""
    with connection.cursor() as cursor:
        level = cursor.execute("PRAGMA synchronous").fetchone()[0]
        mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
        databases = cursor.execute("PRAGMA database_list").fetchall()
    path = {name: file for _, name, file in databases}["main"]
    return f"{path}-wal" if path and (mode, level) == ("wal", NORMAL) else None


def sync(log: str) -> None:
    """Sync the log. Closing the file drops no lock: SQLite locks others, never the log.

    Raises OperationalError.
    """
    try:
        file = os.open(log, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return  # the last connection was closed, which has synced the database
    except OSError as error:
        raise OperationalError(f"can't open {log!r} to sync it: {error}") from error
    try:
        _sync(file)
    except OSError as error:
        raise OperationalError(f"can't sync {log!r}: {error}") from error
    finally:
        os.close(file)
