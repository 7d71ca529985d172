"""The delay of a slow disk can be changed at any time, and its syncs can be held."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.servers.errors import wait_until
from tests.servers.probe import connect
from tests.servers.slow_disk import SlowDisk, SlowPostgreSQL

COMMITS = 20


@pytest.fixture(scope="module")
def server() -> Iterator[SlowPostgreSQL]:
    with SlowPostgreSQL() as server:
        server.query("CREATE TABLE slow (number integer)")
        yield server


def rows(server: SlowPostgreSQL) -> int:
    """Return the number of rows."""
    ((count,),) = server.query("SELECT count(*) FROM slow")
    return int(count)


def commit(server: SlowPostgreSQL, count: int, setting: str = "SELECT 1") -> float:
    """Commit so many rows, and return the seconds that it took."""
    with closing(connect(server.url)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(setting)
        begun = time.monotonic()
        for _ in range(count):
            cursor.execute("INSERT INTO slow VALUES (1)")
            connection.commit()
        return time.monotonic() - begun


class TestSlowDisk:
    using = "postgresql"

    def test_each_sync_takes_so_much_longer(self, server: SlowPostgreSQL) -> None:
        """The delay affects a running server, and another process can set it."""
        SlowDisk(server.disk.folder).delay(10)
        slow = commit(server, COMMITS)
        server.disk.delay(0)
        fast = commit(server, COMMITS)
        assert slow > COMMITS * 0.010
        assert fast < slow

    def test_a_sync_can_be_held(self, server: SlowPostgreSQL) -> None:
        """A commit waits until the disk continues."""
        server.disk.hold()
        waiting: Any = threading.Thread(target=commit, args=(server, 1))
        waiting.start()
        wait_until(lambda: server.disk.held, "No sync began")
        waiting.join(0.2)
        assert waiting.is_alive()
        server.disk.delay(0)
        waiting.join(10)
        assert not waiting.is_alive()

    def test_power_can_be_lost(self, server: SlowPostgreSQL) -> None:
        """A commit without a sync survives a killed server, but no power failure."""
        disk = server.disk
        disk.note_what_is_not_synced()
        commit(server, 1)
        for power in (True, False):
            before = rows(server)
            disk.hold()
            commit(server, 1, "SET synchronous_commit = off")
            wait_until(lambda: disk.held, "No sync began")  # another process writes the log
            assert rows(server) == before + 1
            server.kill()
            assert power or disk.lose_power() > 0
            disk.delay(0)
            server.start()
            assert rows(server) == before + power
