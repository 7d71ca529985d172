"""Early release: nobody is told of a number that a crash takes back, and no hole is left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import early, standby
from tests.faults.arena import Arena, Tally


@pytest.fixture(scope="module")
def slow() -> Iterator[Arena]:
    """A server whose disk can be held."""
    with early.slow_disk() as arena:
        yield arena


class TestEarlyRelease:
    using = "postgresql"

    @pytest.mark.parametrize("way", early.JOBS)
    def test_server_killed(self, slow: Arena, way: str) -> None:
        """All writers commit one counter's numbers while no sync ends, and the crash comes."""
        tally = Tally("server killed", slow.name)
        early.server_killed(way)(slow, tally)
        assert tally.verdict.problems == []

    @pytest.mark.parametrize("way", early.JOBS)
    def test_no_wait_is_caught(self, slow: Arena, way: str) -> None:
        """Without the wait both rules of *acknowledged means there* are broken, each time."""
        tally = Tally("not waited for", slow.name)
        early.not_waited_for(way)(slow, tally)
        assert tally.verdict.problems == []
        assert tally.done["planted faults caught"] == 1

    def test_connections_cut(self, slow: Arena) -> None:
        """Who loses the connection while waiting gets an error, not a number."""
        tally = Tally("connections cut", slow.name)
        early.connections_cut(slow, tally)
        assert tally.verdict.problems == []

    def test_pool_killed(self, slow: Arena) -> None:
        """PgBouncer in transaction mode changes nothing."""
        tally = Tally("pool killed", slow.name)
        early.pool_killed(slow, tally)
        assert tally.verdict.problems == []

    def test_primary_killed(self) -> None:
        """With a synchronous standby it is the standby that is waited for."""
        tally = Tally("primary killed", "synchronous standby")
        with standby.pair(synchronous=True) as pair:
            early.primary_killed(pair, tally)
        assert tally.verdict.problems == []
