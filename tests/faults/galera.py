"""A Galera cluster of three nodes: conflicts between nodes surface at COMMIT, as 1213."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.arena import Arena, Tally
from tests.faults.fleet import Fleet
from tests.faults.tables import Place
from tests.servers.galera import Galera

OPTIONS = {
    "init_command": "SET SESSION wsrep_sync_wait = 7, SESSION wsrep_retry_autocommit = 0",
}
"""Django's OPTIONS: see, before any statement, what was committed on the other nodes; and hear of
a conflict, where the server would run an autocommit statement again, and with INSERT … RETURNING
send the rows of both runs."""

COMMITS = 150
"""How many transactions make a round in which nothing else happens."""


@contextmanager
def galera() -> Iterator[Arena]:
    """A cluster, and its arena."""
    with Arena("galera", Galera(durable=True), options=OPTIONS) as arena:
        yield arena


def _cluster(arena: Arena) -> Galera:
    assert isinstance(arena.serving, Galera)
    return arena.serving


def _nodes(arena: Arena) -> list[Place]:
    return [arena.place(node.url) for node in _cluster(arena).nodes]


def writers_everywhere(arena: Arena, tally: Tally) -> None:
    """Writers on all nodes."""
    _write(arena, tally, *_nodes(arena))


def writers_on_one_node(arena: Arena, tally: Tally) -> None:
    """All writers on one node: there they wait for each other, as without a cluster."""
    _write(arena, tally, _nodes(arena)[0])


def _write(arena: Arena, tally: Tally, *places: Place) -> None:
    arena.round(
        tally,
        lambda fleet: fleet.wait_for_commits(COMMITS),
        *places,
        surfacing="conflicts",
        attempts=1000,
    )


def node_killed(arena: Arena, tally: Tally) -> None:
    """SIGKILL of a node while writers are on all of them; it comes back and joins."""
    node = arena.chance.choice(_cluster(arena).nodes)

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(10)
        node.kill()
        fleet.done["nodes killed"] += 1
        fleet.wait_for_commits(10)
        node.start()
        fleet.wait_for_commits(10)

    arena.round(tally, act, *_nodes(arena), failover=True, attempts=1000)
