"""The results as tables, for the terminal, the page and docs/performance.rst alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.results import Results

REFERENCE = "django-sequences"
"""What the relative columns compare with."""

SOME_FAILED = " †"
SOME_FAILED_NOTE = "†: some transactions failed, and are not counted."

TITLES = {
    "postgresql": "PostgreSQL",
    "mariadb": "MariaDB",
    "mysql": "MySQL",
    "sqlite": "SQLite",
    "oracle": "Oracle",
}


@dataclass(frozen=True)
class Entry:
    """One cell of a table."""

    text: str
    style: str = ""
    """best, bad, or nothing."""


@dataclass
class Table:
    title: str
    columns: list[str]
    rows: list[list[Entry]] = field(default_factory=list)
    note: str = ""

    def add(self, *entries: str | Entry) -> None:
        self.rows.append([entry if isinstance(entry, Entry) else Entry(entry) for entry in entries])


def title_of(results: Results, database: str) -> str:
    """The database with its version."""
    title = results.databases[database].get("title")
    return str(title) if title else TITLES.get(database, database)


def measured(results: Results) -> list[str]:
    """The databases that gave figures."""
    order = [*TITLES, *results.databases]
    found = [name for name in results.databases if results.databases[name].get("done")]
    return sorted(found, key=order.index)


def contestants(results: Results, database: str, cells: Iterable[Any]) -> list[str]:
    """Who has such cells, in the order of the suite."""
    found = {cell["contestant"] for cell in cells}
    return [
        entry["name"]
        for entry in results.databases[database]["contestants"]
        if entry["name"] in found
    ]


def number(value: float | None) -> str:
    """Three significant digits, thousands apart; what was counted is shown to the last one."""
    if value is None:
        return ""
    if value >= 100 or isinstance(value, int):
        return f"{value:,.0f}".replace(",", "\N{NO-BREAK SPACE}")
    return f"{round(value, 3) + 0.0:.3g}" if value < 10 else f"{value:.1f}"


def failing(found: Iterable[Any]) -> str:
    """The mark of a rate whose cell had transactions that failed."""
    return SOME_FAILED if any(cell.get("errors") for cell in found) else ""


def rates(results: Results, question: str, database: str, shape: dict[str, Any]) -> dict[str, Any]:
    """The arguments of :meth:`Grid.add` for the rows per second in cells of that shape."""
    found = {
        cell["contestant"]: cell for cell in results.cells(question, database=database, **shape)
    }

    def rate(name: str) -> float | None:
        return found[name].get("rate") if name in found else None

    def fault(name: str) -> str:
        if name not in found:
            return "failed"
        if found[name]["exact"] is False:
            return "not exact: " + str(found[name]["fault"])
        return "no row committed" if found[name]["committed"] == 0 else ""

    def mark(name: str) -> str:
        return failing([found[name]] if name in found else [])

    return {"value": rate, "best": max, "fault": fault, "mark": mark}


def times(value: float | None, reference: float | None) -> str:
    """``value`` as a multiple of the reference."""
    return f"{value / reference:.2f}" if value and reference else ""


def bolded(values: dict[str, float | None], best: Callable[..., str], kinds: dict[str, str]) -> str:
    """The best of those that compete: limits and the price of nothing do not."""
    competing = {
        name: value
        for name, value in values.items()
        if value is not None and kinds[name] not in {"limit", "price"}
    }
    return best(competing, key=lambda name: competing[name]) if competing else ""


class Grid:
    """Contestants by columns of figures of one kind, the best of each column in bold."""

    def __init__(self, results: Results, database: str, names: list[str]) -> None:
        self.names = names
        self.kinds = {name: results.kind(database, name) for name in names}
        self.columns: dict[str, list[Entry]] = {}

    def add(
        self,
        column: str,
        value: Callable[[str], float | None],
        *,
        best: Callable[..., str] = min,
        fault: Callable[[str], str] = lambda name: "",
        mark: Callable[[str], str] = lambda name: "",
        relative: bool = False,
    ) -> None:
        """Add a column; with ``relative``, one more of multiples of the reference.

        ``fault`` says what to show in place of the figure, ``mark`` what to put after it.
        """
        values = {name: value(name) for name in self.names}
        winner = bolded(values, best, self.kinds)
        self.columns[column] = [
            Entry(fault(name), "bad")
            if fault(name)
            else Entry(number(values[name]) + mark(name), "best" if name == winner else "")
            for name in self.names
        ]
        if relative:
            self.columns["relative"] = [
                Entry(times(values[name], values.get(REFERENCE))) for name in self.names
            ]

    def label(self, name: str) -> str:
        """The name, with what it is unless it is a peer."""
        kind = self.kinds[name]
        return name if kind in {"peer", ""} else f"{kind}: {name}"

    def table(self, title: str, note: str = "") -> Table:
        shown = {name: cells for name, cells in self.columns.items() if any(c.text for c in cells)}
        table = Table(title, ["", *shown], note=note)
        for row, name in enumerate(self.names):
            table.add(self.label(name), *(cells[row] for cells in shown.values()))
        return table
