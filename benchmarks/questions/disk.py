"""Disk: how many rows per second do writers of one counter number, by how long a sync takes?

As Contention, with a library under PostgreSQL that makes each of its syncs slower.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.contestants import contestants
from benchmarks.questions import TURNS
from benchmarks.questions.contention import Cell, Tally, alternating, measure
from benchmarks.questions.writers import Writers
from benchmarks.scale import DISK, scaled
from tests.servers.slow_disk import SlowDisk

WRITERS = scaled((1, 8, 32), (1, 4, 8, 16, 32, 48))
SYNCS = scaled((0, 1), (0, 1, 5))

PARTIES = (
    *("SequenceField", "SequenceField, early release"),
    *("get_next_value", "get_next_value, early release"),
    *("django-sequences", "auto-increment", "pgbench"),
)


def cells() -> Iterator[Cell]:
    for sync in SYNCS:
        for writers in WRITERS:
            for party in contestants(PARTIES):
                yield Cell(party.name, writers, "one", 0, rollbacks=False, sync=sync)


@pytest.mark.parametrize(TURNS, alternating(cells()), ids=str)
def test_disk(cell: Cell, turn: int, tally: Tally, writers: Writers) -> None:
    SlowDisk(Path(os.environ[DISK])).delay(cell.sync)
    measure(cell, tally, writers)
