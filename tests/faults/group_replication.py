"""MySQL Group Replication: a primary that is lost, and primaries everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.arena import Arena, Tally
from tests.faults.fleet import Fleet
from tests.servers.group_replication import Group

COMMITS = 150
"""How many transactions make a round in which nothing else happens."""


@contextmanager
def group(*, multi: bool = False) -> Iterator[tuple[Arena, Group]]:
    """A group of three, and its arena."""
    members = Group(multi=multi, durable=True)
    with Arena("group replication", members) as arena:
        yield arena, members


def primary_killed(arena: Arena, tally: Tally, group: Group) -> None:
    """SIGKILL of the primary; the group chooses another, and the writers find it."""
    places = [arena.place(member.url) for member in group.members]

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(20)
        lost = group.primary()
        lost.kill()
        fleet.done["primaries killed"] += 1
        fleet.wait_for_commits(20)
        lost.start()
        lost.join()
        fleet.wait_for_commits(10)

    arena.round(tally, act, *places, failover=True)


def writers_everywhere(arena: Arena, tally: Tally, group: Group) -> None:
    """Writers on all members of a group in which each is a primary; without savepoints.

    MySQL 9.7 keeps silent when SAVEPOINT is the first statement after a transaction has lost to
    another member's: the rest of it then commits alone.
    """
    places = [arena.place(member.url) for member in group.members]
    arena.round(
        tally,
        lambda fleet: fleet.wait_for_commits(COMMITS),
        *places,
        surfacing="conflicts",
        attempts=1000,
        fates=("transaction",),
    )


def writers_on_one_member(arena: Arena, tally: Tally, group: Group) -> None:
    """All writers on one of them."""
    arena.round(
        tally,
        lambda fleet: fleet.wait_for_commits(COMMITS),
        arena.place(group.members[0].url),
        surfacing="conflicts",
        attempts=1000,
    )
