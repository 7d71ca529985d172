"""Wait for the disk after the lock is released, by a sync of the write-ahead log.

With ``journal_mode = WAL`` and ``synchronous = NORMAL``, a commit appends its pages to the log and
releases the lock. SQLite syncs the log before it copies pages to the database, then syncs the
database, and syncs the log's new header before it overwrites copied pages
(https://www.sqlite.org/pragma.html#pragma_synchronous, https://www.sqlite.org/wal.html). So a
commit is either in the log, and durable once the log is synced, or durable already. The checksum of
each frame of the log includes the earlier frames. After a crash, SQLite reads the log up to the
first frame with a wrong checksum (https://www.sqlite.org/fileformat2.html#walformat), so that the
remaining commits are a prefix of all, and the numbers have no gap.
"""

from __future__ import annotations

import os
import sqlite3

from django.db import OperationalError

NORMAL = 1
"""The value of PRAGMA synchronous if the connection syncs only at checkpoints."""

# Of the file's metadata, readers need only its size, which fdatasync() writes, too.
_sync = getattr(os, "fdatasync", os.fsync)


def unsynced_log(connection: sqlite3.Connection) -> str | None:
    """Return the path of the log if this connection writes to it without syncing, else None.

    Each wait calls this, which takes some microseconds: each connection has its own level, any
    process may change the mode, and an alias may refer to another file later.
    """
    (level,) = connection.execute("PRAGMA synchronous").fetchone()
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if (mode, level) != ("wal", NORMAL):
        return None
    databases = connection.execute("PRAGMA database_list").fetchall()
    return next(f"{path}-wal" for _, name, path in databases if name == "main")


def sync(log: str) -> None:
    """Sync the log. Closing the file releases no lock, because SQLite never locks the log.

    The log exists while a connection writes to it, unless somebody has moved the database.

    :raises OperationalError: the file can't be opened or synced.
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
