"""Disk: how does the duration of a sync change the rows per second that writers number?

It measures like Contention, with a library under PostgreSQL that delays each sync.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.contestants import contestants
from benchmarks.questions import TURNS, turns
from benchmarks.questions.contention import PASSES, Cell, measure
from benchmarks.questions.figures import Tally
from benchmarks.scale import DISK, scaled
from tests.servers.slow_disk import SlowDisk

WRITERS = scaled((1, 8, 32), (1, 4, 8, 16, 32, 48))
SYNCS = scaled((0, 1), (0, 1, 5))

CONTESTANTS = (
    *("SequenceField", "SequenceField, early release"),
    *("get_next_value", "get_next_value, early release"),
    *("django-sequences", "auto-increment", "pgbench"),
)


CELLS = [
    Cell(one.name, writers, "one", 0, rollbacks=False, sync=sync)
    for sync in SYNCS
    for writers in WRITERS
    for one in contestants(CONTESTANTS)
]


@pytest.mark.parametrize(TURNS, turns(CELLS, PASSES), ids=str)
def test_disk(cell: Cell, turn: int, tally: Tally) -> None:
    SlowDisk(Path(os.environ[DISK])).delay(cell.sync)
    measure(cell, tally)
