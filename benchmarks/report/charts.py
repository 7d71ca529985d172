"""The charts of a run, each with a title that says what it found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.report import findings
from benchmarks.report.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    SETTINGS,
    SKY,
    figure,
    grid,
    legend,
    look_of,
    plain_ticks,
)
from benchmarks.report.tables import contestants, measured, title_of
from benchmarks.results import Results

BUSIEST = 8


def draw(results: Results) -> dict[str, Figure]:
    """All charts that the results allow, by name."""
    makers: dict[str, Callable[[Results], Figure | None]] = {
        "writers": writers,
        "network": network,
        "disk": disk,
        "call": call,
        "snapshot": snapshot,
        "growth": growth,
        "bulk": bulk,
        "overhead": overhead,
    }
    with mpl.rc_context(SETTINGS):
        made = {name: make(results) for name, make in makers.items()}
    return {name: chart for name, chart in made.items() if chart is not None}


def save(charts: dict[str, Figure], folder: Path) -> None:
    """Write each as PNG and SVG."""
    with mpl.rc_context(SETTINGS):
        for name, chart in charts.items():
            picture = folder / f"{name}.png"
            chart.savefig(picture)
            # A third of the size: there are few colours.
            Image.open(picture).convert("RGB").quantize(64).save(picture, optimize=True)
            chart.savefig(folder / f"{name}.svg", metadata={"Date": None})


def writers(results: Results) -> Figure | None:
    """Rows per second by the number of writers on one counter."""
    shape = {"counters": "one", "latency": 0, "rollbacks": False}
    return _rates(results, "writers", shape, findings.writers(results), "writers (processes)")


def network(results: Results) -> Figure | None:
    """Rows per second by the latency of the network."""
    shape = {"counters": "one", "writers": BUSIEST, "rollbacks": False}
    return _rates(
        results, "latency", shape, findings.network(results), "network round trip, ms", log_x=False
    )


def _rates(
    results: Results, key: str, shape: dict[str, Any], title: str, label: str, *, log_x: bool = True
) -> Figure | None:
    found = {
        name: results.cells("contention", database=name, **shape) for name in measured(results)
    }
    found = {name: cells for name, cells in found.items() if len({cell[key] for cell in cells}) > 1}
    if not found:
        return None
    result, axes = _panels(title, len(found))
    for one, (database, cells) in zip(axes, found.items(), strict=False):
        ticks = sorted({cell[key] for cell in cells})
        for name in contestants(results, database, cells):
            _line(one, name, [cell for cell in cells if cell["contestant"] == name], key)
        if log_x:
            one.set_xscale("log", base=2)
        one.set_yscale("log")
        plain_ticks(one, x=ticks)
        grid(one)
        one.set_title(title_of(results, database))
        one.set_xlabel(label)
        one.set_ylabel("numbered rows per second")
    legend(result, axes)
    return result


def disk(results: Results) -> Figure | None:
    """Rows per second by the number of writers on one counter, for each time that a sync takes."""
    found = results.cells("disk", database="postgresql")
    syncs = sorted({cell["sync"] for cell in found})
    if not found:
        return None
    result, axes = _panels(findings.disk(results), len(syncs))
    for one, sync in zip(axes, syncs, strict=True):
        cells = [cell for cell in found if cell["sync"] == sync]
        for name in contestants(results, "postgresql", cells):
            _line(one, name, [cell for cell in cells if cell["contestant"] == name], "writers")
        one.set_xscale("log", base=2)
        one.set_yscale("log")
        plain_ticks(one, x=sorted({cell["writers"] for cell in cells}))
        grid(one)
        one.set_title(f"{sync} ms more for each sync" if sync else "the disk as it is")
        one.set_xlabel("writers (processes)")
        one.set_ylabel("rows per second")
    legend(result, axes)
    return result


def _line(axes: Axes, name: str, cells: list[dict[str, Any]], key: str) -> None:
    look = look_of(name)
    points = sorted((cell[key], cell["rate"]) for cell in cells if "rate" in cell)
    if points:
        x, y = zip(*points, strict=True)
        style: Any = {"color": look.colour, "linestyle": look.line, "linewidth": look.width}
        axes.plot(x, y, label=look.label, marker=look.marker, markersize=5, **style)
    for cell in cells:
        if cell["exact"] is False:
            # On the lower edge: there is no speed to show.
            place: Any = {"transform": axes.get_xaxis_transform(), "clip_on": False}
            place |= {"markersize": 9, "color": "red", "markeredgecolor": look.colour}
            place["label"] = f"{look.label}: not exact"
            axes.plot(cell[key], 0.02, "X", **place)


def _panels(title: str, count: int) -> tuple[Figure, list[Axes]]:
    rows, columns = (2, 2) if count == 4 else (1, count)
    return figure(title, columns, rows=rows, height=3.0 if rows == 2 else 3.4)


def call(results: Results) -> Figure | None:
    """The time of one call, as bars, with the bare statement as the limit."""
    found = {
        database: cells
        for database in measured(results)
        if (cells := results.cells("call", database=database, mode="transaction", variant="plain"))
    }
    if not found:
        return None
    result, axes = _panels(findings.call(results), len(found))
    for one, (database, cells) in zip(axes, found.items(), strict=False):
        medians = {
            cell["contestant"]: cell["median"]
            for cell in reversed(cells)
            if results.kind(database, cell["contestant"]) not in {"limit", "price"}
        }
        _bars(one, medians, "µs")
        limit = next((cell for cell in cells if cell["contestant"].startswith("bare")), None)
        if limit:
            _limit(one, limit["median"], "limit: bare statement")
        one.set_title(title_of(results, database))
        one.set_xlabel("median µs of one call in a transaction")
    legend(result, [axes[0]])
    return result


def _bars(axes: Axes, values: dict[str, float], unit: str) -> None:
    names = list(values)
    colours = [look_of(name).colour for name in names]
    labels = [look_of(name).label for name in names]
    bars = axes.barh(labels, list(values.values()), color=colours, height=0.65)
    texts = [f"{value:.0f} {unit}" for value in values.values()]
    # Over the line of the limit, with room of its own.
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
    axes.bar_label(bars, texts, fontsize=8.5, padding=4, bbox=box)
    axes.margins(x=0.18)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)


def _limit(axes: Axes, value: float, label: str) -> None:
    axes.axvline(value, color=INK, linestyle="--", label=label, zorder=1.5)


def snapshot(results: Results) -> Figure | None:
    """The cost of a call against the calls since a snapshot was opened."""
    found = {
        database: cells
        for database in measured(results)
        if (cells := results.cells("growth", database=database, growth="snapshot"))
    }
    if not found:
        return None
    result, axes = _panels(findings.snapshot(results), len(found))
    for one, (database, cells) in zip(axes, found.items(), strict=False):
        for cell in cells:
            look = look_of(cell["contestant"])
            default = cell["storage"] == "default"
            x, y = zip(*cell["details"]["curve"], strict=True)
            label = look.label + ", PostgreSQL's own storage settings" * default
            colour = SKY if default else look.colour
            one.plot(x, y, color=colour, linestyle=":" if default else "-", label=label)
            if cell["contestant"] == "get_next_value" and not default:
                first, slope = cell["details"]["fit"]
                line = [first + slope * taken for taken in (0, x[-1])]
                one.plot((0, x[-1]), line, color=INK, linewidth=0.8, label="a straight line")
        one.set_ylim(bottom=0)
        plain_ticks(one)
        one.xaxis.set_major_formatter(one.yaxis.get_major_formatter())
        grid(one)
        one.set_title(title_of(results, database))
        one.set_xlabel("numbers taken under the snapshot")
        one.set_ylabel("median µs of one call")
    legend(result, axes)
    return result


def growth(results: Results) -> Figure | None:
    """The cost of a call against the counters in the table, and the numbers taken at once."""
    kinds = {"counters": "counters in the table", "numbers": "numbers taken at once"}
    cells = [cell for kind in kinds for cell in results.cells("growth", growth=kind)]
    if not cells:
        return None
    result, axes = figure(findings.growth(results), 2, height=3.4)
    colours = dict(zip(measured(results), (BLUE, ORANGE, GREEN, SKY, GREY), strict=False))
    for one, (kind, label) in zip(axes, kinds.items(), strict=True):
        for database, colour in colours.items():
            for name, line in (("get_next_value", "-"), ("django-sequences", ":")):
                place = {"database": database, "contestant": name, "growth": kind}
                points = [
                    (cell["size"], cell["median"]) for cell in results.cells("growth", **place)
                ]
                if points:
                    x, y = zip(*sorted(points), strict=True)
                    text = f"{title_of(results, database)}, {name}"
                    one.plot(x, y, line, color=colour, marker="o", markersize=4, label=text)
        one.set_xscale("log")
        one.set_yscale("log")
        sizes = [float(cell["size"]) for cell in cells if cell["growth"] == kind]
        plain_ticks(one, x=sorted(set(sizes)))
        grid(one)
        one.set_xlabel(label)
        one.set_ylabel("median µs of one call")
    legend(result, axes)
    return result


def bulk(results: Results) -> Figure | None:
    """The time of a bulk_create, with the unnumbered one as the limit."""
    found = {
        database: {cell["contestant"]: cell["median"] / 1e3 for cell in reversed(cells)}
        for database in measured(results)
        if (cells := results.cells("bulk", database=database))
    }
    if not found:
        return None
    result, axes = _panels(findings.bulk(results), len(found))
    for one, (database, medians) in zip(axes, found.items(), strict=False):
        unnumbered = medians.pop("auto-increment", None)
        _bars(one, medians, "ms")
        if unnumbered:
            _limit(one, unnumbered, "limit: unnumbered rows")
        one.set_title(title_of(results, database))
        one.set_xlabel("median ms")
    legend(result, [axes[0]])
    return result


def overhead(results: Results) -> Figure | None:
    """The bare statement and what each layer adds, stacked."""
    databases = [name for name in measured(results) if results.cells("overhead", database=name)]
    if not databases:
        return None
    result, (one,) = figure(findings.overhead(results), 1, height=0.45 * len(databases) + 1)
    shades = (PALE, SKY, BLUE, GREEN, ORANGE)
    for row, database in enumerate(reversed(databases)):
        cells = results.cells("overhead", database=database)
        left = 0.0
        layers = [cell for cell in cells if not cell["layer"].startswith("start")]
        for cell, shade in zip(layers, shades, strict=True):
            width = max(cell["median"] - left, 0.0)
            label = cell["layer"] if row == 0 else None
            one.barh(row, width, left=left, color=shade, height=0.6, label=label)
            left = max(left, cell["median"])
    one.margins(x=0.03)
    one.set_yticks(range(len(databases)), [title_of(results, name) for name in reversed(databases)])
    one.set_xlabel("median µs of one call in a transaction")
    legend(result, [one])
    return result
