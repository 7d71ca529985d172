"""What the project promises of its speed, and what a run says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import sub, truediv
from typing import Any

from benchmarks.report.tables import Value, measured, median, milliseconds, number, of, rate
from benchmarks.results import Cell, Results
from tests.pages import Entry

FIELD, FUNCTION, EARLY = "SequenceField", "get_next_value", ", early release"
REFERENCE = "django-sequences"
UNTUNED = "django-sequences, Django's settings"
BARE = "bare statement, Django's cursor"
BUSY = {"writers": 8, "counters": "one", "rollbacks": False}


@dataclass(frozen=True)
class Figure:
    """One figure of a cell."""

    question: str
    value: Value
    wanted: dict[str, Any]

    def of(self, results: Results, database: str) -> float | None:
        """What was measured on that database, if it was."""
        found = results.cells(self.question, database=database, **self.wanted)
        return self.value(found[0]) if found else None


@dataclass(frozen=True)
class Promise:
    """A limit, by database, of a figure or of what two of them make."""

    text: str
    sign: str
    limits: Mapping[str, float]
    top: Figure
    bottom: Figure | None = None
    combine: Callable[[float, float], float] = truediv
    unit: str = ""

    def of(self, results: Results, database: str) -> float | None:
        """What was measured on that database, if it was."""
        value = self.top.of(results, database)
        if value is None or self.bottom is None:
            return value
        bottom = self.bottom.of(results, database)
        return self.combine(value, bottom) if bottom else None

    def entry(self, value: float, database: str) -> Entry:
        """What was measured, and the limit."""
        limit = self.limits[database]
        reached = value <= limit if self.sign == "≤" else value >= limit
        shown = number(value) if value >= 100 else f"{value:.2f}"
        text = f"{shown} ({self.sign} {number(limit)}{self.unit})"
        return Entry(text, "" if reached else "bad")


def call(contestant: str, variant: str = "plain", value: Value = median) -> Figure:
    mode = "process" if variant == "start" else "transaction"
    return Figure("call", value, {"contestant": contestant, "variant": variant, "mode": mode})


def rows(contestant: str, latency: int = 0, value: Value = rate) -> Figure:
    return Figure("contention", value, {"contestant": contestant, "latency": latency, **BUSY})


def slowed(contestant: str, sync: int, writers: int) -> Figure:
    return Figure("disk", rate, {"contestant": contestant, "sync": sync, "writers": writers})


def posted(posting: str, who: str = "assign_numbers", value: Value = rate, **size: int) -> Figure:
    return Figure("posting", value, {"contestant": who, "posting": posting, **size})


def audited(value: Value) -> Figure:
    return posted("audit", "audit", value, rows=10**6)


def created(who: str) -> Figure:
    return posted("create", who, median)


def bulk(contestant: str) -> Figure:
    return Figure("bulk", median, {"contestant": contestant})


def start(more: str = "") -> Figure:
    return call("Django" + more, "start", milliseconds)


def called(variant: str, theirs: str, name: str = "", **limits: float) -> Promise:
    """The time of a call, as a part of another's."""
    figures = call(FUNCTION, variant), call(theirs, variant)
    return Promise(f"one call, {variant}, / {name or theirs}", "≤", limits, *figures)


def faster(ours: str, theirs: str, latency: int = 0, **limits: float) -> Promise:
    """The rows per second of one as a multiple of another's."""
    network = f", {latency} ms network" if latency else ""
    figures = rows(ours, latency), rows(theirs, latency)
    return Promise(f"rows/s of {ours} / {theirs}{network}", "≥", limits, *figures)


def on_slow_disk(sync: int, writers: int, ours: str, theirs: str, limit: float) -> Promise:
    """The same, by how many milliseconds more a sync takes."""
    text = f"rows/s of {ours} / {theirs}, {writers} writers, {sync} ms more for a sync"
    figures = slowed(ours, sync, writers), slowed(theirs, sync, writers)
    return Promise(text, "≥", {"postgresql": limit}, *figures)


def as_at(first: int, growth: str, text: str, limit: float) -> Promise:
    """The time of a call at size 10⁶ as a multiple of that at the first size."""
    place = {"contestant": FUNCTION, "growth": growth}
    largest = Figure("growth", median, {**place, "size": 10**6})
    smallest = Figure("growth", median, {**place, "size": first})
    return Promise(f"one call, {text}", "≤", on_all(limit), largest, smallest)


def fair(contestant: str) -> Promise:
    """What the slowest writer commits, as a part of what the fastest does."""
    limits, figure = on_all(0.5, sqlite=0.3), rows(contestant, value=fairness)
    return Promise(f"slowest / fastest writer, {contestant}", "≥", limits, figure)


def fairness(cell: Cell) -> float | None:
    """Over a shorter time it says more about who came first."""
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
BY_HAND, BY_FIELD = created("get_next_value, by hand"), created("FormattedNumberField")
SECONDS = of("median", 1e-6)
IMPORTED, ALONE = start(" with sequences_core"), start()

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
    as_at(10, "counters", "any of 10⁶ counters / any of 10", 1.3),
    as_at(10, "counter", "the same of 10⁶ counters / of 10", 1.3),
    as_at(1, "numbers", "10⁶ numbers / 1", 1.1),
    Promise("bulk_create / unnumbered", "≤", on_all(1.15), bulk(FIELD), bulk("auto-increment")),
    Promise("µs that the core adds", "≤", {"sqlite": 8}, call(FUNCTION), call(BARE), sub, " µs"),
    Promise("ms that its import adds", "≤", {"sqlite": 30}, IMPORTED, ALONE, sub, " ms"),
    Promise("documents/s, a worker numbers / nobody", "≥", on_servers(0.8), LATER, DRAFTS),
    Promise(f"{ASSIGN}, 10⁵ rows of one counter", "≥", RATES, posted("one", rows=10**5)),
    Promise(f"{ASSIGN}, of 1 000", "≥", {"postgresql": 25_000}, posted("many", rows=10**5)),
    Promise(f"{ASSIGN} / bulk_update", "≥", on_all(8), posted("one"), posted("one", "bulk_update")),
    Promise("audit of 10⁶ rows", "≤", on_all(5, postgresql=2), audited(SECONDS), unit=" s"),
    Promise("its memory in Python", "≤", on_all(60), audited(of("megabytes")), unit=" MB"),
    Promise("create() with a text / by hand, per second", "≥", on_all(0.9), BY_HAND, BY_FIELD),
]


def ratios(results: Results) -> Iterator[tuple[str, str, Entry]]:
    """What the run has measured of the promises: the text, the database, the figure."""
    for promise in PROMISES:
        for database in filter(promise.limits.get, measured(results)):
            value = promise.of(results, database)
            if value is not None:
                yield promise.text, database, promise.entry(value, database)
