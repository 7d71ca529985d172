"""The ratios that the project promises, and what a run says of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.report.tables import REFERENCE, measured, title_of
from benchmarks.results import Results

BARE = "bare statement, Django's cursor"
BUSY = {"writers": 8, "counters": "one", "rollbacks": False}


@dataclass(frozen=True)
class Ratio:
    text: str
    title: str
    """Of the database."""
    value: float
    sign: Literal["≤", "≥"]
    limit: float
    unit: str = ""

    @property
    def reached(self) -> bool:
        return self.value <= self.limit if self.sign == "≤" else self.value >= self.limit

    @property
    def limit_text(self) -> str:
        return f"{self.sign} {self.limit:g}{self.unit}"


CALLS = {
    "postgresql": {"plain": 1.03, "looping": 0.35, "nowait": 0.60},
    "mariadb": {"plain": 0.52},
    "mysql": {"plain": 0.57},
    "sqlite": {"plain": 0.10},
}
"""One call in a transaction, as a part of django-sequences'."""

BARE_LIMITS = {"postgresql": 1.10, "mariadb": 1.10, "mysql": 1.10, "sqlite": 1.40}

UNTUNED = "django-sequences, Django's settings"

ROWS = (
    ("postgresql", 0, "SequenceField", REFERENCE, 1.7),
    ("mariadb", 0, "SequenceField", REFERENCE, 2.5),
    ("mysql", 0, "SequenceField", REFERENCE, 1.2),
    ("sqlite", 0, "SequenceField, synchronous = NORMAL", UNTUNED, 10.0),
    ("sqlite", 0, "SequenceField", UNTUNED, 10.0),
    ("postgresql", 1, "SequenceField", REFERENCE, 8.0),
    ("mariadb", 1, "SequenceField", REFERENCE, 10.0),
    ("mysql", 1, "SequenceField", REFERENCE, 1.35),
    ("mysql", 1, "SequenceField, no binary log", f"{REFERENCE}, no binary log", 8.0),
)
"""Database, latency in ms, and the rows per second of one as a multiple of another's."""

ALLOCATED = {"postgresql": 0.97, "mariadb": 1.3}
"""The same of get_next_value."""

EARLY_FIELD = "SequenceField, early release"

SLOWED = (
    (1, 8, EARLY_FIELD, "auto-increment", 0.78),
    (1, 32, EARLY_FIELD, "auto-increment", 0.5),
    (1, 8, EARLY_FIELD, "SequenceField", 3.0),
    (1, 32, EARLY_FIELD, "SequenceField", 4.0),
    (1, 8, EARLY_FIELD, REFERENCE, 6.0),
    (1, 8, "get_next_value, early release", REFERENCE, 2.5),
    (0, 8, EARLY_FIELD, "SequenceField", 0.97),
)
"""Milliseconds more for a sync, writers, and the rows per second of one as a multiple of another's.
Those of auto-increment have no numbers of ours."""

FAIRNESS = {"postgresql": 0.5, "mariadb": 0.5, "mysql": 0.5, "sqlite": 0.3}
"""What the slowest of 8 writers commits, as a part of what the fastest does."""

FAIR_SECONDS = {"postgresql": 5.0, "mariadb": 5.0, "mysql": 5.0, "sqlite": 50.0}
"""Over a shorter time it says more about who came first."""


def ratios(results: Results) -> Iterator[Ratio]:
    """What the run has measured of them."""
    for database in measured(results):
        for found in (_call, _contention, _disk, _growth, _others):
            yield from found(results, database)


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a and b else None


def _call(results: Results, database: str) -> Iterator[Ratio]:
    title = title_of(results, database)

    def median(contestant: str, variant: str) -> float | None:
        place = {"database": database, "mode": "transaction"}
        return results.value("call", "median", contestant=contestant, variant=variant, **place)

    for variant, limit in CALLS.get(database, {}).items():
        value = _ratio(median("get_next_value", variant), median(REFERENCE, variant))
        if value:
            yield Ratio(f"one call, {variant}, / {REFERENCE}", title, value, "≤", limit)
    value = _ratio(median("get_next_value", "plain"), median(BARE, "plain"))
    if value and database in BARE_LIMITS:
        yield Ratio("one call / bare statement", title, value, "≤", BARE_LIMITS[database])


def _contention(results: Results, database: str) -> Iterator[Ratio]:
    title = title_of(results, database)

    def of(value: str, contestant: str, latency: int = 0) -> float | None:
        place: dict[str, Any] = {"database": database, "contestant": contestant, **BUSY}
        return results.value("contention", value, latency=latency, **place)

    for name, latency, ours, theirs, limit in ROWS:
        value = _ratio(of("rate", ours, latency), of("rate", theirs, latency))
        if value and name == database:
            network = f", {latency} ms network" if latency else ""
            yield Ratio(f"rows/s of {ours} / {theirs}{network}", title, value, "≥", limit)
    value = _ratio(of("rate", "get_next_value"), of("rate", REFERENCE))
    if value and database in ALLOCATED:
        text = f"rows/s of get_next_value / {REFERENCE}"
        yield Ratio(text, title, value, "≥", ALLOCATED[database])
    for contestant in ("SequenceField", "get_next_value"):
        value = of("fairness", contestant)
        seconds = of("seconds", contestant) or 0
        if value is not None and seconds >= FAIR_SECONDS.get(database, math.inf):
            text = f"slowest / fastest writer, {contestant}"
            yield Ratio(text, title, value, "≥", FAIRNESS[database])
    value = _ratio(of("rate", "NextValue"), of("rate", "pgbench"))
    if value:
        yield Ratio("rows/s of NextValue / pgbench", title, value, "≥", 0.6)


def _disk(results: Results, database: str) -> Iterator[Ratio]:
    title = title_of(results, database)
    for sync, writers, ours, theirs, limit in SLOWED:
        place = {"database": database, "sync": sync, "writers": writers}
        value = _ratio(
            results.value("disk", "rate", contestant=ours, **place),
            results.value("disk", "rate", contestant=theirs, **place),
        )
        if value:
            where = f"{writers} writers, {sync} ms more for a sync"
            yield Ratio(f"rows/s of {ours} / {theirs}, {where}", title, value, "≥", limit)


def _growth(results: Results, database: str) -> Iterator[Ratio]:
    title = title_of(results, database)
    for kind, text, low, limit in (
        ("counters", "any of 10⁶ counters / any of 10", 10, 1.3),
        ("counter", "the same of 10⁶ counters / of 10", 10, 1.3),
        ("numbers", "10⁶ numbers / 1", 1, 1.1),
    ):
        place = {"database": database, "contestant": "get_next_value", "growth": kind}
        value = _ratio(
            results.value("growth", "median", size=10**6, **place),
            results.value("growth", "median", size=low, **place),
        )
        if value:
            yield Ratio(f"one call, {text}", title, value, "≤", limit)


def _others(results: Results, database: str) -> Iterator[Ratio]:
    title = title_of(results, database)
    place = {"database": database}
    value = _ratio(
        results.value("bulk", "median", contestant="SequenceField", **place),
        results.value("bulk", "median", contestant="auto-increment", **place),
    )
    if value:
        yield Ratio("bulk_create, numbered / unnumbered", title, value, "≤", 1.15)
    bare = results.value("overhead", "median", layer="bare statement", **place)
    whole = results.value("overhead", "median", layer="validation", **place)
    if database == "sqlite" and bare and whole:
        yield Ratio("µs that the core adds", title, whole - bare, "≤", 8, " µs")
    alone = results.value("overhead", "median", layer="start of Django", **place)
    started = results.value(
        "overhead", "median", layer="start of Django with sequences_core", **place
    )
    if database == "sqlite" and alone and started:
        yield Ratio("ms that its import adds", title, (started - alone) / 1e3, "≤", 30, " ms")
