"""A disk whose syncs are slow, or don't end, as long as a test wants it."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import zlib
from functools import cached_property
from pathlib import Path

from tests.servers.cache import cached
from tests.servers.errors import ServerError
from tests.servers.install import install
from tests.servers.postgresql import PostgreSQL

SOURCE = Path(__file__).with_name("slow_sync.c")
CONTROL = struct.Struct("=qqq")
"""What the library reads and writes: microseconds, or HELD; how many syncs were held; and whether
to note what a loss of power would undo."""

LOST = struct.Struct("=qq240s")
"""Such a note, with the bytes that it has behind it: their offset, their size, the file."""

HELD = -1


class SlowDisk:
    """The syncs of all processes that run with :attr:`environment`; they are fast to begin with.

    ``folder`` is where its files are, made when they are missing: who opens the same folder in
    another process controls the same disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        library, control = folder / "slow_sync.so", folder / "slow_sync"
        self._lost = lost = folder / "slow_sync.lost"
        if not control.exists():
            folder.mkdir(exist_ok=True)
            shutil.copy(_library(), library)  # out of a cache that other users can't read
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
        """Let each sync take so much longer. Those that are held go on."""
        self._set(round(milliseconds * 1000))

    def hold(self) -> None:
        """Let no sync end that begins from now on, until :meth:`delay` is called."""
        struct.pack_into("=q", self._control, 8, 0)
        self._set(HELD)

    @property
    def held(self) -> int:
        """How many syncs have begun since :meth:`hold`."""
        return int(CONTROL.unpack_from(self._control)[1])

    def note_what_is_not_synced(self) -> None:
        """From now on let :meth:`lose_power` know what of PostgreSQL's log is only written."""
        struct.pack_into("=q", self._control, 16, 1)

    def lose_power(self) -> int:
        """Take back what was written and not synced; return how many writes those were.

        The server must have been killed. A killed server alone loses nothing that it has written.
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
        """What it is on. Starting and stopping need a disk that holds nothing."""
        return SlowDisk(self.directory / "disk")

    def environment(self) -> dict[str, str]:
        """With the library that makes the disk slow."""
        return self.disk.environment


def _library() -> Path:
    """The compiled library; raises ServerError if there is no compiler."""

    def build(folder: Path) -> None:
        folder.mkdir()
        options = ["-shared", "-fPIC", "-O2", "-Wall", "-Werror"]
        output = folder / "slow_sync.so"
        command = [str(install("gcc")), *options, "-o", str(output), str(SOURCE), "-ldl"]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            raise ServerError(f"compiling {SOURCE.name} failed:\n{made.stderr}")

    mark = zlib.crc32(SOURCE.read_bytes())
    return cached(f"slow-sync-{os.uname().machine}-{mark:08x}", build) / "slow_sync.so"
