"""No fault causes a gap or a duplicate: each fault once, on each database that supports it."""

from __future__ import annotations

import pytest

from tests.faults import faults
from tests.faults.arena import Arena, Tally
from tests.faults.isolation import LEVELS, knows_snapshots
from tests.faults.sites import FAULTS


@pytest.mark.parametrize(
    ("fault", "arena"),
    [(fault, name) for fault, (_, names) in FAULTS.items() for name in names],
    indirect=["arena"],
)
def test_the_outcome_is_exact(fault: str, arena: Arena) -> None:
    """After any fault, the rows have exactly the numbers of the committed transactions."""
    if "snapshot isolation" in fault and not knows_snapshots(arena):
        pytest.skip("this release has no innodb_snapshot_isolation")
    tally = Tally(fault, arena.name)
    FAULTS[fault][0](arena, tally)
    assert tally.verdict.problems == []
    if fault == "writers killed":
        assert tally.done["writers killed in mid-transaction"] > faults.KILLS / 2
    if fault == "connections cut":
        assert tally.done["connections cut after COMMIT"] == faults.CUTS
    if fault == "server frozen":
        assert tally.errors
    if fault == "any order":
        assert tally.retries
    if fault == "one call" or fault.startswith(LEVELS[0]):
        assert not tally.retries
