"""Early release on PostgreSQL: a power failure while counters are free, but commits not on disk.

The power fails while no sync can end, after each writer has taken a number of the same counter and
has sent its COMMIT: the crash may undo all of them, and none of them may have been acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from tests.faults.arena import Arena, Tally
from tests.faults.faults import Fault
from tests.faults.fleet import Fleet
from tests.faults.tables import Place
from tests.faults.takes import DOCUMENTS
from tests.servers import PostgreSQL, Server
from tests.servers.clusters import Pair
from tests.servers.errors import wait_until
from tests.servers.pgbouncer import PgBouncer
from tests.servers.probe import connect
from tests.servers.proxy import Proxy
from tests.servers.slow_disk import SlowDisk, SlowPostgreSQL

SLOW = 2.0
"""Milliseconds added to each sync while the writers write."""

WRITERS = 6

WAITING = """
    SELECT count(*) FROM pg_stat_activity
     WHERE backend_type = 'client backend'
       AND lower(wait_event) IN ('walsync', 'walwrite', 'syncrep')
"""
"""The sessions that wait for a sync, for the lock to sync, or for the standby
(https://www.postgresql.org/docs/15/monitoring-stats.html#WAIT-EVENT-TABLE)."""

JOBS: dict[str, dict[str, tuple[str, ...]]] = {
    "create()": {"ways": (), "alone": ("field",)},
    "atomic()": {"ways": ("single", "batch", "in statement", "field"), "alone": ()},
    "bulk_create()": {"ways": ("bulk field",), "alone": ("bulk field",)},
}
"""The ways to take numbers, each of which releases its counter in another way."""


def slow_disk() -> Arena:
    """Return the arena of a server whose syncs can be held, and which can lose unsynced writes."""
    return Arena("postgresql on a slow disk", SlowPostgreSQL())


def server_killed(way: str) -> Fault:
    """Return the fault that kills the server (SIGKILL) while writers take numbers in that way."""

    def fault(arena: Arena, tally: Tally) -> None:
        crash(arena, tally, arena.place(early=True), way)

    return fault


def connections_cut(arena: Arena, tally: Tally) -> None:
    """Cut all waiting connections: a client that can't know the outcome must get an error."""
    with Proxy(arena.server.port) as proxy:

        def cut(fleet: Fleet) -> None:
            wait_until_all_wait(arena.server)
            fleet.done["connections cut"] += proxy.cut()
            fleet.wait_for_errors(WRITERS)
            wait_until_all_wait(arena.server, 2 * WRITERS)  # the old sessions still wait

        crash(arena, tally, arena.place(proxy.url(arena.url), early=True), *JOBS, meanwhile=cut)


def pool_killed(arena: Arena, tally: Tally) -> None:
    """Kill a PgBouncer in transaction mode with SIGKILL while all clients wait behind it."""
    assert isinstance(arena.server, PostgreSQL)
    with PgBouncer(arena.server, default_pool_size=2 * WRITERS, server_idle_timeout=1) as pool:

        def kill(fleet: Fleet) -> None:
            wait_until_all_wait(arena.server)
            pool.kill()
            fleet.done["pools killed"] += 1
            pool.start()
            fleet.wait_for_errors(WRITERS)
            wait_until_all_wait(arena.server, 2 * WRITERS)

        crash(arena, tally, arena.place(pool.url, early=True), *JOBS, meanwhile=kill)


def not_waited_for(way: str) -> Fault:
    """Return the fault of an allocator that releases the counter and doesn't wait for the disk.

    Both rules must detect it; otherwise the other faults have proved nothing.
    """

    def fault(arena: Arena, tally: Tally) -> None:
        planted, failed = Tally(tally.fault, tally.site), arena.failed
        place = arena.place(backend="tests.faults.broken.NotWaitedFor", early=True)
        crash(
            arena,
            planted,
            place,
            way,
            meanwhile=lambda fleet: fleet.wait_for_commits(20),
            # If all takes are undone, the COMMIT waits for the disk, and the writer stands still.
            fates=("transaction", "savepoint"),
        )
        arena.failed = failed  # the outcome is wrong on purpose
        tally.rounds += 1
        tally.seconds += planted.seconds
        tally.done["servers killed"] += planted.done["servers killed"]
        if planted.verdict.lost and planted.too_early:
            tally.done["planted faults caught"] += 1
        else:
            tally.verdict.object(f"not caught, but for {planted.verdict.problems}")

    return fault


def crash(
    arena: Arena,
    tally: Tally,
    place: Place,
    *ways: str,
    meanwhile: Callable[[Fleet], object] | None = None,
    **job: Any,
) -> None:
    """Simulate a power failure while no sync ends, and restart with what was synced.

    By default, the power fails once all writers wait for the disk.
    """
    server, disk = arena.server, disk_of(arena)
    disk.note_what_is_not_synced()

    def act(fleet: Fleet) -> None:
        disk.delay(SLOW)
        fleet.wait_for_commits(fleet.chance.randint(5, 30))
        disk.hold()
        with fleet.standstill():
            if meanwhile:
                meanwhile(fleet)
            else:
                wait_until_all_wait(server)
        server.kill()
        disk.lose_power()
        disk.delay(0)
        server.start()
        disk.delay(SLOW)
        fleet.done["servers killed"] += 1
        fleet.wait_for_commits(10)

    try:
        arena.round(tally, act, place, **early(*ways), **job)
    finally:
        disk.delay(0)


def primary_killed(arena: Arena, tally: Tally) -> None:
    """Kill the primary with SIGKILL while nothing reaches its synchronous standby; promote that."""
    pair = arena.serving
    assert isinstance(pair, Pair)
    urls = pair.primary.url, pair.standby.url

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(20)
        pair.link.close()
        with fleet.standstill():
            wait_until_all_wait(pair.primary)
        pair.fail_over()
        fleet.done["primaries killed"] += 1
        fleet.wait_for_commits(20)

    places = [arena.place(url, early=True) for url in urls]
    arena.round(tally, act, *places, failover=True, **early(*JOBS))


def disk_of(arena: Arena) -> SlowDisk:
    """Return the disk of the arena's server."""
    assert isinstance(arena.server, SlowPostgreSQL)
    return arena.server.disk


def wait_until_all_wait(server: Server, sessions: int = WRITERS) -> None:
    """Wait until so many sessions wait for the disk or the standby, and none for a counter.

    If one waits for the counter, this never happens.
    """
    with closing(connect(server.url)) as connection, closing(connection.cursor()) as cursor:

        def all_wait() -> bool:
            cursor.execute(WAITING)
            (waiting,) = cursor.fetchone()
            connection.rollback()  # without this, the next query sees the same snapshot
            return bool(waiting >= sessions)

        wait_until(all_wait, "Some writers don't wait for the disk")


def early(*ways: str) -> dict[str, Any]:
    """Return the job of writers that take from one counter in these ways."""
    return {
        "size": WRITERS,
        "series": (DOCUMENTS,),
        "ways": tuple(way for job in ways for way in JOBS[job]["ways"]),
        "alone": tuple(way for job in ways for way in JOBS[job]["alone"]),
    }
