"""The comparison of the numbers that SequenceField and the other methods have produced."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rich.table import Table

from supervisor import Tally

# The counter of AUTOINCREMENT is in the table sqlite_sequence: https://www.sqlite.org/autoinc.html
SQLITE_NOTE = (
    "The other methods use Django's default settings. Auto-increment is not shown: SQLite allows "
    "only one writer at a time, and a rollback also restores its counter. On a server, it leaves "
    "gaps: make demo DB=postgresql, mariadb or mysql."
)


@dataclass(frozen=True)
class Result:
    """The numbers in a table after a load, in ascending order."""

    way: str
    numbers: list[int]
    tally: Tally

    @cached_property
    def missing(self) -> list[int]:
        """The numbers from 1 to the highest one that no row has."""
        return sorted(set(range(1, max(self.numbers, default=0) + 1)).difference(self.numbers))

    @property
    def duplicates(self) -> int:
        return len(self.numbers) - len(set(self.numbers))


def problems(result: Result, invoices: int) -> list[str]:
    """Return the problems of the numbers, or an empty list if they are exactly 1 … ``invoices``.

    The audit compares them with the counter.
    """
    if result.numbers == list(range(1, invoices + 1)):
        return []
    found = [f"{count:,} {reason}" for reason, count in result.tally.refused.items()]
    if result.missing:
        found.append(f"{_some(result.missing)} missing")
    if result.duplicates:
        found.append(f"{result.duplicates:,} duplicates")
    return found or [f"{_some(result.numbers)} instead of 1 to {invoices:,}"]


def table(title: str, results: list[Result], note: str | None) -> Table:
    """Return the comparison as a table of rich."""
    shown = Table(title=title, caption=note, caption_justify="left")
    shown.add_column()
    for result in results:
        shown.add_column(result.way, justify="right")

    def line(label: str, counts: list[float]) -> None:
        shown.add_row(label, *(f"{count:,.0f}" for count in counts))

    line("requested", [result.tally.answered for result in results])
    line("issued", [len(result.numbers) for result in results])
    for reason in sorted({reason for result in results for reason in result.tally.refused}):
        line(reason, [result.tally.refused[reason] for result in results])
    line("missing numbers", [len(result.missing) for result in results])
    line("duplicate numbers", [result.duplicates for result in results])
    line("issued per second", [result.tally.commits / result.tally.seconds for result in results])
    line("rolled back", [result.tally.rollbacks for result in results])
    line("writers killed", [result.tally.kills for result in results])
    return shown


def verdict(result: Result, invoices: int) -> str:
    """Return a sentence that summarizes a result."""
    found = problems(result, invoices)
    if found:
        return f"{result.way}: {'; '.join(found)}."
    return f"{result.way}: 1 to {invoices:,} with no gap and no duplicate."


def _some(numbers: list[int], limit: int = 8) -> str:
    shown = ", ".join(f"{number:,}" for number in numbers[:limit])
    return f"{shown} and {len(numbers) - limit:,} more" if len(numbers) > limit else shown
