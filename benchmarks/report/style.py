"""How the charts look: the same colour for the same contestant everywhere.

The colours are Okabe and Ito's, which colour-blind people tell apart; line styles and markers say
the same again.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

BLUE, SKY, GREEN = "#0072B2", "#56B4E9", "#009E73"
ORANGE, AMBER, PINK = "#D55E00", "#E69F00", "#CC79A7"
GREY, INK, PALE = "#8A8A8A", "#222222", "#DDDDDD"

SETTINGS: Any = {
    "font.family": "sans-serif",
    # The browser that shows an SVG may have the second only, whose letters are as wide.
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "benchmarks",
    "savefig.dpi": 90,
}


LINE = 95
"""Characters of a title that fit on a line."""


@dataclass(frozen=True)
class Look:
    label: str
    colour: str
    line: str = "-"
    marker: str = "o"
    width: float = 1.6


LOOKS = {
    "SequenceField": Look("SequenceField (ours)", BLUE, width=2.6),
    "SequenceField, synchronous = NORMAL": Look(
        "SequenceField, synchronous = NORMAL (ours)", BLUE, ":", width=2.2
    ),
    "SequenceField, no binary log": Look(
        "SequenceField, no binary log (ours)", BLUE, ":", width=2.2
    ),
    "SequenceField, early release": Look(
        "SequenceField, early release (ours)", SKY, marker="D", width=2.6
    ),
    "NextValue": Look("NextValue (ours)", SKY, marker="D"),
    "get_next_value": Look("get_next_value (ours)", GREEN, marker="s", width=2.2),
    "get_next_value, early release": Look(
        "get_next_value, early release (ours)", GREEN, ":", "s", width=2.2
    ),
    "get_next_value, orm backend": Look("get_next_value, ORM backend (ours)", GREEN, ":", "s"),
    "django-sequences": Look("django-sequences", ORANGE, marker="^", width=2.2),
    "django-sequences, Django's settings": Look(
        "django-sequences, Django's settings", ORANGE, ":", "^"
    ),
    "django-sequences, no binary log": Look("django-sequences, no binary log", ORANGE, ":", "^"),
    "django-seq": Look("django-seq", AMBER, marker="v"),
    "django-autosequence": Look("django-autosequence", PINK, marker="P"),
    "django-autosequence, lock_table": Look("django-autosequence, lock_table", PINK, ":", "P"),
    "auto-increment": Look("auto-increment (has gaps)", GREY, "--", ""),
    "raw driver": Look("limit: our statements by the driver alone", INK, "--", ""),
    "pgbench": Look("limit: pgbench, NextValue's statement", INK, "-.", ""),
    "pgbench, early release": Look("limit: pgbench, early release", INK, "--", ""),
    "pgbench, take then insert": Look("limit: pgbench, take then insert", INK, ":", ""),
}


def look_of(name: str) -> Look:
    """A third party's backend looks like itself, not like any of these."""
    return LOOKS.get(name, Look(name, INK, ":", "x"))


def figure(
    title: str, columns: int, *, rows: int = 1, height: float = 3.2
) -> tuple[Figure, list[Axes]]:
    """A figure whose title states what it shows, with its axes in a list."""
    result = Figure(figsize=(10, height * rows + 0.8), layout="constrained")
    result.suptitle(textwrap.fill(title, LINE), x=0.01, ha="left", fontsize=12, fontweight="bold")
    axes = result.subplots(rows, columns, squeeze=False)
    return result, list(axes.flat)


def grid(axes: Axes) -> None:
    """Faint lines behind the data."""
    axes.grid(visible=True, color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)


def plain_ticks(axes: Axes, *, x: list[float] | None = None) -> None:
    """Numbers as people write them, on logarithmic axes too."""
    formatter = FuncFormatter(lambda value, _: short(value))
    if axes.get_yscale() == "log":
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(formatter)
    if x is not None:
        axes.set_xticks(x)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(formatter)


def short(value: float) -> str:
    """1 000 as 1k, 1 000 000 as 1M."""
    for size, letter in ((10**6, "M"), (10**3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def legend(result: Figure, axes: list[Axes]) -> None:
    """One legend for all axes, below them."""
    found: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    order = [look.label for look in LOOKS.values()]
    labels = sorted(found, key=lambda label: order.index(label) if label in order else -1)
    options: Any = {"loc": "outside lower left", "ncols": 3, "frameon": False, "fontsize": 8.5}
    result.legend(
        [found[label] for label in labels],
        labels,
        **options,
    )
