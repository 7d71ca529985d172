"""Clusters: one short round of those that start fast; ``make faults`` runs the others, too."""

from __future__ import annotations

import pytest

from tests.faults import clusters
from tests.faults.arena import Arena, Tally
from tests.servers.clusters import Group


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("synchronous", [True, False])
def test_primary_killed(arena: Arena, synchronous: bool) -> None:
    """A synchronous standby continues without a loss; an asynchronous one has lost commits."""
    tally = Tally("primary killed", arena.name)
    with clusters.pair(synchronous=synchronous) as pair:
        clusters.standby_promoted(pair, tally)
    assert bool(tally.verdict.lost) is not synchronous
    assert tally.verdict.exact is synchronous


@pytest.mark.databases("mariadb")
def test_writers_on_all_nodes(arena: Arena) -> None:
    """Retried transactions in a Galera cluster lead to the exact outcome."""
    if arena.server.release:
        pytest.skip("a Galera cluster is of the machine's own release of MariaDB")
    tally = Tally("writers everywhere", "galera")
    with clusters.galera() as galera:
        clusters.writers_everywhere(galera, tally)
    assert tally.verdict.problems == []


@pytest.mark.databases("mysql")
def test_writers_on_all_members(arena: Arena) -> None:
    """The same is true for a MySQL group in multi-primary mode."""
    tally = Tally("writers everywhere", "group replication")
    with clusters.group(multi=True) as group:
        assert isinstance(group.serving, Group)
        # Otherwise members generate equal keys for different rows, which raises error 1062.
        steps = "SELECT @@auto_increment_increment, @@auto_increment_offset"
        assert [member.query(steps) for member in group.serving.nodes] == [
            [(7, number)] for number in (1, 2, 3)
        ]
        clusters.writers_everywhere(group, tally)
    assert tally.verdict.problems == []
