"""The size of a run, and the environment variables that configure its pytest sessions.

In a pass, each cell gets one turn, so that a machine that slows down affects all cells alike.
"""

from __future__ import annotations

import os
from typing import TypeVar

SCALE = "BENCHMARK_SCALE"  # quick: rough figures in a few minutes; full: reliable figures
DATABASE = "BENCHMARK_DATABASE"  # the name of the database, such as mariadb
URL = "BENCHMARK_URL"  # its URL, for dj-database-url
DISK = "BENCHMARK_DISK"  # the folder of the SlowDisk under it
RESULT = "BENCHMARK_RESULT"  # the path of results.json

BUSIEST = 8
"""The number of writers in tables and charts that show only one."""

T = TypeVar("T")


def scaled(quick: T, full: T) -> T:
    """Return the value for the scale of this run."""
    return full if os.environ[SCALE] == "full" else quick
