"""A Galera cluster of three nodes: conflicts between nodes are errors at COMMIT, with code 1213."""

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
"""Django's OPTIONS. Each statement sees what was committed on other nodes before. A conflict is an
error; otherwise the server would retry an autocommit statement, and INSERT … RETURNING would send
the rows of both attempts."""

COMMITS = 150
"""The transactions of a round without other faults."""


@contextmanager
def galera() -> Iterator[Arena]:
    """Start a cluster, and return its arena."""
    with Arena("galera", Galera(durable=True), options=OPTIONS) as arena:
        yield arena


def _cluster(arena: Arena) -> Galera:
    assert isinstance(arena.serving, Galera)
    return arena.serving


def _nodes(arena: Arena) -> list[Place]:
    return [arena.place(node.url) for node in _cluster(arena).nodes]


def writers_everywhere(arena: Arena, tally: Tally) -> None:
    """Run writers on all nodes."""
    _write(arena, tally, *_nodes(arena))


def writers_on_one_node(arena: Arena, tally: Tally) -> None:
    """Run all writers on one node, where they wait for each other as on a single server."""
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
    """Kill a node with SIGKILL while all nodes have writers; it restarts and joins."""
    node = arena.chance.choice(_cluster(arena).nodes)

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(10)
        node.kill()
        fleet.done["nodes killed"] += 1
        fleet.wait_for_commits(10)
        node.start()
        fleet.wait_for_commits(10)

    arena.round(tally, act, *_nodes(arena), failover=True, attempts=1000)
