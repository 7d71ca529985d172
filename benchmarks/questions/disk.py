"""Disk: how many rows per second do writers of one counter number, by how long a sync takes?

As Contention, with a library under PostgreSQL that makes each of its syncs slower.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import django

from benchmarks.environment import DISK
from benchmarks.questions.contention import Cell, measure
from benchmarks.scale import Scale, current
from tests.servers.slow_disk import SlowDisk

PARTIES = (
    "SequenceField, early release",
    "SequenceField",
    "get_next_value, early release",
    "get_next_value",
    "django-sequences",
    "auto-increment",
    "pgbench, early release",
    "pgbench",
)


@dataclass(frozen=True)
class Slowed(Cell):
    sync: int
    """Milliseconds more for each sync."""

    def __str__(self) -> str:
        return f"{self.contestant}, {self.writers} writers, {self.sync} ms more for a sync"

    def is_compared(self, scale: Scale) -> bool:
        return self.writers in COMPARED and self.sync <= 1


COMPARED = (8, 32)
"""The numbers of writers at which something is promised."""


def cells(scale: Scale, parties: list[str]) -> Iterator[Slowed]:
    for sync in scale.syncs:
        for writers in scale.disk_writers:
            for party in parties:
                yield Slowed(party, writers, "one", 0, rollbacks=False, sync=sync)


def main() -> None:
    """Measure all cells, turn by turn."""
    django.setup()
    from benchmarks.contestants import fit

    scale, disk = current(), SlowDisk(Path(os.environ[DISK]))

    def slow(cell: Slowed) -> None:
        disk.delay(cell.sync)

    parties = [one.name for one in fit() if one.name in PARTIES]
    measure(list(cells(scale, parties)), scale, slow)


if __name__ == "__main__":
    main()
