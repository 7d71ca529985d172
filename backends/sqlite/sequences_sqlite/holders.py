"""Find the process that holds the database's write lock.

Opening and closing the file would release this process's own locks on it
(https://www.sqlite.org/howtocorrupt.html, 2.2), and trying to lock it would block other processes.
Linux lists the locks of all files in /proc/locks. On other systems, no holder is reported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.diagnosis import Holder

from .diagnosis import path

LOCKS = Path("/proc/locks")

# The bytes of the write lock: WAL_WRITE_LOCK in the shared-memory file
# (https://www.sqlite.org/walformat.html#wal_locks), or RESERVED_BYTE, which follows PENDING_BYTE,
# in the database file (https://www.sqlite.org/fileformat2.html, 1.3.1 has its position).
WAL_BYTE = 120
RESERVED_BYTE = 0x40000001


def holders(connection: BaseDatabaseWrapper) -> Iterator[Holder]:
    """Yield the process whose lock on the database prevents others from writing."""
    database = path(connection)
    for file, byte in ((f"{database}-shm", WAL_BYTE), (database, RESERVED_BYTE)):
        # The kernel writes the list page by page, and may write a lock twice if others come and go.
        for process in sorted(set(_writers(file, byte))):
            yield Holder(
                counter=None,
                session=process,
                activity=f"a process that writes to {database}",
                remedy=f"kill {process}",
            )


def _writers(file: str, byte: int) -> Iterator[int]:
    """Yield the ids of processes with a write lock on this byte of the file."""
    try:
        inode = os.stat(file).st_ino
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        # For example: 1: POSIX  ADVISORY  WRITE 3568 fd:00:2531452 120 120
        _, kind, _, access, process, place, first, last, *_ = line.replace(" -> ", " ").split()
        # Don't compare the device: on some file systems, stat() returns another number.
        if (kind, access, place.rpartition(":")[2]) == ("POSIX", "WRITE", str(inode)):
            end = float("inf") if last == "EOF" else int(last)
            if int(first) <= byte <= end:
                yield int(process)
