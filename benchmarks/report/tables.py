"""Figures, and tables that compare contestants on several databases."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.results import Cell, Results, inexact
from tests.pages import TITLES, Entry, Table

SOME_FAILED = " †"
SOME_FAILED_NOTE = "†: some transactions failed; they are not counted."

PREFIXES = {"ours": "", "third party": "", "peer": "", "price": "price: ", "limit": "limit: "}
"""The prefix of a row for each kind of contestant, in the order of the rows."""

Value = Callable[[Cell], float | None]


def of(name: str, scale: float = 1) -> Value:
    """Return a function that reads a figure of a cell and scales it."""
    return lambda cell: cell[name] * scale if name in cell else None


median, milliseconds = of("median"), of("median", 1e-3)
"""The time of one call: in µs, as it is stored, and in ms."""


def rate(cell: Cell) -> float | None:
    """Return the rows per second."""
    timed = cell.get("rows") and "median" in cell
    return cell["rows"] / cell["median"] * 1e6 if timed else cell.get("rate")


def number(value: float) -> str:
    """Format a number with three significant digits, or an integer with all digits."""
    if value >= 100 or isinstance(value, int):
        return f"{value:,.0f}".replace(",", "\N{NO-BREAK SPACE}")
    return f"{round(value, 3) + 0.0:.3g}" if value < 10 else f"{value:.1f}"


def title_of(results: Results, database: str) -> str:
    """Return the title of the database with its version."""
    return str(results.databases[database].get("title") or TITLES.get(database, database))


def measured(results: Results) -> list[str]:
    """Return the databases that have figures."""
    found = {cell["database"] for cell in results.data["cells"]}
    return sorted(found, key=[*TITLES, *results.databases].index)


def pivot(
    results: Results,
    title: str,
    cells: Iterable[Cell],
    *,
    value: Value = rate,
    best: Callable[..., Any] | None = max,
    row: Callable[[Cell], str] | None = None,
    column: Callable[[Cell], str] = lambda cell: TITLES[cell["database"]],
    note: str = "",
) -> Table:
    """Return a table of one figure, with the best of each column in bold.

    By default a row is a contestant. Limits and numberings with gaps, which have prefixes, are
    never the best. A row without any figure is left out.
    """
    cells = sorted(cells, key=lambda cell: measured(results).index(cell["database"]))
    kinds = results.kinds()
    for cell in cells:
        kinds.setdefault(cell["contestant"], "ours")  # such as audit
    columns = list(dict.fromkeys(map(column, cells)))
    if row is None:
        labels = labels_of(kinds)
        cells.sort(key=lambda cell: list(labels).index(cell["contestant"]))
    row = row or (lambda cell: labels[cell["contestant"]])
    found = {(row(cell), column(cell)): cell for cell in cells}
    table = Table(title, ["", *columns], note=note)
    rivals = [cell for cell in cells if best and not PREFIXES[kinds[cell["contestant"]]]]
    winners = {}
    for name in columns:
        figures = [value(cell) for cell in rivals if column(cell) == name]
        winners[name] = (best or max)(filter(None, figures), default=None)
    for name in dict.fromkeys(map(row, cells)):
        shown = [entry(found.get((name, where)), value, winners.get(where)) for where in columns]
        if any(one.text for one in shown):
            table.add(name, *shown)
    if any(SOME_FAILED in one.text for shown_row in table.rows for one in shown_row):
        table.note = f"{note} {SOME_FAILED_NOTE}".strip()
    return table


def labels_of(kinds: dict[str, str]) -> dict[str, str]:
    """Return the contestants with their prefixes, ours first, each followed by its variants."""
    order, bases = list(PREFIXES), [name.partition(",")[0] for name in kinds]
    names = sorted(kinds, key=lambda name: bases.index(name.partition(",")[0]))
    names.sort(key=lambda name: order.index(kinds[name]))
    return {name: PREFIXES[kinds[name]] + name for name in names}


def entry(cell: Cell | None, value: Value, winner: float | None) -> Entry:
    """Return the entry of a cell."""
    figure = value(cell) if cell else None
    if cell and inexact(cell):
        return Entry("not exact", "bad")
    if cell is None or figure is None:
        return Entry("")
    mark = SOME_FAILED if cell.get("errors") else ""
    return Entry(number(figure) + mark, "best" if figure == winner else "")
