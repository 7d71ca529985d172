"""A disk whose syncs are slow, or blocked, as long as a test needs it."""

from __future__ import annotations

import ctypes
import mmap
import struct
import subprocess
from functools import cached_property
from pathlib import Path

from tests.servers.install import install
from tests.servers.postgresql import PostgreSQL

SOURCE = Path(__file__).with_name("slow_sync.c")
LOST = struct.Struct("=qq240s")
"""The header of a record, before the overwritten bytes: their offset, their size, the file."""


class Control(ctypes.Structure):
    """The control file: the delay in microseconds, or -1; and whether to record unsynced writes."""

    _fields_ = (("delay", ctypes.c_int64), ("noting", ctypes.c_int64))


class SlowDisk:
    """Control of the syncs of all processes that run with :attr:`environment`.

    ``folder`` contains its files, which are created if missing: an object with the same folder in
    another process controls the same disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        library, control = folder / "slow_sync.so", folder / "slow_sync"
        self._lost = folder / "slow_sync.lost"
        if not control.exists():
            folder.mkdir()
            options = ["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-ldl"]
            subprocess.run([install("gcc"), SOURCE, "-o", library, *options], check=True)
            control.write_bytes(bytes(Control()))
            self._lost.touch()
            for path in (folder, *folder.iterdir()):
                path.chmod(0o777)  # the server has another user
        self.environment = {"LD_PRELOAD": str(library), "SLOW_SYNC": str(control)}
        with control.open("r+b") as file:
            self._control = Control.from_buffer(mmap.mmap(file.fileno(), 0))

    def delay(self, milliseconds: float) -> None:
        """Delay each sync by so many milliseconds, and continue those that are held."""
        self._control.delay = round(milliseconds * 1000)

    def hold(self) -> None:
        """Block syncs that begin from now on, until :meth:`delay` is called."""
        self._control.delay = -1

    def note_what_is_not_synced(self) -> None:
        """Record unsynced writes to PostgreSQL's log from now on, for :meth:`lose_power`."""
        self._control.noting = 1

    def lose_power(self) -> None:
        """Undo the writes that weren't synced.

        The server must be killed before. Killing alone loses nothing that a server has written.
        """
        undone = []
        with self._lost.open("rb") as notes:
            while header := notes.read(LOST.size):
                offset, size, path = LOST.unpack(header)
                undone.append((path.rstrip(b"\0"), offset, notes.read(size)))
        for path, offset, old in reversed(undone):
            with open(path, "r+b") as segment:
                segment.seek(offset)
                segment.write(old)
        self._lost.write_bytes(b"")


class SlowPostgreSQL(PostgreSQL):
    """PostgreSQL with crash safety, on a slow disk."""

    def __init__(self) -> None:
        super().__init__(durable=True)

    @cached_property
    def disk(self) -> SlowDisk:
        """Its disk. The server can't start or stop while syncs are held."""
        return SlowDisk(self.directory / "disk")

    def environment(self) -> dict[str, str]:
        """Return the variables that load the library with the delays."""
        return self.disk.environment
