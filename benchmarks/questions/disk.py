"""Disk: how many rows per second do writers of one counter number, by how long a sync takes?

As Contention, with a library under PostgreSQL that makes each of its syncs slower.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from benchmarks.contestants import contestants
from benchmarks.questions.contention import Cell, Tally, alternating, measure
from benchmarks.questions.writers import Writers
from benchmarks.scale import DISK, scaled
from tests.servers.slow_disk import SlowDisk

WRITERS = scaled((1, 8, 32), (1, 4, 8, 16, 32, 48))
SYNCS = scaled((0, 1), (0, 1, 5))

PARTIES = (
    "SequenceField, early release",
    "SequenceField",
    "get_next_value, early release",
    "get_next_value",
    "django-sequences",
    "auto-increment",
    "pgbench",
)

COMPARED = (8, 32)
"""The numbers of writers at which something is promised."""


@dataclass(frozen=True)
class Slowed(Cell):
    sync: int
    """Milliseconds more for each sync."""

    @property
    def is_compared(self) -> bool:
        return self.writers in COMPARED and self.sync <= 1


def turns() -> list[tuple[Slowed, int]]:
    return alternating(list(cells()))


def cells() -> Iterator[Slowed]:
    for sync in SYNCS:
        for writers in WRITERS:
            for party in contestants(PARTIES):
                yield Slowed(party.name, writers, "one", 0, rollbacks=False, sync=sync)


@cache
def disk() -> SlowDisk:
    return SlowDisk(Path(os.environ[DISK]))


@pytest.mark.parametrize(("cell", "turn"), turns(), ids=str)
def test_disk(cell: Slowed, turn: int, tally: Tally, writers: Writers) -> None:
    disk().delay(cell.sync)
    measure(cell, tally, writers)
