"""The promises of the project about its speed, and the ratios that a run measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import sub, truediv
from typing import Any

from benchmarks.report.tables import Value, measured, median, number, of, rate
from benchmarks.results import Cell, Results
from tests.pages import Entry

FIELD, FUNCTION, EARLY = "SequenceField", "get_next_value", ", early release"
REFERENCE = "django-sequences"
UNTUNED = "django-sequences, Django's settings"
BARE = "bare statement, Django's cursor"
BUSY = {"writers": 8, "counters": "one", "rollbacks": False}

Figure = Callable[[Results, str], float | None]
"""A function that returns a figure of a run on a database, or None if it wasn't measured."""


@dataclass(frozen=True)
class Promise:
    """A limit, by database, for one figure or for the combination of two."""

    text: str
    sign: str
    limits: Mapping[str, float]
    top: Figure
    bottom: Figure | None = None
    combine: Callable[[float, float], float] = truediv
    unit: str = ""

    def of(self, results: Results, database: str) -> float | None:
        """Return the value on that database, or None if it wasn't measured."""
        value = self.top(results, database)
        if value is None or self.bottom is None:
            return value
        bottom = self.bottom(results, database)
        return self.combine(value, bottom) if bottom else None

    def entry(self, value: float, database: str) -> Entry:
        """Return the value and its limit for a table."""
        limit = self.limits[database]
        reached = value <= limit if self.sign == "≤" else value >= limit
        shown = number(value) if value >= 100 else f"{value:.2f}"
        text = f"{shown} ({self.sign} {number(limit)}{self.unit})"
        return Entry(text, "" if reached else "bad")


def figure(question: str, contestant: str, value: Value = median, **wanted: Any) -> Figure:
    """Return the figure of the cell with these values."""

    def read(results: Results, database: str) -> float | None:
        found = results.cells(question, database=database, contestant=contestant, **wanted)
        return value(found[0]) if found else None

    return read


def posted(posting: str, who: str = "assign_numbers", value: Value = rate, **size: int) -> Figure:
    return figure("posting", who, value, posting=posting, **size)


def pair(question: str, one: str, other: str, value: Value, **wanted: Any) -> tuple[Figure, Figure]:
    """Return the same figure of two contestants."""
    return figure(question, one, value, **wanted), figure(question, other, value, **wanted)


def called(variant: str, theirs: str, name: str = "", **limits: float) -> Promise:
    """Compare the time of a call with another's."""
    figures = pair("call", FUNCTION, theirs, median, variant=variant)
    return Promise(f"one call, {variant}, / {name or theirs}", "≤", limits, *figures)


def faster(ours: str, theirs: str, latency: int = 0, **limits: float) -> Promise:
    """Compare the rows per second of two contestants."""
    network = f", {latency} ms network" if latency else ""
    figures = pair("contention", ours, theirs, rate, latency=latency, **BUSY)
    return Promise(f"rows/s of {ours} / {theirs}{network}", "≥", limits, *figures)


def on_slow_disk(sync: int, writers: int, ours: str, theirs: str, limit: float) -> Promise:
    """Compare the rows per second when each sync takes ``sync`` ms longer."""
    text = f"rows/s of {ours} / {theirs}, {writers} writers, {sync} ms more for a sync"
    figures = pair("disk", ours, theirs, rate, sync=sync, writers=writers)
    return Promise(text, "≥", {"postgresql": limit}, *figures)


def as_at(first: int, growth: str, text: str, limit: float) -> Promise:
    """Compare the time of a call at size 10⁶ with that at the first size."""
    largest, smallest = (
        figure("growth", FUNCTION, growth=growth, size=size) for size in (10**6, first)
    )
    return Promise(f"one call, {text}", "≤", on_all(limit), largest, smallest)


def fair(contestant: str) -> Promise:
    """Compare the rows that the slowest and the fastest writer commit."""
    read = figure("contention", contestant, fairness, latency=0, **BUSY)
    limits = on_all(0.5, sqlite=0.3)
    return Promise(f"slowest / fastest writer, {contestant}", "≥", limits, read)


def fairness(cell: Cell) -> float | None:
    """Return the fairness, unless the time was too short to measure it."""
    enough = cell.get("seconds", 0) >= (50 if cell["database"] == "sqlite" else 5)
    return cell["fairness"] if enough else None


def on_servers(limit: float, **others: float) -> dict[str, float]:
    return dict.fromkeys(("postgresql", "mariadb", "mysql"), limit) | others


def on_all(limit: float, **others: float) -> dict[str, float]:
    return on_servers(limit, sqlite=limit) | others


ASSIGN = "rows/s of assign_numbers"
RATES = {"postgresql": 60_000, "mariadb": 30_000, "mysql": 18_000, "sqlite": 60_000}
LATER = posted("inserts", "assign_numbers, every 50 ms")
DRAFTS = posted("inserts", "drafts without numbers")
CREATED = pair(
    "posting", "get_next_value, by hand", "FormattedNumberField", median, posting="create"
)
AUDIT, AUDIT_MEMORY = (
    posted("audit", "audit", value, rows=10**6) for value in (of("median", 1e-6), of("megabytes"))
)
CALL = pair("call", FUNCTION, BARE, median, variant="plain")
BULK = pair("bulk", FIELD, "auto-increment", median)

PROMISES = [
    called("plain", REFERENCE, postgresql=1.03, mariadb=0.52, mysql=0.57, sqlite=0.10),
    called("looping", REFERENCE, postgresql=0.35),
    called("nowait", REFERENCE, postgresql=0.6),
    called("plain", BARE, "bare statement", **on_all(1.1, sqlite=1.4)),
    faster(FIELD, REFERENCE, postgresql=1.7, mariadb=2.5, mysql=1.2),
    faster(FIELD, REFERENCE, 1, postgresql=8, mariadb=10, mysql=1.35),
    faster(f"{FIELD}, no binary log", f"{REFERENCE}, no binary log", 1, mysql=8),
    faster(f"{FIELD}, synchronous = NORMAL", UNTUNED, sqlite=10),
    faster(FIELD, UNTUNED, sqlite=10),
    faster(FUNCTION, REFERENCE, postgresql=0.97, mariadb=1.3),
    faster("NextValue", "pgbench", postgresql=0.6),
    fair(FIELD),
    fair(FUNCTION),
    on_slow_disk(1, 8, FIELD + EARLY, "auto-increment", 0.78),
    on_slow_disk(1, 32, FIELD + EARLY, "auto-increment", 0.5),
    on_slow_disk(1, 8, FIELD + EARLY, FIELD, 3),
    on_slow_disk(1, 32, FIELD + EARLY, FIELD, 4),
    on_slow_disk(1, 8, FIELD + EARLY, REFERENCE, 6),
    on_slow_disk(1, 8, FUNCTION + EARLY, REFERENCE, 2.5),
    on_slow_disk(0, 8, FIELD + EARLY, FIELD, 0.97),
    as_at(10, "counters", "a random one of 10⁶ counters / of 10", 1.3),
    as_at(10, "counter", "always the same of 10⁶ counters / of 10", 1.3),
    as_at(1, "numbers", "10⁶ numbers / 1", 1.1),
    Promise("bulk_create / with auto-increment", "≤", on_all(1.15), *BULK),
    Promise("µs that the core adds", "≤", {"sqlite": 8}, *CALL, sub, " µs"),
    Promise("documents/s, numbered by a worker / unnumbered", "≥", on_servers(0.8), LATER, DRAFTS),
    Promise(f"{ASSIGN}, 10⁵ rows of one counter", "≥", RATES, posted("one", rows=10**5)),
    Promise(f"{ASSIGN}, of 1 000", "≥", {"postgresql": 25_000}, posted("many", rows=10**5)),
    Promise(f"{ASSIGN} / bulk_update", "≥", on_all(8), posted("one"), posted("one", "bulk_update")),
    Promise("audit of 10⁶ rows", "≤", on_all(5, postgresql=2), AUDIT, unit=" s"),
    Promise("memory of that audit in Python", "≤", on_all(60), AUDIT_MEMORY, unit=" MB"),
    Promise("create() with a text / by hand, per second", "≥", on_all(0.9), *CREATED),
]


def ratios(results: Results) -> Iterator[tuple[str, str, Entry]]:
    """Yield the text, the database and the entry of each promise that the run measured."""
    for promise in PROMISES:
        for database in filter(promise.limits.get, measured(results)):
            value = promise.of(results, database)
            if value is not None:
                yield promise.text, database, promise.entry(value, database)
