"""Early release: no client is told of a number that a crash undoes, and no gap is left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import clusters, early
from tests.faults.acknowledged import Standstill, too_early
from tests.faults.arena import Arena, Tally


@pytest.mark.parametrize(
    ("begun", "told", "rows", "early"),
    [
        (2, 3, 1, True),
        (1, 3, 1, False),  # it may have been safe before the standstill
        (2, 5, 1, False),  # acknowledged after it
        (5, 6, 1, False),
        (2, 3, 0, False),  # no rows to lose
        (2, None, 1, False),
    ],
)
def test_who_was_told_too_early(
    tmp_path: Path, begun: int, told: int | None, rows: int, early: bool
) -> None:
    """These transactions began to commit, and were acknowledged, in the same standstill."""
    events: list[list[object]] = [[begun, "t1", "begin"], [begun, "t1", "committing", rows]]
    if told:
        events.append([told, "t1", "committed"])
    history = tmp_path / "history"
    history.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert len(list(too_early([history], [Standstill(1.5, 4)]))) == early


@pytest.fixture(scope="module")
def slow() -> Iterator[Arena]:
    """A server whose disk can be held, and its arena."""
    with early.slow_disk() as arena:
        yield arena


class TestEarlyRelease:
    using = "postgresql"

    @pytest.mark.parametrize("way", early.JOBS)
    def test_server_killed(self, slow: Arena, way: str) -> None:
        """All writers commit numbers of one counter while no sync ends, and the power fails."""
        tally = Tally("server killed", slow.name)
        early.server_killed(way)(slow, tally)
        assert tally.verdict.problems == []

    @pytest.mark.parametrize("way", early.JOBS)
    def test_no_wait_is_caught(self, slow: Arena, way: str) -> None:
        """Without the wait, both rules are violated in each way."""
        tally = Tally("not waited for", slow.name)
        early.not_waited_for(way)(slow, tally)
        assert tally.verdict.problems == []
        assert tally.done["planted faults caught"] == 1

    def test_connections_cut(self, slow: Arena) -> None:
        """A client that loses its connection while it waits gets an error instead of a number."""
        tally = Tally("connections cut", slow.name)
        early.connections_cut(slow, tally)
        assert tally.verdict.problems == []

    def test_pool_killed(self, slow: Arena) -> None:
        """The outcome is exact with PgBouncer in transaction mode, too."""
        tally = Tally("pool killed", slow.name)
        early.pool_killed(slow, tally)
        assert tally.verdict.problems == []

    def test_primary_killed(self) -> None:
        """With a synchronous standby, commits wait for the standby."""
        tally = Tally("primary killed", "synchronous standby")
        with clusters.pair(synchronous=True) as pair:
            early.primary_killed(pair, tally)
        assert tally.verdict.problems == []
