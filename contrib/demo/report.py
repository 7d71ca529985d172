"""What the numbers look like afterwards, ours beside plain auto-increment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from rich.table import Table

from supervisor import Tally

# The counter is in the table sqlite_sequence: https://www.sqlite.org/autoinc.html
SQLITE_NOTE = (
    "SQLite lets one transaction write at a time, and its AUTOINCREMENT counter is a row that "
    "rolls back with it: no holes under this load. DB=postgresql, mariadb or mysql shows them."
)


@dataclass(frozen=True)
class Result:
    """The numbers in a table after a load, and where the counter stands, if there is one."""

    numbers: list[int]
    tally: Tally
    counter: int | None = None

    @property
    def rows(self) -> int:
        return len(self.numbers)

    @property
    def highest(self) -> int:
        return max(self.numbers, default=0)

    @cached_property
    def missing(self) -> list[int]:
        return sorted(set(range(1, self.highest + 1)).difference(self.numbers))

    @property
    def duplicates(self) -> int:
        return self.rows - len(set(self.numbers))

    @property
    def rows_per_second(self) -> float:
        return self.tally.commits / self.tally.seconds


COUNTS: dict[str, Callable[[Result], float]] = {
    "rows": lambda result: result.rows,
    "highest number": lambda result: result.highest,
    "missing numbers": lambda result: len(result.missing),
    "duplicates": lambda result: result.duplicates,
    "rows per second": lambda result: result.rows_per_second,
    "rolled back": lambda result: result.tally.rollbacks,
    "writers killed": lambda result: result.tally.kills,
}
"""The lines of the table."""


def problems(result: Result, invoices: int) -> list[str]:
    """Return what is wrong with gapless numbers; nothing if they are exactly 1 … ``invoices``."""
    found = []
    if result.rows != invoices:
        found.append(f"{result.rows:,} rows instead of {invoices:,}")
    if result.missing:
        found.append(f"{_some(result.missing)} missing")
    if result.duplicates:
        found.append(f"{result.duplicates:,} duplicates")
    if min(result.numbers, default=1) < 1:
        found.append(f"the lowest number is {min(result.numbers)}")
    if result.counter != result.highest:
        found.append(f"the counter is at {result.counter}, the highest number is {result.highest}")
    return found


def table(title: str, ours: Result, plain: Result, note: str | None) -> Table:
    """Return the comparison, for rich to print."""
    shown = Table(title=title, caption=note, caption_justify="left")
    shown.add_column()
    shown.add_column("sequences_core", justify="right")
    shown.add_column("plain auto-increment", justify="right")
    for label, read in COUNTS.items():
        shown.add_row(label, f"{read(ours):,.0f}", f"{read(plain):,.0f}")
    return shown


def verdict(ours: Result, plain: Result, invoices: int) -> str:
    """Return what the table means, in a sentence or two."""
    found = problems(ours, invoices)
    if found:
        return f"FAILED, sequences_core: {'; '.join(found)}."
    gapless = f"sequences_core: 1 to {ours.highest:,} with no hole and no duplicate."
    if not plain.missing:
        return gapless
    return f"{gapless} Plain auto-increment lost {_some(plain.missing)}."


def _some(numbers: list[int], limit: int = 8) -> str:
    shown = ", ".join(f"{number:,}" for number in numbers[:limit])
    return f"{shown} and {len(numbers) - limit:,} more" if len(numbers) > limit else shown
