"""Two runs side by side."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from benchmarks.report.tables import Entry, Table, number
from benchmarks.report.terminal import shown
from benchmarks.results import Cell, Results

FIGURES = {"contention": "rate"}
"""What is compared: rows per second, where more is better; else the median, where less is."""

KEYS = (
    *("database", "question", "contestant", "layer", "variant", "mode", "growth", "size"),
    *("storage", "writers", "counters", "latency", "rollbacks", "rows"),
)
"""What a cell is of; the rest is what was measured."""

NOTABLE = 0.10
"""Changes up to this part of the figure are noise on most machines."""


def show(a: Results, b: Results) -> None:
    """Print each cell that both runs have, and how they differ."""
    console = Console()
    for table in comparison(a, b):
        console.print(shown(table))


def comparison(a: Results, b: Results) -> list[Table]:
    """One table per question and database."""
    before = {identity(cell): cell for cell in a.data["cells"]}
    found: dict[tuple[str, str], Table] = {}
    for cell in b.data["cells"]:
        other = before.get(identity(cell))
        figure = FIGURES.get(cell["question"], "median")
        if other is None or not other.get(figure) or not cell.get(figure):
            continue
        place = (cell["database"], cell["question"])
        title = f"{place[0]}: {place[1]}, {figure}"
        table = found.setdefault(place, Table(title, ["", "A", "B", "B / A"]))
        ratio = cell[figure] / other[figure]
        better = ratio > 1 if figure == "rate" else ratio < 1
        style = ("best" if better else "bad") if abs(ratio - 1) > NOTABLE else ""
        text = ", ".join(str(value) for _, value in identity(cell)[2:])
        table.add(text, number(other[figure]), number(cell[figure]), Entry(f"{ratio:.2f}", style))
    return list(found.values())


def identity(cell: Cell) -> tuple[tuple[str, Any], ...]:
    """The same for the cells of two runs that measured the same."""
    return tuple((key, cell[key]) for key in KEYS if key in cell)
