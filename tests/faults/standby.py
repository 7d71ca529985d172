"""PostgreSQL with a standby: the data that survives the loss of the primary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.arena import Arena, Tally
from tests.faults.fleet import Fleet
from tests.servers.standby import Pair


@contextmanager
def pair(*, synchronous: bool) -> Iterator[Arena]:
    """Start a primary and its standby, and return their arena."""
    with Arena("postgresql with standby", Pair(synchronous=synchronous, durable=True)) as arena:
        yield arena
        arena.failed &= synchronous  # an asynchronous standby is expected to lose commits


def primary_killed(arena: Arena, tally: Tally) -> None:
    """Kill the primary with SIGKILL just after its connection to the standby; promote the standby.

    Commits wait for the connection to a synchronous standby, but not to an asynchronous one. The
    pair can't be used again.
    """
    pair = arena.serving
    assert isinstance(pair, Pair)
    places = arena.place(pair.primary.url), arena.place(pair.standby.url)

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(20)
        pair.link.hold()
        if not pair.synchronous:
            fleet.wait_for_commits(10)
        pair.fail_over()
        fleet.done["primaries killed"] += 1
        fleet.wait_for_commits(20)

    arena.round(tally, act, *places, failover=True)
