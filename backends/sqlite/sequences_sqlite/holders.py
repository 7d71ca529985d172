"""Which process holds the database's write lock.

Opening the file to ask would drop this process's own locks on it when it is closed again
(https://www.sqlite.org/howtocorrupt.html, 2.2), and trying to lock it would keep others out. Linux
lists the locks of all files in /proc/locks; elsewhere nobody is named.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.diagnosis import Holder

from .diagnosis import path

LOCKS = Path("/proc/locks")

# Of the write lock: WAL_WRITE_LOCK in the shared-memory file
# (https://www.sqlite.org/walformat.html#wal_locks), else RESERVED_BYTE, the one after PENDING_BYTE,
# in the database itself (https://www.sqlite.org/fileformat2.html, 1.3.1 for where that is).
WAL_BYTE = 120
RESERVED_BYTE = 0x40000001


def holders(connection: BaseDatabaseWrapper) -> Iterator[Holder]:
    """Yield the process with a lock on the database that keeps others from writing."""
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
    """Yield the processes with a write lock on this byte of the file."""
    try:
        inode = os.stat(file).st_ino
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        # 1: POSIX  ADVISORY  WRITE 3568 fd:00:2531452 120 120
        _, kind, _, access, process, place, first, last, *_ = line.replace(" -> ", " ").split()
        # Without the device, whose number is another one in stat() on some file systems.
        if (kind, access, place.rpartition(":")[2]) == ("POSIX", "WRITE", str(inode)):
            end = float("inf") if last == "EOF" else int(last)
            if int(first) <= byte <= end:
                yield int(process)
