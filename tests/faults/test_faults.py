"""No fault makes a hole or a duplicate: each of them once, on each database that knows it."""

from __future__ import annotations

import pytest

from tests.faults import faults, storage
from tests.faults.arena import Arena, Tally

SERVERS = pytest.mark.databases("postgresql", "mariadb", "mysql")


def test_writers_killed(arena: Arena) -> None:
    """Writers killed in mid-transaction leave the exact outcome, and no error to the others."""
    tally = Tally("writers killed", arena.name)
    faults.writers_killed(arena, tally)
    assert tally.verdict.problems == []
    assert tally.done["writers killed in mid-transaction"] > faults.KILLS / 2


@SERVERS
def test_server_killed(arena: Arena) -> None:
    """A server that crashes and comes back has all that was committed, and nothing else."""
    tally = Tally("server killed", arena.name)
    faults.server_killed(arena, tally)
    assert tally.verdict.problems == []


@SERVERS
def test_connections_cut(arena: Arena) -> None:
    """A connection lost before or after any statement leaves all of a transaction, or nothing."""
    tally = Tally("connections cut", arena.name)
    faults.connections_cut(arena, tally)
    assert tally.verdict.problems == []
    assert tally.done["connections cut after COMMIT"] == faults.CUTS


@SERVERS
def test_server_frozen(arena: Arena) -> None:
    """Clients that lose patience with a server that stands still lose no number."""
    tally = Tally("server frozen", arena.name)
    faults.server_frozen(arena, tally)
    assert tally.verdict.problems == []
    assert tally.errors


@SERVERS
def test_writer_frozen(arena: Arena) -> None:
    """A client that stands still with a counter locked delays the others, and that is all."""
    tally = Tally("writer frozen", arena.name)
    faults.writer_frozen(arena, tally)
    assert tally.verdict.problems == []


@pytest.mark.databases("sqlite")
def test_disk_full(arena: Arena) -> None:
    """A full disk ends transactions, and leaves nothing of them."""
    tally = Tally("disk full", arena.name)
    storage.disk_full(arena, tally)
    assert tally.verdict.problems == []


def test_made_read_only(arena: Arena) -> None:
    """A database that refuses to write takes no number, and goes on when it may write again."""
    tally = Tally("made read-only", arena.name)
    storage.made_read_only(arena, tally)
    assert tally.verdict.problems == []


def test_first_use(arena: Arena) -> None:
    """New counters whose first takers race, roll back and die surface no error."""
    tally = Tally("first use", arena.name)
    faults.first_use(arena, tally)
    assert tally.verdict.problems == []


@SERVERS
def test_any_order(arena: Arena) -> None:
    """Transactions that take counters in opposite orders deadlock; run again, they are exact."""
    tally = Tally("any order", arena.name)
    faults.any_order(arena, tally)
    assert tally.verdict.problems == []
    assert tally.retries


def test_one_call(arena: Arena) -> None:
    """get_next_blocks takes the same counters without a deadlock."""
    tally = Tally("one call", arena.name)
    faults.one_call(arena, tally)
    assert tally.verdict.problems == []
    assert not tally.retries
