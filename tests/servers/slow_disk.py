"""A disk whose syncs are slow, or blocked, as long as a test needs it."""

from __future__ import annotations

import mmap
import struct
import subprocess
from functools import cached_property
from pathlib import Path

from tests.servers.errors import ServerError
from tests.servers.install import install
from tests.servers.postgresql import PostgreSQL

SOURCE = Path(__file__).with_name("slow_sync.c")
CONTROL = struct.Struct("=qqq")
"""The format of the control file: the delay in microseconds, or HELD; the number of held syncs; and
whether to record what a power failure would undo."""

LOST = struct.Struct("=qq240s")
"""The header of such a record, before the overwritten bytes: their offset, their size, the file."""

HELD = -1


class SlowDisk:
    """Control of the syncs of all processes that run with :attr:`environment`.

    ``folder`` contains its files, which are created if missing: an object with the same folder in
    another process controls the same disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        library, control = folder / "slow_sync.so", folder / "slow_sync"
        self._lost = lost = folder / "slow_sync.lost"
        if not control.exists():
            folder.mkdir(exist_ok=True)
            _compile(library)
            control.write_bytes(CONTROL.pack(0, 0, 0))
            lost.touch()
            for path in (folder, library):
                path.chmod(0o755)
            for path in (control, lost):
                path.chmod(0o666)
        self.environment = {"LD_PRELOAD": str(library), "SLOW_SYNC": str(control)}
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), CONTROL.size)

    def delay(self, milliseconds: float) -> None:
        """Delay each sync by so many milliseconds, and continue those that are held."""
        self._set(round(milliseconds * 1000))

    def hold(self) -> None:
        """Block syncs that begin from now on, until :meth:`delay` is called."""
        struct.pack_into("=q", self._control, 8, 0)
        self._set(HELD)

    @property
    def held(self) -> int:
        """The number of syncs that have begun since :meth:`hold`."""
        return int(CONTROL.unpack_from(self._control)[1])

    def note_what_is_not_synced(self) -> None:
        """Record unsynced writes to PostgreSQL's log from now on, for :meth:`lose_power`."""
        struct.pack_into("=q", self._control, 16, 1)

    def lose_power(self) -> int:
        """Undo the writes that weren't synced, and return their number.

        The server must be killed before. Killing alone loses nothing that a server has written.
        """
        notes, place, undone = self._lost.read_bytes(), 0, []
        while place < len(notes):
            offset, size, path = LOST.unpack_from(notes, place)
            place += LOST.size
            undone.append((path.rstrip(b"\0").decode(), offset, notes[place : place + size]))
            place += size
        for path, offset, old in reversed(undone):
            with open(path, "r+b") as segment:
                segment.seek(offset)
                segment.write(old)
        self._lost.write_bytes(b"")
        return len(undone)

    def _set(self, delay: int) -> None:
        struct.pack_into("=q", self._control, 0, delay)


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


def _compile(library: Path) -> None:
    options = ["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-ldl"]
    command: list[str | Path] = [install("gcc"), SOURCE, "-o", library, *options]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        raise ServerError(f"Compiling {SOURCE.name} failed:\n{made.stderr}")
