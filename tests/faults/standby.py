"""PostgreSQL with a standby: what is left when the primary is lost."""

from __future__ import annotations

from tests.faults.arena import Arena, Tally
from tests.faults.fleet import Fleet
from tests.servers.standby import Pair


def primary_killed(tally: Tally, *, synchronous: bool) -> None:
    """SIGKILL of the primary, just after the link to the standby has gone; the standby goes on.

    With a synchronous standby, commits wait for the link. Without, they don't.
    """
    pair = Pair(synchronous=synchronous, durable=True)
    with Arena("postgresql with standby", pair) as arena:
        assert pair.standby
        places = arena.place(pair.primary.url), arena.place(pair.standby.url)

        def act(fleet: Fleet) -> None:
            assert pair.link
            fleet.wait_for_commits(20)
            pair.link.hold()
            if not synchronous:
                fleet.wait_for_commits(10)
            pair.fail_over()
            fleet.done["primaries killed"] += 1
            fleet.wait_for_commits(20)

        arena.round(tally, act, *places, failover=True)
