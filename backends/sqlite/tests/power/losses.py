"""Lose power at random moments: `python losses.py SEED COUNT`, under LD_PRELOAD of durable.c.

One thread uses several connections, so that the durable data is known at each moment. After a
loss, each file has its last synced content and any of the sectors written since: all, none, or
some. Each fault is a line of output. The exit status is 0 if the run was completed.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import django
from django.conf import settings

SECTOR = 512
CONNECTIONS = ("default", "second", "third")
DISK, DURABLE = Path(os.environ["DISK"]), Path(os.environ["DURABLE"])
DATABASE = DISK / "db.sqlite3"
FILES = (DATABASE.name, f"{DATABASE.name}-wal")


def configure() -> None:
    """Set Django up with several connections to one file."""
    pragmas = "journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 7"
    one = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(DATABASE),
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "init_command": f"PRAGMA {pragmas}"},
    }
    settings.configure(
        INSTALLED_APPS=["sequences_core", "printed"],
        DATABASES={alias: dict(one) for alias in CONNECTIONS},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        SEQUENCES_EARLY_RELEASE=True,
        SILENCED_SYSTEM_CHECKS=["sequences_contrib.W001"],
    )
    django.setup()


class Run:
    """Random work and losses, after which everything acknowledged must be there."""

    def __init__(self, seed: int, *, wait: bool) -> None:
        from sequences_sqlite import wal

        self.random = random.Random(seed)
        self.acknowledged = 0
        self.faults: list[str] = []
        self.in_wait = False
        self.sync: Callable[[str], None] = wal.sync if wait else lambda log: None
        wal.sync = self.wait

    def wait(self, log: str) -> None:
        """Do other things between COMMIT and sync, as other processes would."""
        if not self.in_wait:
            self.in_wait = True
            for _ in range(self.random.choice((0, 0, 1, 3))):
                self.random.choice((self.issue, self.checkpoint, self.leave))("third")
            self.lose_power()
            self.in_wait = False
        self.sync(log)

    def issue(self, alias: str) -> None:
        """Number rows in one of the ways, and record the last number as acknowledged."""
        from django.db import transaction

        from sequences_core import get_next_value

        model = import_module("printed.models").Invoice
        text = "x" * self.random.choice((10, 5000))
        way = self.random.randrange(3)
        if way == 0:
            with transaction.atomic(using=alias):
                number = get_next_value("invoices", using=alias)
                model(text=text, number=number).save_base(raw=True, using=alias)
        elif way == 1:
            number = model.objects.using(alias).create(text=text).number
        else:
            rows = [model(text=text) for _ in range(self.random.randrange(1, 4))]
            number = model.objects.using(alias).bulk_create(rows)[-1].number
        self.acknowledged = max(self.acknowledged, number)

    def checkpoint(self, alias: str) -> None:
        from django.db import connections

        mode = self.random.choice(("PASSIVE", "FULL", "RESTART", "TRUNCATE"))
        with connections[alias].cursor() as cursor:
            cursor.execute(f"PRAGMA wal_checkpoint({mode})")

    def leave(self, alias: str) -> None:
        """Close a connection; the last one deletes the log."""
        from django.db import connections

        connections[alias].close()

    def lose_power(self) -> None:
        """Check the database as it would be after a power loss at this moment."""
        after = DISK.with_name("after")
        shutil.rmtree(after, ignore_errors=True)
        after.mkdir()
        for name in FILES:
            content = self.left_of(name)
            if content is not None:
                (after / name).write_bytes(content)
        try:
            with closing(sqlite3.connect(after / DATABASE.name)) as connection:
                sound = connection.execute("PRAGMA integrity_check").fetchone()[0]
                rows = connection.execute("SELECT number FROM printed_invoice ORDER BY number")
                numbers = [number for (number,) in rows]
                counter = connection.execute("SELECT last FROM sequences_core_counter").fetchone()
        except sqlite3.DatabaseError as error:
            self.faults.append(f"unreadable: {error}")
            return
        last = counter[0] if counter else 0
        if sound != "ok" or numbers != list(range(1, last + 1)):
            self.faults.append(f"not gapless: {sound}, {len(numbers)} rows up to {last}")
        if last < self.acknowledged:
            self.faults.append(f"lost: {self.acknowledged} was acknowledged, {last} is left")

    def left_of(self, name: str) -> bytes | None:
        durable, now = DURABLE / name, DISK / name
        synced = durable.read_bytes() if durable.exists() else b""
        if not now.exists():  # its removal from the folder may not be durable
            return self.random.choice((None, synced))
        written = now.read_bytes()
        size = self.random.choice((len(synced), len(written)))
        left = bytearray(synced[:size].ljust(size, b"\0"))
        share = self.random.choice((0, 0, 0.5, 1))
        for start in range(0, min(size, len(written)), SECTOR):
            if self.random.random() < share:
                end = min(start + SECTOR, len(written), size)
                left[start:end] = written[start:end]
        return bytes(left)

    def work(self, steps: int) -> list[str]:
        kinds: tuple[Any, ...] = (self.issue,) * 6 + (self.checkpoint, self.leave)
        for _ in range(steps):
            self.random.choice(kinds)(self.random.choice(CONNECTIONS[:2]))
            if self.random.random() < 0.2:
                self.lose_power()
        return self.faults


def main(seed: int, steps: int, *, wait: bool) -> None:
    configure()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0, run_syncdb=True)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    print(*Run(seed, wait=wait).work(steps), sep="\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), wait=sys.argv[3] == "wait")
