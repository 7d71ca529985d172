"""A small chart of the numbers of one counter over the dates of their rows, as SVG."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date as date_type
from typing import Any

from django.db.models import F, Max, Value
from django.db.models.functions import Mod
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..findings import CounterAudit, Reading
from .words import day_of, span

POINTS = 120
"""The maximum number of points. Each stands for a run of consecutive numbers."""

LEFT, RIGHT, TOP, BOTTOM = 70, 620, 14, 170
"""The edges of the plot in the drawing, which is 640 units wide and 200 high."""

LEAST = 4
"""The minimum height of a mark, so that one missing number of a million is visible."""


@dataclass(frozen=True)
class Mark:
    """A range of missing numbers."""

    y: float
    height: float
    state: str
    numbers: str


@dataclass(frozen=True)
class Chart:
    """The contents of the drawing."""

    title: str
    description: str
    dots: list[tuple[float, float]]
    marks: list[Mark]
    low: int
    high: int
    start: str
    end: str

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The kinds of marks in the chart, and their names."""
        names = {"missing": _("missing"), "void": _("void"), "reuse": _("free")}
        there = {mark.state for mark in self.marks}
        return [(state, name) for state, name in names.items() if state in there]

    edges = {"left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM, "width": RIGHT - LEFT}

    @property
    def line(self) -> str:
        """The points of the line through the dots."""
        return " ".join(f"{x},{y}" for x, y in self.dots)


def chart_of(reading: Reading, result: CounterAudit, date: str, date_name: str) -> Chart | None:
    """Return the chart, or None if there are fewer than two numbers or dates."""
    if result.first is None or result.last is None or result.first == result.last:
        return None
    points = _points(reading, result, date)
    if len({day for day, _number in points}) < 2:
        return None
    days = [day for day, _number in points]
    low = min(result.first, *(each.first for each in result.missing), result.last)
    high = max(result.last, *(each.last for each in result.missing), result.first)
    start, end = min(days), max(days)

    def across(day: date_type) -> float:
        return round(LEFT + (RIGHT - LEFT) * ((day - start) / (end - start)), 1)

    def up(number: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (number - low) / (high - low), 1)

    marks = [
        Mark(
            up(each.last),
            max(LEAST, round(up(each.first) - up(each.last), 1)),
            each.explained or "missing",
            span(each.first, each.last),
        )
        for each in result.missing[:POINTS]
    ]
    texts = {"start": _short(start), "end": _short(end), "date": date_name}
    description = _(
        "The numbers from %(low)d to %(high)d over %(date)s, from %(start)s to %(end)s."
    ) % {"low": low, "high": high, **texts}
    if count := sum(each.last - each.first + 1 for each in result.missing):
        description += " " + ngettext(
            "%(count)d number is missing or void.", "%(count)d numbers are missing or void.", count
        ) % {"count": count}
    return Chart(
        _("Numbers by date: %(date)s") % texts,
        description,
        [(across(day), up(number)) for day, number in points],
        marks,
        low,
        high,
        texts["start"],
        texts["end"],
    )


def _points(reading: Reading, result: CounterAudit, date: str) -> list[tuple[date_type, int]]:
    """Return the latest date and the highest number of each of up to ``POINTS`` runs."""
    assert result.first is not None
    assert result.last is not None
    width = (result.last - result.first) // POINTS + 1
    found: list[tuple[Any, int]] = []
    for group in reading.groups(result.counter):
        if group.keys is None:
            return []
        number = group.keys.numbering.attname
        # Not a division, whose result is a decimal on MySQL.
        run = F(number) - Mod(F(number) - Value(result.first), Value(width))
        rows = group.keys.rows(group.values).filter(
            **{f"{number}__isnull": False, f"{date}__isnull": False}
        )
        runs = rows.annotate(sequences_run=run).values("sequences_run").order_by()
        dated = runs.annotate(sequences_day=Max(date), sequences_high=Max(number))
        found += dated.values_list("sequences_day", "sequences_high")
    points = [(day_of(moment), high) for moment, high in found]
    return sorted(points, key=lambda point: point[1])


def _short(day: date_type) -> str:
    return date_format(day, "SHORT_DATE_FORMAT")
