"""Faults of the storage: a full disk, and a database without permission to write."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.faults import tables
from tests.faults.arena import Arena, Tally
from tests.faults.fleet import Fleet, call

PLAIN = "plain"
"""A user to whom MariaDB's read_only applies; a user with all privileges is exempt."""

READ_ONLY = {
    "postgresql": (
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "SELECT pg_reload_conf()",
    ),
    "mariadb": (
        f"CREATE USER IF NOT EXISTS {PLAIN} IDENTIFIED BY '{PLAIN}'",
        f"GRANT ALL ON sequences.* TO {PLAIN}",
        "SET GLOBAL read_only = ON",
    ),
    "mysql": ("SET GLOBAL super_read_only = ON",),
}
WRITABLE = {
    "postgresql": (
        "SET default_transaction_read_only = off",
        "ALTER SYSTEM RESET default_transaction_read_only",
        "SELECT pg_reload_conf()",
    ),
    "mariadb": ("SET GLOBAL read_only = OFF",),
    "mysql": ("SET GLOBAL read_only = OFF",),
}


def disk_full(arena: Arena, tally: Tally) -> None:
    """Fill SQLite's disk, and free it again."""
    with small_disk() as disk, Arena("sqlite", disk=disk) as small:

        def act(fleet: Fleet) -> None:
            for _ in range(3):
                fill(disk / "ballast")
                fleet.wait_for_errors()
                fleet.done["disks filled"] += 1
                (disk / "ballast").unlink()
                fleet.wait_for_commits(10)

        small.round(tally, act)
        arena.failed |= small.failed


def made_read_only(arena: Arena, tally: Tally) -> None:
    """Make the database read-only under the writers, and writable again."""
    place = arena.place()
    if arena.kind == "sqlite3":
        # SQLite's setting is per connection: half of the writers have one that only reads.
        place = arena.place(options={"uri": True})
        name = f"file:{arena.file}?mode=ro"
        reading = replace(place, database={**place.database, "NAME": name})

        def see(fleet: Fleet) -> None:
            fleet.wait_for_errors()
            fleet.done["databases made read-only"] += 1
            fleet.wait_for_commits(20)

        arena.round(tally, see, reading, arena.place())
        return

    def act(fleet: Fleet) -> None:
        for _ in range(2):
            call(tables.run, place, *READ_ONLY[arena.name])
            fleet.wait_for_errors()
            fleet.done["databases made read-only"] += 1
            call(tables.run, place, *WRITABLE[arena.name])
            fleet.wait_for_commits(10)

    writing = place
    if arena.kind == "mysql":
        # SET GLOBAL read_only waits for statements that wait for a row, and blocks the COMMIT
        # that would release the row, until the timeout of a lock wait.
        writing = arena.place(options={"init_command": "SET innodb_lock_wait_timeout = 1"})
    if arena.name == "mariadb":
        call(tables.run, place, *READ_ONLY["mariadb"][:2])
        account = {"USER": PLAIN, "PASSWORD": PLAIN}
        writing = replace(writing, database={**writing.database, **account})
    arena.round(tally, act, writing)


@contextmanager
def small_disk(size: str = "2m") -> Iterator[Path]:
    """Mount a small file system, which only root may do."""
    with tempfile.TemporaryDirectory(prefix="sequences-disk-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as ballast:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    ballast.write(b"\0" * size)
            except OSError:
                continue
