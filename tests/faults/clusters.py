"""Faults of several servers, or of a pool in front of one."""

from __future__ import annotations

from typing import Any

from tests.faults.arena import Arena, Tally
from tests.faults.faults import KILLS
from tests.faults.fleet import Fleet
from tests.faults.tables import Place
from tests.servers import PostgreSQL
from tests.servers.clusters import Galera, Group, Pair
from tests.servers.pgbouncer import PgBouncer

ON_GALERA = {
    "init_command": "SET SESSION wsrep_sync_wait = 7, SESSION wsrep_retry_autocommit = 0",
}
"""Django's OPTIONS. Each statement sees what was committed on other nodes before. A conflict is an
error at COMMIT, with code 1213; otherwise the server would retry an autocommit statement, and
INSERT … RETURNING would send the rows of both attempts."""

COMMITS = 150
"""The transactions of a round without other faults."""


def pair(*, synchronous: bool) -> Arena:
    """Return the arena of a PostgreSQL primary and its standby."""
    return Arena("postgresql with standby", Pair(synchronous=synchronous))


def galera() -> Arena:
    """Return the arena of a Galera cluster."""
    return Arena("galera", Galera(), options=ON_GALERA)


def group(*, multi: bool) -> Arena:
    """Return the arena of a MySQL group in single-primary or multi-primary mode."""
    return Arena("group replication", Group(multi=multi))


def pool_killed(arena: Arena, tally: Tally) -> None:
    """Kill writers that share fewer sessions of a PgBouncer in transaction mode, and kill it."""
    server = arena.server
    assert isinstance(server, PostgreSQL)
    with PgBouncer(server, default_pool_size=3, server_idle_timeout=1) as pool:

        def act(fleet: Fleet) -> None:
            for _ in range(KILLS // 3):
                fleet.kill()
                fleet.wait_for_commits(fleet.chance.randint(0, 5))
            pool.kill()
            fleet.done["pools killed"] += 1
            pool.start()
            fleet.wait_for_commits(20)

        arena.round(tally, act, arena.place(pool.url))


def standby_promoted(arena: Arena, tally: Tally) -> None:
    """Kill the primary with SIGKILL just after its connection to the standby; promote the standby.

    Commits wait for the connection to a synchronous standby, but not to an asynchronous one. The
    pair can't be used again.
    """
    pair = arena.serving
    assert isinstance(pair, Pair)
    places = arena.place(pair.primary.url), arena.place(pair.standby.url)

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(20)
        pair.link.close()
        if not pair.synchronous:
            fleet.wait_for_commits(10)
        pair.fail_over()
        fleet.done["primaries killed"] += 1
        fleet.wait_for_commits(20)

    arena.round(tally, act, *places, failover=True)
    arena.failed &= pair.synchronous  # an asynchronous standby is expected to lose commits


def writers_everywhere(arena: Arena, tally: Tally) -> None:
    """Run writers on all servers of a cluster.

    In a MySQL group, they use no savepoints: MySQL 9.7 reports no error if SAVEPOINT is the first
    statement after the transaction has lost a conflict with another member, and the remaining
    statements then commit alone.

    In a Galera cluster, any error may surface: MariaDB 10.11 reports a few conflicts as a missing
    savepoint (1305), or as a lock wait timeout (1205), like the servers of
    https://github.com/MariaDB/server/pull/1780. Nothing of such a transaction may be committed.
    """
    grouped = isinstance(arena.serving, Group)
    options: Any = {"fates": ("transaction",)} if grouped else {"surfacing": "anything"}
    _write(arena, tally, *_places(arena), **options)


def writers_on_one(arena: Arena, tally: Tally) -> None:
    """Run all writers on one server of a cluster, where they wait for each other."""
    _write(arena, tally, _places(arena)[0])


def _places(arena: Arena) -> list[Place]:
    assert isinstance(arena.serving, Galera | Group)
    return [arena.place(node.url) for node in arena.serving.nodes]


def _write(arena: Arena, tally: Tally, *places: Place, **options: Any) -> None:
    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(COMMITS)

    arena.round(tally, act, *places, **{"surfacing": "conflicts", "attempts": 1000, **options})


def node_killed(arena: Arena, tally: Tally) -> None:
    """Kill a node of Galera with SIGKILL while all have writers; it restarts and joins."""
    cluster = arena.serving
    assert isinstance(cluster, Galera)
    node = arena.chance.choice(cluster.nodes)

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(10)
        node.kill()
        fleet.done["nodes killed"] += 1
        fleet.wait_for_commits(10)
        node.start()
        fleet.wait_for_commits(10)

    arena.round(tally, act, *_places(arena), failover=True, attempts=1000)


def primary_killed(arena: Arena, tally: Tally) -> None:
    """Kill the primary of a MySQL group with SIGKILL; the group elects another one."""
    group = arena.serving
    assert isinstance(group, Group)

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(20)
        lost = group.primary()
        lost.kill()
        fleet.done["primaries killed"] += 1
        fleet.wait_for_commits(20)
        lost.start()
        fleet.wait_for_commits(10)

    arena.round(tally, act, *_places(arena), failover=True)
