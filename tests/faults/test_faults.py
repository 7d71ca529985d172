"""No fault causes a gap or a duplicate: each fault once, on each database that supports it."""

from __future__ import annotations

import pytest

from tests.faults import faults, storage
from tests.faults.arena import Arena, Tally

SERVERS = pytest.mark.databases("postgresql", "mariadb", "mysql")


def test_writers_killed(arena: Arena) -> None:
    """If writers are killed in mid-transaction, the outcome is exact; others get no errors."""
    tally = Tally("writers killed", arena.name)
    faults.writers_killed(arena, tally)
    assert tally.verdict.problems == []
    assert tally.done["writers killed in mid-transaction"] > faults.KILLS / 2


@SERVERS
def test_server_killed(arena: Arena) -> None:
    """After a crash and a restart, the server has exactly the committed transactions."""
    tally = Tally("server killed", arena.name)
    faults.server_killed(arena, tally)
    assert tally.verdict.problems == []


@SERVERS
def test_connections_cut(arena: Arena) -> None:
    """A connection lost before or after any statement leaves a whole transaction or nothing."""
    tally = Tally("connections cut", arena.name)
    faults.connections_cut(arena, tally)
    assert tally.verdict.problems == []
    assert tally.done["connections cut after COMMIT"] == faults.CUTS


@SERVERS
def test_server_frozen(arena: Arena) -> None:
    """Clients that time out on a suspended server lose no number."""
    tally = Tally("server frozen", arena.name)
    faults.server_frozen(arena, tally)
    assert tally.verdict.problems == []
    assert tally.errors


@SERVERS
def test_writer_frozen(arena: Arena) -> None:
    """A suspended client that holds a counter delays the others, and has no other effect."""
    tally = Tally("writer frozen", arena.name)
    faults.writer_frozen(arena, tally)
    assert tally.verdict.problems == []


@pytest.mark.databases("sqlite")
def test_disk_full(arena: Arena) -> None:
    """A full disk fails transactions, and nothing of them remains."""
    tally = Tally("disk full", arena.name)
    storage.disk_full(arena, tally)
    assert tally.verdict.problems == []


def test_made_read_only(arena: Arena) -> None:
    """A read-only database takes no number, and continues when it becomes writable."""
    tally = Tally("made read-only", arena.name)
    storage.made_read_only(arena, tally)
    assert tally.verdict.problems == []


def test_first_use(arena: Arena) -> None:
    """New counters that several transactions create, roll back or lose at once cause no errors."""
    tally = Tally("first use", arena.name)
    faults.first_use(arena, tally)
    assert tally.verdict.problems == []


@SERVERS
def test_any_order(arena: Arena) -> None:
    """Transactions that take counters in opposite orders deadlock; retries make them exact."""
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
