"""MySQL Group Replication: a primary that is lost, and primaries everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.arena import Arena, Tally
from tests.faults.fleet import Fleet
from tests.faults.tables import Place
from tests.servers.group_replication import Group

COMMITS = 150
"""How many transactions make a round in which nothing else happens."""


@contextmanager
def group(*, multi: bool = False) -> Iterator[Arena]:
    """A group of three, and its arena."""
    with Arena("group replication", Group(multi=multi, durable=True)) as arena:
        yield arena


def _group(arena: Arena) -> Group:
    assert isinstance(arena.serving, Group)
    return arena.serving


def _members(arena: Arena) -> list[Place]:
    return [arena.place(member.url) for member in _group(arena).members]


def primary_killed(arena: Arena, tally: Tally) -> None:
    """SIGKILL of the primary; the group chooses another, and the writers find it."""
    group = _group(arena)

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(20)
        lost = group.primary()
        lost.kill()
        fleet.done["primaries killed"] += 1
        fleet.wait_for_commits(20)
        lost.start()
        lost.join()
        fleet.wait_for_commits(10)

    arena.round(tally, act, *_members(arena), failover=True)


def writers_everywhere(arena: Arena, tally: Tally) -> None:
    """Writers on all members of a group in which each is a primary; without savepoints.

    MySQL 9.7 keeps silent when SAVEPOINT is the first statement after a transaction has lost to
    another member's: the rest of it then commits alone.
    """
    arena.round(
        tally,
        lambda fleet: fleet.wait_for_commits(COMMITS),
        *_members(arena),
        surfacing="conflicts",
        attempts=1000,
        fates=("transaction",),
    )


def writers_on_one_member(arena: Arena, tally: Tally) -> None:
    """All writers on one of them."""
    arena.round(
        tally,
        lambda fleet: fleet.wait_for_commits(COMMITS),
        _members(arena)[0],
        surfacing="conflicts",
        attempts=1000,
    )
