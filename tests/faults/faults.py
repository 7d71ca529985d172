"""Faults that may happen while numbers are taken; a fault is a function that runs one round of it.

Clock changes are not among them: no number, order or wait depends on a wall clock. The lock of the
counter's row orders the transactions, and databases and Python measure waits by monotonic clocks.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any, Literal

from sequences_core.table import TABLE
from sequences_core.testing.history import Series
from tests.faults.arena import Arena, Tally
from tests.faults.fleet import Fleet
from tests.servers.errors import wait_until
from tests.servers.proxy import Proxy

Fault = Callable[[Arena, Tally], None]

KILLS = 15
"""The writers killed in a round."""

CUTS = 3
"""The connections cut at each point in a round."""

POINTS: list[tuple[str, Literal["request", "reply"], bytes]] = [
    ("before taking", "request", TABLE.encode()),
    ("after taking", "reply", TABLE.encode()),
    ("before COMMIT", "request", b"COMMIT"),
    ("after COMMIT", "reply", b"COMMIT"),
]
"""The points at which connections are cut, and what is lost there."""

STANDSTILL = 1.0
"""Seconds for which a server, or a client that holds locks, is suspended."""


def writers_killed(arena: Arena, tally: Tally) -> None:
    """Kill writers with SIGKILL in mid-transaction."""

    def act(fleet: Fleet) -> None:
        for _ in range(KILLS):
            fleet.kill()
            fleet.wait_for_commits(fleet.chance.randint(0, 5))

    arena.round(tally, act, surfacing="nothing")


def server_killed(arena: Arena, tally: Tally) -> None:
    """Kill all processes of the server with SIGKILL, and restart it with the data on the disk."""
    server = arena.server

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(fleet.chance.randint(5, 30))
        server.kill()
        fleet.done["servers killed"] += 1
        server.start()
        fleet.wait_for_commits(10)

    arena.round(tally, act)


def connections_cut(arena: Arena, tally: Tally) -> None:
    """Cut connections where a request or its reply can be lost, and all connections at once."""
    with Proxy(arena.server.port) as proxy:

        def act(fleet: Fleet) -> None:
            for _ in range(CUTS):
                for point, what, marker in POINTS:
                    proxy.lose(what, marker)
                    wait_until(lambda: not proxy.is_armed, "No connection was cut")
                    fleet.done[f"connections cut {point}"] += 1
                fleet.done["connections cut anywhere"] += proxy.cut()
                fleet.wait_for_commits(5)

        arena.round(tally, act, arena.place(proxy.url(arena.url)))


def server_frozen(arena: Arena, tally: Tally) -> None:
    """Suspend the server (SIGSTOP) for longer than its clients' timeouts."""
    server = arena.server

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(fleet.chance.randint(5, 30))
        server.signal(signal.SIGSTOP)
        time.sleep(STANDSTILL)
        server.signal(signal.SIGCONT)
        fleet.done["servers frozen"] += 1
        fleet.wait_for_commits(10)

    arena.round(tally, act, arena.place(options=SHORT_TIMEOUTS[arena.kind]))


def writer_frozen(arena: Arena, tally: Tally) -> None:
    """Suspend a client that holds locks (SIGSTOP); the others wait, or use a timeout or nowait."""

    def act(fleet: Fleet) -> None:
        for _ in range(2):
            pid = fleet.freeze()
            time.sleep(STANDSTILL / 2)
            os.kill(pid, signal.SIGCONT)
            fleet.done["writers frozen"] += 1
            fleet.wait_for_commits(10)

    arena.round(tally, act)


def first_use(arena: Arena, tally: Tally) -> None:
    """Let all writers use new counters at the same time, and roll some of them back."""

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(100)
        fleet.kill()
        fleet.wait_for_commits(100)

    series = tuple(Series(f"new {number}") for number in range(2000))
    arena.round(tally, act, surfacing="nothing", series=series, window=0.02)


def any_order(arena: Arena, tally: Tally) -> None:
    """Take several counters in one transaction, in any order: it causes deadlocks and retries."""

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(50)
        fleet.wait_for_a_retry()

    place = arena.place(options=QUICK[arena.kind])
    arena.round(
        tally, act, place, surfacing="conflicts", series=SEVERAL, ordered=False, attempts=500
    )


def one_call(arena: Arena, tally: Tally) -> None:
    """Take the same counters with get_next_blocks, which sorts them: no deadlock."""

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(50)

    arena.round(tally, act, surfacing="nothing", series=SEVERAL, together=True, attempts=1)


SEVERAL = (Series("invoices"), Series("lines"), Series("customers"))

QUICK: dict[str, dict[str, Any]] = {
    # PostgreSQL checks for a deadlock after a wait of 1 s.
    "postgresql": {"options": "-c deadlock_timeout=20ms"},
    "mysql": {},
}
"""Django's OPTIONS with which deadlocks are detected soon."""

SHORT_TIMEOUTS: dict[str, dict[str, Any]] = {
    # The driver has no read timeout; the server's timeouts take effect when it resumes.
    "postgresql": {
        "options": "-c statement_timeout=300ms -c idle_in_transaction_session_timeout=300ms"
    },
    "mysql": {"read_timeout": 1, "write_timeout": 1},
}
"""Django's OPTIONS for clients whose timeouts are shorter than STANDSTILL."""
