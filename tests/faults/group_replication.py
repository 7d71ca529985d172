"""MySQL Group Replication: a lost primary, and a group in which all members are primaries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.arena import Arena, Tally
from tests.faults.fleet import Fleet
from tests.faults.tables import Place
from tests.servers.group_replication import Group

COMMITS = 150
"""The transactions of a round without other faults."""


@contextmanager
def group(*, multi: bool = False) -> Iterator[Arena]:
    """Start a group of three members, and return its arena."""
    with Arena("group replication", Group(multi=multi, durable=True)) as arena:
        yield arena


def _group(arena: Arena) -> Group:
    assert isinstance(arena.serving, Group)
    return arena.serving


def _members(arena: Arena) -> list[Place]:
    return [arena.place(member.url) for member in _group(arena).members]


def primary_killed(arena: Arena, tally: Tally) -> None:
    """Kill the primary with SIGKILL; the group elects another, and the writers connect to it."""
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
    """Run writers, without savepoints, on all members of a group in multi-primary mode.

    MySQL 9.7 reports no error if SAVEPOINT is the first statement after the transaction has lost a
    conflict with another member: the remaining statements then commit alone.
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
    """Run all writers on one member."""
    arena.round(
        tally,
        lambda fleet: fleet.wait_for_commits(COMMITS),
        _members(arena)[0],
        surfacing="conflicts",
        attempts=1000,
    )
