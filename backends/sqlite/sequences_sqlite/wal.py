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
import sqlite3

from django.db import OperationalError

NORMAL = 1
"""What PRAGMA synchronous says of a connection that syncs at checkpoints only."""

# The file's size is all of its metadata that a reader needs, and fdatasync() writes that.
_sync = getattr(os, "fdatasync", os.fsync)


def unsynced_log(connection: sqlite3.Connection) -> str | None:
    """Return the path of the log if this connection's commits are in it and not synced.

    Asked for each wait, which takes some microseconds: the level is the connection's, any process
    may change the mode, and an alias may stand for another file later.
    """
    (level,) = connection.execute("PRAGMA synchronous").fetchone()
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if (mode, level) != ("wal", NORMAL):
        return None
    databases = connection.execute("PRAGMA database_list").fetchall()
    return next(f"{path}-wal" for _, name, path in databases if name == "main")


def sync(log: str) -> None:
    """Sync the log. Closing the file drops no lock: SQLite locks others, never the log.

    The log is there as long as a connection is that writes to it, unless somebody has moved the
    database away. Raises OperationalError.
    """
    try:
        file = os.open(log, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise OperationalError(f"can't open {log!r} to sync it: {error}") from error
    try:
        _sync(file)
    except OSError as error:
        raise OperationalError(f"can't sync {log!r}: {error}") from error
    finally:
        os.close(file)
