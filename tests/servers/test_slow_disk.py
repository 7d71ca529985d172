"""The delay of a slow disk can be changed at any time.

If its syncs weren't held, or no write were lost, tests/faults/test_early.py would fail: there, a
fault is planted that only such a disk makes visible.
"""

from __future__ import annotations

import time

from tests.servers.slow_disk import SlowDisk, SlowPostgreSQL

COMMITS = 20


class TestSlowDisk:
    using = "postgresql"

    def test_each_sync_takes_so_much_longer(self) -> None:
        """The delay affects a running server, and another process can set it."""
        with SlowPostgreSQL() as server:
            server.query("CREATE TABLE slow (number integer)")
            SlowDisk(server.disk.folder).delay(10)
            slow = commit(server)
            server.disk.delay(0)
            fast = commit(server)
        assert slow > COMMITS * 0.010
        assert fast < slow


def commit(server: SlowPostgreSQL) -> float:
    """Commit some rows, and return the seconds that it took."""
    begun = time.monotonic()
    for _ in range(COMMITS):
        server.query("INSERT INTO slow VALUES (1)")
    return time.monotonic() - begun
