"""The benchmark suite detects numbers that are not exact, and reports what it could not measure."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import can_be_slowed
from benchmarks.questions.figures import fault_in
from benchmarks.report import charts, page
from benchmarks.report.ratios import ratios
from benchmarks.report.tables import pivot
from benchmarks.results import Results
from tests.pages import Entry
from tests.servers.ports import free_port

ROOT = Path(__file__).resolve().parents[1]


BROKEN = "tests.faults.broken.CountsAlone"
"""A backend that counts in its own process, without a shared counter."""


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    names = ["DB", "SQLITE_URL", "POSTGRESQL_URL", "DJANGO_SETTINGS_MODULE"]
    names.append("PYTEST_XDIST_WORKER")  # with which pytest-benchmark measures nothing
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "run", "--quick", "--label", folder, *arguments],
        cwd=ROOT,
        env=inherited | environment | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


def results_of(contestants: dict[str, str], *cells: dict[str, Any]) -> Results:
    """Return the results of a run on SQLite, unless a cell has another database."""
    parties = [{"name": name, "kind": kind, "left_out": None} for name, kind in contestants.items()]
    whole = [{"database": "sqlite", "question": "contention", **cell} for cell in cells]
    databases = {cell["database"]: {"contestants": parties} for cell in whole}
    data = {"databases": databases, "cells": whole, "failures": []}
    return Results(Path("results.json"), data)


def texts(table: Any) -> list[list[str]]:
    return [[entry.text for entry in row] for row in table.rows]


@pytest.mark.parametrize(
    ("numbers", "counter", "commits", "fault"),
    [
        ([1, 2, 3], 3, 3, None),
        ([3, 1, 2], None, 3, None),
        ([], None, 0, None),
        ([1, 2, 2], 3, 3, "'one' has duplicates: 2"),
        ([1, 2, 4], 4, 3, "'one' has gaps: 3"),
        ([0, 1, 2], 2, 3, "'one' has duplicates: 0"),
        ([1, 2, 3], 3, 2, "one, committed, has 2 rows"),
        ([1, 2], 2, 3, "one, committed, has 3 rows"),
        ([1, 2, 3], 5, 3, "'one' has gaps: 4, 5"),
        ([1, 2, None], 2, 3, "1 rows without a number of 'one'"),
    ],
)
def test_exactness(
    numbers: Iterable[int | None], counter: int | None, commits: int, fault: str | None
) -> None:
    """Numbers are exact if they are 1..n, once each, for n commits and a counter at n."""
    rows = [("one", number) for number in numbers]
    found = fault_in({"one": commits}, rows, lambda scope: counter)
    assert (fault in found) if fault and found else found is fault


def test_exactness_of_own_counters() -> None:
    """The counters of different writers are checked separately."""
    rows = [("w0", 1), ("w1", 1), ("w1", 2)]
    assert fault_in({"w0": 1, "w1": 2}, rows, lambda scope: None) is None
    assert fault_in({"w0": 2, "w1": 1}, rows, lambda scope: None) is not None


def test_a_run(tmp_path: Path) -> None:
    """A run reports an unreachable server and a backend that isn't exact, and continues."""
    unreachable = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    done = run(
        tmp_path,
        *("--only", "bulk", "--db", "sqlite,postgresql"),
        POSTGRESQL_URL=unreachable,
        BACKEND=BROKEN,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OperationalError" in done.stdout
    results = Results(tmp_path / "results.json")
    measured = {cell["contestant"] for cell in results.cells("bulk", database="sqlite")}
    assert {"SequenceField", "get_next_value", "django-sequences", "auto-increment"} <= measured
    broken = f"get_next_value, {BROKEN} backend"
    assert broken in {failure["contestant"] for failure in results.data["failures"]}
    assert results.kinds()[broken] == "third party"
    assert broken not in measured
    assert "error" in results.databases["postgresql"]


def test_nothing_measured(tmp_path: Path) -> None:
    """A run without any figure fails."""
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    done = run(tmp_path, "--only", "bulk", "--db", "postgresql", POSTGRESQL_URL=url)
    assert done.returncode == 1


def test_backend_that_is_none(tmp_path: Path) -> None:
    """A backend that can't be loaded is left out with the reason; the others are measured."""
    done = run(tmp_path, "--only", "bulk", "--db", "sqlite", BACKEND="no.such.Backend")
    assert done.returncode == 0, done.stdout + done.stderr
    results = Results(tmp_path / "results.json")
    left_out = {one["name"]: one["left_out"] for one in results.databases["sqlite"]["contestants"]}
    assert "no.such.Backend" in left_out["get_next_value, no.such.Backend backend"]
    assert left_out["get_next_value"] is None
    assert results.cells("bulk", contestant="get_next_value")


@pytest.mark.parametrize(
    ("kind", "exact", "committed", "failed"),
    [
        ("ours", True, 9, False),
        ("ours", False, 9, True),
        ("ours", True, 0, True),
        ("peer", False, 9, False),
        ("peer", True, 0, False),
    ],
)
def test_exit_status(kind: str, exact: bool, committed: int, failed: bool) -> None:
    """The run fails if our contestant is not exact or commits nothing, but not if a peer does."""
    fault = None if exact else "'one' has gaps: 3"
    cell = {"contestant": "it", "fault": fault, "committed": committed}
    assert results_of({"it": kind}, cell).ours_failed is failed


@pytest.mark.parametrize(("name", "failed"), [("it", False), ("ours", True), ("", True)])
def test_exit_status_of_failures(name: str, failed: bool) -> None:
    """An exception of our contestant, or without a contestant, fails the run."""
    results = results_of({"it": "peer", "ours": "ours"}, {"contestant": "it"})
    results.data["failures"].append({"contestant": name})
    assert results.ours_failed is failed


def test_table_of_inexact_numbers() -> None:
    """A table shows no speed if the numbers are not exact, and marks failed transactions."""
    wrong = {"contestant": "wrong", "fault": "3 numbers too often"}
    right = {"contestant": "right", "rate": 12.0}
    failing = {"contestant": "failing", "rate": 1234.5, "errors": {"Error": 2}}
    results = results_of(
        {"right": "ours", "failing": "peer", "wrong": "peer"}, wrong, failing, right
    )
    table = pivot(results, "", results.cells("contention"))
    assert table.rows == [
        [Entry("right"), Entry("12.0")],
        [Entry("failing"), Entry("1\N{NO-BREAK SPACE}234 †", "best")],
        [Entry("wrong"), Entry("not exact", "bad")],
    ]
    assert table.columns == ["", "SQLite"]
    assert table.note.startswith("†")
    assert ["sqlite", "contention", "wrong", "not exact: 3 numbers too often"] in texts(
        page.failures(results)
    )


def test_rows_of_a_table() -> None:
    """Our rows come first, variants below what they vary; a row without a figure is left out."""
    kinds = {
        "theirs": "peer",
        "ours": "ours",
        "gaps": "price",
        "driver": "limit",
        "empty": "limit",
        "theirs, tuned": "peer",
        "other": "ours",
        "ours, tuned": "ours",
    }
    cells = [{"contestant": one, "rate": 1.0} for one in kinds if one != "empty"]
    results = results_of(kinds, *cells, {"contestant": "empty"})
    rows = [name for name, _ in texts(pivot(results, "", results.cells("contention")))]
    assert rows == [
        *("ours", "ours, tuned", "other"),
        *("theirs", "theirs, tuned", "price: gaps", "limit: driver"),
    ]


def test_slowed_disk() -> None:
    """Each delay of a sync has a panel and ratios, and the chart's title states the finding."""
    rates = {
        "SequenceField, early release": 800,
        "SequenceField": 200,
        "django-sequences": 100,
        "auto-increment": 1000,
    }
    cells = [
        {"contestant": name, "writers": 8, "sync": sync, "rate": rate + 100 * (sync == 0)}
        for sync in (0, 1)
        for name, rate in rates.items()
    ]
    place = {"database": "postgresql", "question": "disk"}
    results = results_of(dict.fromkeys(rates, "ours"), *({**place, **cell} for cell in cells))
    found = {text: (entry.text.split()[0], entry.style) for text, _, entry in ratios(results)}
    begin, end = "rows/s of SequenceField, early release / ", ", 8 writers, {} ms more for a sync"
    assert found == {
        f"{begin}auto-increment{end.format(1)}": ("0.80", ""),
        f"{begin}SequenceField{end.format(1)}": ("4.00", ""),
        f"{begin}django-sequences{end.format(1)}": ("8.00", ""),
        f"{begin}SequenceField{end.format(0)}": ("3.00", ""),
    }
    (chart,) = charts.charts(results)
    assert "early release commits 4.0× the rows of SequenceField on PostgreSQL" in chart.finding
    assert list(chart.panels) == ["no delay", "1 ms more for each sync"]


def test_a_missed_ratio() -> None:
    """A ratio that misses its limit is marked, and shown with the limit."""
    times = {"SequenceField": 1.2, "auto-increment": 1.0}
    cells = [{"question": "bulk", "contestant": one, "median": time} for one, time in times.items()]
    (ratio,) = ratios(results_of(dict.fromkeys(times, "ours"), *cells))
    name = "bulk_create / with auto-increment"
    assert ratio == (name, "sqlite", Entry("1.20 (≤ 1.15)", "bad"))


def test_a_disk_that_cannot_be_slowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question Disk needs a PostgreSQL server that the suite starts itself."""
    monkeypatch.delenv("POSTGRESQL_URL", raising=False)
    assert list(map(can_be_slowed, ("postgresql", "sqlite"))) == [True, False]
    monkeypatch.setenv("POSTGRESQL_URL", "postgresql://somewhere")
    assert not can_be_slowed("postgresql")


def test_saved_results(tmp_path: Path) -> None:
    """The saved results are equal when they are read again, and have one line per cell."""
    results = results_of({}, {"contestant": "a"}, {"contestant": "b"})
    results.path = tmp_path / "results.json"
    results.save()
    assert Results(results.path).data == json.loads(results.path.read_text()) == results.data
    lines = results.path.read_text().splitlines()
    assert sum(line.startswith('{"database":"sqlite"') for line in lines) == 2


def test_charts_have_few_lines() -> None:
    """A chart has at most five lines, with a colour for each."""
    for chart in charts.charts(Results(page.COMMITTED)):
        for lines in chart.panels.values():
            assert len(lines) <= 5
            assert len({charts.COLOURS[name] for name in lines}) == len(lines)


def test_tables_fit_the_page() -> None:
    """No table has more columns than the page shows without scrolling."""
    for table in page.tables(Results(page.COMMITTED)):
        assert len(table.columns) <= 7, table.title


def test_the_labels_of_ticks_are_legible() -> None:
    """The labels below the x axis don't touch each other."""
    for chart in charts.charts(Results(page.COMMITTED)):
        figure = chart.draw()
        figure.draw_without_rendering()
        for axes in figure.axes:
            labels = [label for label in axes.get_xticklabels() if label.get_text()]
            boxes = [label.get_window_extent() for label in labels]
            for left, right in itertools.pairwise(boxes):
                assert left.x1 < right.x0, chart.name


def test_performance_section() -> None:
    """The generated section of docs/performance.rst matches the committed results."""
    text = page.PAGE.read_text()
    assert text == page.updated(text, Results(page.COMMITTED))
