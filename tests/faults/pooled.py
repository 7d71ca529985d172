"""PgBouncer in transaction mode between the writers and PostgreSQL."""

from __future__ import annotations

from tests.faults.arena import Arena, Tally
from tests.faults.faults import KILLS
from tests.faults.fleet import Fleet
from tests.servers import PostgreSQL
from tests.servers.pgbouncer import PgBouncer


def pool_killed(arena: Arena, tally: Tally) -> None:
    """Kill writers that share fewer sessions, and kill the pool itself with SIGKILL."""
    server = arena.server
    assert isinstance(server, PostgreSQL)
    with PgBouncer(server, sessions=3, idle=1) as pool:

        def act(fleet: Fleet) -> None:
            for _ in range(KILLS // 3):
                fleet.kill()
                fleet.wait_for_commits(fleet.chance.randint(0, 5))
            pool.kill()
            fleet.done["pools killed"] += 1
            pool.start()
            fleet.wait_for_commits(20)

        arena.round(tally, act, arena.place(pool.url))
