"""What the charts show, in a sentence each."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.report.tables import REFERENCE, TITLES, measured, number
from benchmarks.results import Cell, Results

NOISE = 1.2
"""What differs by less may be chance."""


def listed(parts: Iterator[str] | list[str]) -> str:
    """a, b and c."""
    *most, last = list(parts) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _rate(
    results: Results, database: str, contestant: str, latency: int = 0, writers: int = 8
) -> float | None:
    shape = {"writers": writers, "counters": "one", "latency": latency, "rollbacks": False}
    place = {"database": database, "contestant": contestant}
    return results.value("contention", "rate", **shape, **place)


def multiples(results: Results, latency: int) -> dict[str, float]:
    """SequenceField's rows per second as a multiple of django-sequences', by database."""
    found = {}
    for database in measured(results):
        ours = _rate(results, database, "SequenceField", latency)
        theirs = _rate(results, database, REFERENCE, latency)
        if ours and theirs:
            found[database] = ours / theirs
    return found


def writers(results: Results) -> str:
    found = multiples(results, 0)
    if not found:
        return "Rows per second by writers on one counter"
    parts = [f"{value:.1f}× on {TITLES[name]}" for name, value in found.items()]
    return (
        f"8 writers, one counter: SequenceField commits {listed(parts)} "
        f"the rows that {REFERENCE} does"
    )


def network(results: Results) -> str:
    found = multiples(results, 1)
    if not found:
        return "Rows per second by the latency of the network"
    parts = [f"{value:.1f}× on {TITLES[name]}" for name, value in found.items()]
    return (
        f"8 writers, one counter, a network of 1 ms: SequenceField commits "
        f"{listed(parts)} the rows that {REFERENCE} does"
    )


def disk(results: Results) -> str:
    place = {"database": "postgresql", "sync": 1, "writers": 8}

    def rate(contestant: str) -> float | None:
        return results.value("disk", "rate", contestant=contestant, **place)

    early, field = rate("SequenceField, early release"), rate("SequenceField")
    theirs, plain = rate(REFERENCE), rate("auto-increment")
    if not (early and field and theirs and plain):
        return "Rows per second by writers on one counter, and by how long a sync takes"
    return (
        f"8 writers, one counter, 1 ms more for a sync: with early release SequenceField commits "
        f"{early / field:.1f}× its rows without, {early / theirs:.1f}× {REFERENCE}', and "
        f"{early / plain:.2f} of auto-increment's"
    )


def call(results: Results) -> str:
    parts = []
    for database in measured(results):
        place = {"database": database, "mode": "transaction", "variant": "plain"}
        ours = results.value("call", "median", contestant="get_next_value", **place)
        theirs = results.value("call", "median", contestant=REFERENCE, **place)
        if ours and theirs:
            parts.append(f"{ours / theirs:.2f} on {TITLES[database]}")
    if not parts:
        return "The time of one call"
    return f"One call of get_next_value, as a part of {REFERENCE}' time: {listed(parts)}"


def snapshot(results: Results) -> str:
    cells = results.cells(
        "growth",
        database="postgresql",
        growth="snapshot",
        contestant="get_next_value",
        storage="chosen",
    )
    if not cells:
        return "The time of one call while a snapshot stays open"
    takes, slower = slowdown(cells[0])
    others = [
        slowdown(cell)[1]
        for cell in results.cells("growth", growth="snapshot", contestant="get_next_value")
        if cell["database"] != "postgresql"
    ]
    elsewhere = f", elsewhere at most {max(others):.1f}×" if others else ""
    return (
        f"While a snapshot stays open, PostgreSQL's counters get slower with every number taken: "
        f"{slower:.1f}× after {number(takes)} numbers{elsewhere}"
        if slower > NOISE
        else f"An open snapshot has cost nothing yet after {number(takes)} numbers"
    )


def slowdown(cell: Cell) -> tuple[int, float]:
    """How many numbers were taken, and the cost of the last as a multiple of the first's.

    By the straight line through all: where the machine was busy for a moment must not count.
    """
    takes = cell["details"]["curve"][-1][0]
    first, slope = cell["details"]["fit"]
    return takes, (first + slope * takes) / first


def growth(results: Results) -> str:
    worst = 0.0
    for database in measured(results):
        place = {"database": database, "contestant": "get_next_value"}
        for kind in ("counters", "numbers"):
            cells = results.cells("growth", growth=kind, **place)
            if len(cells) > 1:
                medians = [cell["median"] for cell in sorted(cells, key=lambda cell: cell["size"])]
                worst = max(worst, medians[-1] / medians[0])
    return (
        f"However many counters there are, however many numbers are taken at once: "
        f"one call of get_next_value costs at most {worst:.2f}× what it does at the smallest size"
        if worst
        else "The time of one call as things grow"
    )


def bulk(results: Results) -> str:
    parts = []
    for database in measured(results):
        ours = results.value("bulk", "median", database=database, contestant="SequenceField")
        plain = results.value("bulk", "median", database=database, contestant="auto-increment")
        if ours and plain:
            parts.append(f"{ours / plain:.2f} on {TITLES[database]}")
    return (
        f"bulk_create with a SequenceField, as a multiple of unnumbered rows: {listed(parts)}"
        if parts
        else "The time of a bulk_create"
    )


def overhead(results: Results) -> str:
    added = []
    for database in measured(results):
        bare = results.value("overhead", "median", database=database, layer="bare statement")
        whole = results.value("overhead", "median", database=database, layer="validation")
        if bare and whole:
            added.append(whole - bare)
    if not added:
        return "What the core adds to the bare statement"
    return f"The core adds at most {max(0.0, *added):.1f} µs to its one statement"
