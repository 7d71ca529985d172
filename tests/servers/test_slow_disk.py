"""A slow disk is as slow as told, from one moment to the next, and its syncs can be held."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.faults.faults import wait_until
from tests.servers.probe import connect
from tests.servers.slow_disk import SlowDisk, SlowPostgreSQL

COMMITS = 20


@pytest.fixture(scope="module")
def server() -> Iterator[SlowPostgreSQL]:
    with SlowPostgreSQL() as server:
        with closing(connect(server.url)) as connection, closing(connection.cursor()) as cursor:
            cursor.execute("CREATE TABLE slow (number integer)")
            connection.commit()
        yield server


def commit(server: SlowPostgreSQL, count: int) -> float:
    """Commit so many rows, and return the seconds that it took."""
    with closing(connect(server.url)) as connection, closing(connection.cursor()) as cursor:
        begun = time.monotonic()
        for _ in range(count):
            cursor.execute("INSERT INTO slow VALUES (1)")
            connection.commit()
        return time.monotonic() - begun


class TestSlowDisk:
    using = "postgresql"

    def test_each_sync_takes_so_much_longer(self, server: SlowPostgreSQL) -> None:
        """Also a running server's syncs, and told by another process."""
        SlowDisk(server.disk.folder).delay(10)
        slow = commit(server, COMMITS)
        server.disk.delay(0)
        fast = commit(server, COMMITS)
        assert slow > COMMITS * 0.010
        assert fast < slow

    def test_a_sync_can_be_held(self, server: SlowPostgreSQL) -> None:
        """A commit waits until the disk goes on."""
        server.disk.hold()
        waiting: Any = threading.Thread(target=commit, args=(server, 1))
        waiting.start()
        wait_until(lambda: server.disk.held > 0)
        waiting.join(0.2)
        assert waiting.is_alive()
        server.disk.delay(0)
        waiting.join(10)
        assert not waiting.is_alive()
