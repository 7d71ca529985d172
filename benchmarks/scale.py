"""How much is measured, and the environment variables by which a run tells its sessions.

In a pass each cell gets a turn, so that a machine that slows down slows down all cells.
"""

from __future__ import annotations

import os
from typing import TypeVar

SCALE = "BENCHMARK_SCALE"
"""quick: in a few minutes; full: in as many as it takes to be sure."""

DATABASE = "BENCHMARK_DATABASE"
"""The name of what is measured, such as mariadb."""

URL = "BENCHMARK_URL"
"""Where it is, for dj-database-url."""

DISK = "BENCHMARK_DISK"
"""The folder by which the disk under the database is slowed."""

RESULT = "BENCHMARK_RESULT"
"""The file of results that a session adds its own to."""

BUSIEST = 8
"""The number of writers where only one is shown."""

T = TypeVar("T")


def scaled(quick: T, full: T) -> T:
    """The one that this run has chosen."""
    return full if os.environ[SCALE] == "full" else quick
