"""How much is measured: in a few minutes, or in as many as it takes to be sure."""

from __future__ import annotations

import os
from dataclasses import dataclass

from benchmarks.environment import SCALE


@dataclass(frozen=True)
class Scale:
    """The sizes of one run. Times are in seconds, of measuring, without what comes before it."""

    name: str
    call_passes: int
    """How often each cell of Call gets its turn; drift of the machine then meets all alike."""
    call_rounds: int
    """Calls per turn."""
    writers: tuple[int, ...]
    latencies: tuple[int, ...]
    """Round-trip times of the network, in milliseconds, beside 0."""
    contention_passes: int
    """Of what is compared first: the busiest writers on one counter, at each latency."""
    other_passes: int
    """Of the other cells."""
    contention_seconds: float
    """Per turn of a cell."""
    headline_seconds: float
    """The same of what is compared first: their fairness takes time to show."""
    sqlite_seconds: float
    """The same on SQLite, for some. Who waits there sleeps for up to 100 ms before looking again,
    while the last one to commit goes on at once (https://www.sqlite.org/c3ref/busy_timeout.html;
    the times are in main.c, sqliteDefaultBusyCallback): it is a minute before luck evens out."""
    disk_writers: tuple[int, ...]
    syncs: tuple[int, ...]
    """Milliseconds more for each sync of the disk."""
    counters: tuple[int, ...]
    batches: tuple[int, ...]
    growth_passes: int
    growth_calls: int
    """Per turn."""
    snapshot_takes: int
    snapshot_seconds: float
    """Under an open snapshot, whichever ends first."""
    bulk_rows: int
    bulk_passes: int
    overhead_passes: int
    imports: int

    @property
    def busiest(self) -> int:
        """The number of writers where only one is shown."""
        return 8


QUICK = Scale(
    name="quick",
    call_passes=3,
    call_rounds=30,
    writers=(1, 8),
    latencies=(1,),
    contention_passes=1,
    other_passes=1,
    contention_seconds=0.2,
    headline_seconds=0.3,
    sqlite_seconds=1.0,
    disk_writers=(1, 8, 32),
    syncs=(0, 1),
    counters=(10, 1000),
    batches=(1, 100, 10**6),
    growth_passes=2,
    growth_calls=100,
    snapshot_takes=10_000,
    snapshot_seconds=2,
    bulk_rows=1000,
    bulk_passes=2,
    overhead_passes=3,
    imports=2,
)

FULL = Scale(
    name="full",
    call_passes=14,
    call_rounds=100,
    writers=(1, 2, 4, 8, 16),
    latencies=(1, 5),
    contention_passes=4,
    other_passes=2,
    contention_seconds=0.4,
    headline_seconds=1.5,
    sqlite_seconds=15.0,
    disk_writers=(1, 4, 8, 16, 32, 48),
    syncs=(0, 1, 5),
    counters=(10, 1000, 10**6),
    batches=(1, 100, 10_000, 10**6),
    growth_passes=5,
    growth_calls=300,
    snapshot_takes=10**6,
    snapshot_seconds=20,
    bulk_rows=10_000,
    bulk_passes=20,
    overhead_passes=20,
    imports=15,
)

SCALES = {scale.name: scale for scale in (QUICK, FULL)}


def current() -> Scale:
    """The scale that the run has chosen for its steps."""
    return SCALES[os.environ[SCALE]]
