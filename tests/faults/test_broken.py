"""The checker detects broken allocators even without other faults."""

from __future__ import annotations

import pytest

from sequences_core.testing.history import Series
from tests.faults.arena import Arena, Tally
from tests.faults.fleet import Fleet

SERIES = (Series("invoices"), Series("été", 1000), Series("tickets", 0))


@pytest.mark.databases("postgresql", "mariadb", "mysql")
@pytest.mark.parametrize(
    ("allocator", "symptoms"),
    [
        ("MaxPlusOne", {"duplicates"}),
        ("Autocommit", {"holes"}),
        ("LostUpdate", {"duplicates"}),
    ],
)
def test_a_broken_allocator_is_caught(arena: Arena, allocator: str, symptoms: set[str]) -> None:
    """Each flaw has its own effect on the numbers."""
    tally = Tally(allocator, arena.name)

    def act(fleet: Fleet) -> None:
        fleet.wait_for_commits(100)

    failed = arena.failed
    verdict = arena.round(
        tally,
        act,
        arena.place(backend=f"tests.faults.broken.{allocator}"),
        series=SERIES,
        ways=("single", "batch"),
    )
    arena.failed = failed  # the outcome is wrong on purpose
    assert {name for name in ("holes", "duplicates") if getattr(verdict, name)} >= symptoms
