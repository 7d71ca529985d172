"""The charts: each has at most five labelled lines and a title that states the finding.

The colours are those of Okabe and Ito, which colour-blind readers can distinguish.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from benchmarks.report.ratios import (
    EARLY,
    FIELD,
    FUNCTION,
    REFERENCE,
    Promise,
    faster,
    on_slow_disk,
)
from benchmarks.report.tables import measured, rate, title_of
from benchmarks.results import Cell, Results
from benchmarks.scale import BUSIEST
from tests.pages import TITLES

COLOURS = {
    FIELD: "#0072B2",
    FIELD + EARLY: "#56B4E9",
    FUNCTION: "#009E73",
    REFERENCE: "#D55E00",
    "django-autosequence": "#CC79A7",
    "auto-increment": "#8A8A8A",
}
"""The colour of each contestant in all charts."""

SHOWN = (FIELD, FUNCTION, REFERENCE, "django-autosequence", "auto-increment")

NETWORK, SLOW = ", 1 ms of network", ", 1 ms more for a sync"

SETTINGS: Any = {
    "font.family": "sans-serif",
    # A browser may lack the first font; the letters of the second are equally wide.
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "svg.fonttype": "none",
    "svg.hashsalt": "benchmarks",
}

AXES = {"writers": "writers (processes)", "ms": "network round trip, ms"}

Lines = dict[str, list[tuple[float, float]]]
"""The points of each contestant: the varied quantity, and the rows per second."""


@dataclass(frozen=True)
class Chart:
    name: str
    finding: str
    panels: dict[str, Lines]
    x: str

    def draw(self) -> Figure:
        """Draw the panels, side by side or two by two."""
        rows, columns = (2, 2) if len(self.panels) > 2 else (1, len(self.panels))
        figure = Figure(figsize=(10, 3 * rows + 0.7), layout="constrained")
        title = textwrap.fill(self.finding, 95)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        figure.subplots(rows, columns)
        for place in figure.axes[len(self.panels) :]:
            place.remove()
        for place, (name, lines) in zip(figure.axes, self.panels.items(), strict=True):
            draw(place, lines)
            place.set(title=name, xlabel=AXES[self.x], ylabel="rows per second")
        return figure


def draw(axes: Axes, lines: Lines) -> None:
    """Draw one panel."""
    for name, points in lines.items():
        style = "--" if name == "auto-increment" else "-"
        width = 2.4 if name.startswith(FIELD) else 1.6
        axes.plot(*zip(*points, strict=True), style, color=COLOURS[name], linewidth=width)
    ticks = sorted({x for points in lines.values() for x, _ in points})
    axes.set_xscale("linear" if 0 in ticks else "log")
    axes.set_yscale("log")
    axes.set_xticks(ticks)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(EngFormatter(sep=""))
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = {name: to_axes.transform(points[-1])[1] for name, points in lines.items()}
    lowest = -1.0
    for name in sorted(heights, key=lambda name: heights[name]):
        lowest = max(heights[name], lowest + 0.085)  # keeps the labels apart
        text = name + " (gaps)" * (name == "auto-increment")
        axes.text(1.02, lowest, text, color=COLOURS[name], transform=axes.transAxes, va="center")


def save(results: Results) -> None:
    """Save the charts as SVG files beside the results."""
    with mpl.rc_context(SETTINGS):
        for chart in charts(results):
            file = results.path.parent / f"{chart.name}.svg"
            chart.draw().savefig(file, metadata={"Date": None})


def charts(results: Results) -> list[Chart]:
    """Return the charts that have data."""
    writers = by_database(results, "writers", latency=0)
    network = by_database(results, "latency", writers=BUSIEST)
    here, far = faster(FIELD, REFERENCE), faster(FIELD, REFERENCE, 1)
    early, slow = on_slow_disk(1, BUSIEST, FIELD + EARLY, FIELD, 0), by_sync(results)
    made = [
        Chart("writers", finding(results, FIELD, REFERENCE, here), writers, "writers"),
        Chart("network", finding(results, FIELD, REFERENCE, far, NETWORK), network, "ms"),
        Chart("disk", finding(results, FIELD + EARLY, FIELD, early, SLOW), slow, "writers"),
    ]
    return [chart for chart in made if chart.panels]


def finding(results: Results, ours: str, theirs: str, promise: Promise, where: str = "") -> str:
    """Return a title that compares the rows of two contestants on each database."""
    found = {name: promise.of(results, name) for name in measured(results)}
    parts = [f"{value:.1f}× on {TITLES[name]}" for name, value in found.items() if value]
    listed = " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))
    listed = listed.replace("×", f"× the rows of {theirs}", 1)
    return f"{BUSIEST} writers, one counter{where}: {ours} commits {listed}"


def by_database(results: Results, x: str, **shape: Any) -> dict[str, Lines]:
    """Return a panel for each database with a line of more than one point."""
    panels = {}
    for database in measured(results):
        place = {"database": database, "counters": "one", "rollbacks": False, **shape}
        lines = lines_of(results.cells("contention", **place), SHOWN, x)
        if any(len(points) > 1 for points in lines.values()):
            panels[title_of(results, database)] = lines
    return panels


def by_sync(results: Results) -> dict[str, Lines]:
    """Return a panel for each delay of a sync."""
    shown = (FIELD + EARLY, FIELD, FUNCTION, REFERENCE, "auto-increment")
    cells: dict[str, list[Cell]] = {}
    for cell in results.cells("disk"):
        delay = f"{cell['sync']} ms more for each sync" if cell["sync"] else "no delay"
        cells.setdefault(delay, []).append(cell)
    return {delay: lines_of(found, shown, "writers") for delay, found in cells.items()}


def lines_of(cells: list[Cell], shown: Iterable[str], x: str) -> Lines:
    """Return the points of each contestant, without cells whose numbers weren't exact."""
    lines: Lines = {}
    for name in shown:
        found = [(cell[x], rate(cell)) for cell in cells if cell["contestant"] == name]
        if points := sorted((at, value) for at, value in found if value):
            lines[name] = points
    return lines
