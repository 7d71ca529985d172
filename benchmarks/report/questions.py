"""One table, or a few, for each question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from benchmarks.report.ratios import FAIR_SECONDS, ratios
from benchmarks.report.tables import (
    SOME_FAILED_NOTE,
    Entry,
    Grid,
    Table,
    contestants,
    measured,
    number,
    rates,
    title_of,
)
from benchmarks.results import Cell, Results

BUSIEST = 8
"""The number of writers where only one is shown."""


def tables(results: Results) -> Iterator[Table]:
    """All tables of a run."""
    if any(map(results.cells, ("call", "contention", "disk"))):
        yield from ratio_table(results)
    for database in measured(results):
        for build in (call, contention, waits, disk, growth, snapshots, bulk, overhead):
            yield from build(results, database)
    yield from failures(results)


def ratio_table(results: Results) -> Iterator[Table]:
    table = Table("Ratios to reach", ["", "database", "measured", "to reach", ""])
    for ratio in ratios(results):
        mark = Entry("reached", "best") if ratio.reached else Entry("missed", "bad")
        table.add(ratio.text, ratio.title, f"{ratio.value:.2f}", ratio.limit_text, mark)
    if table.rows:
        yield table


def call(results: Results, database: str) -> Iterator[Table]:
    for mode, place in (
        ("transaction", "in an open transaction"),
        ("autocommit", "and its commit"),
    ):
        cells = results.cells("call", database=database, mode=mode)
        if not cells:
            continue
        grid = Grid(results, database, contestants(results, database, cells))
        for variant in ("plain", "batch", "looping", "nowait", "row"):

            def median(name: str, mode: str = mode, variant: str = variant) -> float | None:
                return results.value(
                    "call", "median", database=database, mode=mode, variant=variant, contestant=name
                )

            grid.add(variant, median, relative=variant == "plain")
        yield grid.table(
            f"{title_of(results, database)}: median µs of one call, {place}",
            "relative: to django-sequences; batch: of 100; row: with the INSERT of a row.",
        )


def contention(results: Results, database: str) -> Iterator[Table]:
    cells = results.cells("contention", database=database)
    grids: dict[str, Grid] = {}
    for cell in shapes(cells):
        title, column = heading(cell)
        if title not in grids:
            grids[title] = Grid(results, database, contestants(results, database, cells))

        usual = cell == {"writers": BUSIEST, "counters": "one", "latency": 0, "rollbacks": False}
        figures = rates(results, "contention", database, cell)
        grids[title].add(column, **figures, relative=usual)
    for title, grid in grids.items():
        yield grid.table(
            f"{title_of(results, database)}: rows per second, {title}",
            "Writers are processes. A figure is shown only where the numbers were 1..n, once each. "
            f"relative: to django-sequences. {SOME_FAILED_NOTE}",
        )


def shapes(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells' columns: writers, counters, latency, rollbacks."""
    keys = ("writers", "counters", "latency", "rollbacks")
    return [
        dict(zip(keys, shape, strict=True))
        for shape in dict.fromkeys(tuple(cell[key] for key in keys) for cell in cells)
    ]


def heading(cell: dict[str, Any]) -> tuple[str, str]:
    """The table and the column of such a cell."""
    counters = {"one": "one counter", "own": "a counter each"}[cell["counters"]]
    if cell["latency"]:
        return f"{cell['writers']} writers", f"{counters}, {cell['latency']} ms network"
    if cell["rollbacks"]:
        return f"{cell['writers']} writers", f"{counters}, 10 % rollbacks"
    return counters, f"{cell['writers']} writer{'s' * (cell['writers'] > 1)}"


def waits(results: Results, database: str) -> Iterator[Table]:
    shape = {"writers": BUSIEST, "counters": "one", "latency": 0, "rollbacks": False}
    cells = [cell for cell in results.cells("contention", database=database) if "errors" in cell]
    busiest = {
        cell["contestant"]: cell
        for cell in cells
        if all(cell[key] == value for key, value in shape.items())
    }
    if not busiest:
        return
    grid = Grid(results, database, contestants(results, database, busiest.values()))
    figures = {"p50": "p50 ms", "p95": "p95 ms", "p99": "p99 ms", "fairness": "slowest / fastest"}
    for figure, column in figures.items():

        def value(name: str, figure: str = figure) -> float | None:
            cell = busiest[name]
            if figure == "fairness" and cell.get("seconds", 0) < FAIR_SECONDS.get(database, 0):
                return None
            return cast("float | None", cell.get(figure))

        grid.add(column, value, best=max if figure == "fairness" else min)
    table = grid.table(
        f"{title_of(results, database)}: wait for a row, {BUSIEST} writers, one counter",
        "slowest / fastest: by the rows of each writer, where it was measured for long enough "
        "to mean something. errors: in all cells, by class and code.",
    )
    table.columns.append("errors")
    for row, name in zip(table.rows, grid.names, strict=True):
        errors = Counter[str]()
        for cell in cells:
            if cell["contestant"] == name:
                errors.update(cell["errors"])
        text = ", ".join(f"{number(count)} {error}" for error, count in errors.most_common())
        row.append(Entry(text, "bad" if text else ""))
    yield table


def disk(results: Results, database: str) -> Iterator[Table]:
    found = results.cells("disk", database=database)
    for sync in sorted({cell["sync"] for cell in found}):
        cells = [cell for cell in found if cell["sync"] == sync]
        grid = Grid(results, database, contestants(results, database, cells))
        for writers in sorted({cell["writers"] for cell in cells}):
            figures = rates(results, "disk", database, {"sync": sync, "writers": writers})
            column = f"{writers} writer{'s' * (writers > 1)}"
            grid.add(column, **figures, relative=writers == BUSIEST)
        slower = f"{sync} ms more for each sync" if sync else "the disk as it is"
        yield grid.table(
            f"{title_of(results, database)}: rows per second, one counter, {slower}",
            "Slowed by a library under the server. Early release: the counter is free before the "
            f"disk has the commit, and the row is acknowledged after. {SOME_FAILED_NOTE}",
        )


GROWTH = {
    ("counters", "counter"): (
        "as counters grow in number",
        {"counters": "any of {}", "counter": "always the same of {}"},
        "Any of many: the first change of a page after a checkpoint writes all of it to the log.",
    ),
    ("numbers",): ("as blocks grow", {"numbers": "{} at once"}, ""),
}
"""The tables of what grows: title, the columns of each kind, and a note on PostgreSQL."""


def growth(results: Results, database: str) -> Iterator[Table]:
    for kinds, (title, headings, note) in GROWTH.items():
        cells = [
            cell
            for kind in kinds
            for cell in results.cells("growth", database=database, growth=kind)
        ]
        if not cells:
            continue
        grid = Grid(results, database, contestants(results, database, cells))
        for kind in kinds:
            for size in sorted({cell["size"] for cell in cells if cell["growth"] == kind}):

                def median(name: str, kind: str = kind, size: int = size) -> float | None:
                    place = {"database": database, "contestant": name}
                    return results.value("growth", "median", growth=kind, size=size, **place)

                grid.add(headings[kind].format(number(size)), median)
        title = f"{title_of(results, database)}: median µs of one call, {title}"
        yield grid.table(title, note if database == "postgresql" else "")


def snapshots(results: Results, database: str) -> Iterator[Table]:
    cells = results.cells("growth", database=database, growth="snapshot")
    if not cells:
        return
    table = Table(
        f"{title_of(results, database)}: µs of one call while a snapshot stays open",
        ["", "storage", "before", "takes", "then", "1 000 add", "after it", "versions", "kB"],
        note="Storage: as migrate chooses it, or the database's own. Takes: until all numbers are "
        "taken or the time for it is up. 1 000 add: by a straight line through all calls. Versions "
        "and kB: what the database keeps before, with and after it." + projection(cells[0]),
    )
    for cell in cells:
        details = cell["details"]
        takes, cost = details["curve"][-1]
        row = [details["before"], takes, cost, details["fit"][1] * 1000, cell["median"]]
        kept = [details["kept"][when] for when in ("before", "during", "after")]
        versions = " → ".join(number(one["versions"]) for one in kept)
        size = " → ".join(number(one["bytes"] // 1024) for one in kept if one["bytes"] is not None)
        table.add(
            cell["contestant"], cell["storage"], *map(number, row), versions.strip(" →"), size
        )
    yield table


def projection(cell: Cell) -> str:
    """How long all the numbers would have taken, if time was up before."""
    done, wanted = cell["details"]["curve"][-1][0], cell["size"]
    first, slope = cell["details"]["fit"]
    seconds = (first * wanted + slope * wanted**2 / 2) / 1e6
    if done == wanted or slope <= 0:
        return ""
    return (
        f" By that line {number(wanted)} numbers of {cell['contestant']} would take "
        f"{seconds / 60:.0f} minutes."
    )


def bulk(results: Results, database: str) -> Iterator[Table]:
    cells = results.cells("bulk", database=database)
    if not cells:
        return
    names = contestants(results, database, cells)
    plain = results.value("bulk", "median", database=database, contestant="auto-increment")
    table = Table(
        f"{title_of(results, database)}: bulk_create of {number(cells[0]['rows'])} rows",
        ["", "ms", "relative to unnumbered"],
    )
    for name in names:
        median = results.value("bulk", "median", database=database, contestant=name) or 0.0
        table.add(name, number(median / 1e3), f"{median / plain:.2f}" if plain else "")
    yield table


def overhead(results: Results, database: str) -> Iterator[Table]:
    cells = results.cells("overhead", database=database)
    layers = [cell for cell in cells if not cell["layer"].startswith("start")]
    if not layers:
        return
    table = Table(
        f"{title_of(results, database)}: what the core adds to the bare statement",
        ["layer", "median µs so far", "adds µs"],
    )
    before = None
    for cell in layers:
        added = f"{cell['median'] - before:+.1f}" if before is not None else ""
        table.add(cell["layer"], number(cell["median"]), added)
        before = cell["median"]
    starts = {cell["layer"]: cell["median"] for cell in cells if cell not in layers}
    if len(starts) == 2:
        alone, with_core = starts.values()
        table.note = f"Importing it adds {(with_core - alone) / 1e3:.0f} ms to Django's start."
    yield table


def failures(results: Results) -> Iterator[Table]:
    table = Table("What gave no figure", ["database", "question", "who", "why"])
    for name, entry in results.databases.items():
        if error := entry.get("error"):
            table.add(name, "all", "", Entry(error, "bad"))
        for contestant in entry.get("contestants", ()):
            if reason := contestant["left_out"]:
                table.add(name, "all", contestant["name"], reason)
    for failure in results.failures:
        cell = dict(failure["cell"])
        who = str(cell.pop("contestant", ""))
        where = ", ".join(str(value) for value in cell.values())
        question = f"{failure['question']}: {where}" if where else failure["question"]
        table.add(failure["database"], question, who, Entry(failure["error"], "bad"))
    if table.rows:
        yield table
