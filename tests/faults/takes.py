"""The ways to take numbers: each takes, records the numbers, and inserts the rows.

A way is a function of the writer's attempt and a series; ``WAYS`` contains them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sequences_core import Allocator, NextValue, get_next_blocks, get_next_value, get_next_values
from sequences_core.testing.history import Series
from tests.faults.tables import Document, Numbered

if TYPE_CHECKING:
    from tests.faults.writer import Attempt

Way = Callable[["Attempt", Series], None]


def single(attempt: Attempt, series: Series) -> None:
    """Take one number."""
    number = get_next_value(series.name, series.initial, series.reset)
    _insert(attempt, series, range(number, number + 1))


def batch(attempt: Attempt, series: Series) -> None:
    """Take several numbers at once."""
    count = attempt.chance.randint(2, 5)
    _insert(attempt, series, get_next_values(count, series.name, series.initial))


def computed(attempt: Attempt, series: Series) -> None:
    """Take one number, whose initial value is a callable."""
    number = get_next_value(series.name, lambda: series.initial)
    _insert(attempt, series, range(number, number + 1))


def limited(attempt: Attempt, series: Series) -> None:
    """Take one number with a limit on the wait."""
    number = get_next_value(
        series.name, series.initial, series.reset, timeout=attempt.chance.choice([0, 0.05, 5])
    )
    _insert(attempt, series, range(number, number + 1))


def in_statement(attempt: Attempt, series: Series) -> None:
    """Let the database take one number inside the INSERT, and read it back."""
    value = NextValue(series.name, series.initial, series.reset)
    row = Numbered(counter=series.name, number=value, transaction=attempt.name)
    row.save(force_insert=True)
    row.refresh_from_db(fields=["number"])
    assert isinstance(row.number, int)
    attempt.taken(series, range(row.number, row.number + 1))


def by_field(attempt: Attempt, series: Series) -> None:
    """Create one row with a SequenceField."""
    document = Document._base_manager.create(transaction=attempt.name)
    attempt.taken(series, range(document.number, document.number + 1))


def by_field_in_bulk(attempt: Attempt, series: Series) -> None:
    """Create several rows with a SequenceField at once."""
    rows = [Document(transaction=attempt.name) for _ in range(ROWS["bulk field"])]
    Document._base_manager.bulk_create(rows)
    attempt.taken(series, range(rows[0].number, rows[-1].number + 1))


def take_together(attempt: Attempt, series: Sequence[Series]) -> None:
    """Take several numbers of several series in one call."""
    sizes = {one.name: attempt.chance.randint(1, 3) for one in series}
    blocks = get_next_blocks(sizes)
    for one in series:
        _insert(attempt, one, blocks[one.name])


WAYS: dict[str, Way] = {
    "single": single,
    "batch": batch,
    "computed": computed,
    "limited": limited,
    "in statement": in_statement,
    "field": by_field,
    "bulk field": by_field_in_bulk,
}

DOCUMENTS = Series("documents")
"""The series of the SequenceField; its ways are for jobs with this series only."""

ROWS = {"in statement": 1, "field": 1, "bulk field": 3}
"""The ways that are atomic in autocommit, and the number of rows that each inserts."""

LOOPING = frozenset({"single", "limited", "in statement"})
"""The ways that can restart at a reset value."""


def ways_of(allocator: Allocator) -> list[str]:
    """Return the ways that an allocator supports for any series."""
    known = {"limited": allocator.can_limit_wait, "in statement": allocator.supports_function}
    known |= {"field": False, "bulk field": False}
    return [way for way in WAYS if known.get(way, True)]


def _insert(attempt: Attempt, series: Series, numbers: range) -> None:
    attempt.taken(series, numbers)
    Numbered._base_manager.bulk_create(
        Numbered(counter=series.name, number=number, transaction=attempt.name) for number in numbers
    )
