"""PostgreSQL with a standby: what is left when the primary is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.arena import Arena, Tally
from tests.faults.fleet import Fleet
from tests.servers.standby import Pair


@contextmanager
def pair(*, synchronous: bool) -> Iterator[Arena]:
    """A primary and its standby, and their arena."""
    with Arena("postgresql with standby", Pair(synchronous=synchronous, durable=True)) as arena:
        yield arena
        arena.failed &= synchronous  # what is lost without is no riddle


def primary_killed(arena: Arena, tally: Tally) -> None:
    """SIGKILL of the primary, just after the link to the standby has gone; the standby goes on.

    With a synchronous standby, commits wait for the link. Without, they don't. What is left is
    no pair any more.
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
