"""The benchmark suite: it finds numbers that are not exact, and says what it could not measure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from sequences_orm import ORMAllocator

from benchmarks.questions.contention import fault_in
from benchmarks.questions.writers import Outcome
from benchmarks.report import charts, findings, readme
from benchmarks.report.compare import comparison
from benchmarks.report.questions import contention, disk, projection, waits
from benchmarks.report.ratios import ratios
from benchmarks.results import Results
from benchmarks.scale import SCALES
from benchmarks.suite import Suite
from sequences_core import Allocation
from tests.servers.ports import free_port

ROOT = Path(__file__).resolve().parents[1]


class AlwaysOne(ORMAllocator):
    """A backend whose numbers are all the same."""

    protocol = 1

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        return 1


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    names = ("DB", "SQLITE_URL", "POSTGRESQL_URL", "DJANGO_SETTINGS_MODULE")
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--label", str(folder), *arguments],
        cwd=ROOT,
        env=inherited | environment | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


@dataclass
class Stored:
    """What a contestant left in its tables."""

    rows: list[tuple[str, int]]
    counter: int | None = None

    def numbers(self) -> Iterable[tuple[str, int]]:
        return self.rows

    def last(self, scope: str) -> int | None:
        return self.counter


@pytest.mark.parametrize(
    ("numbers", "counter", "commits", "fault"),
    [
        ([1, 2, 3], 3, 3, None),
        ([3, 1, 2], None, 3, None),
        ([], None, 0, None),
        ([1, 2, 2], 3, 3, "1 of 3 numbers given twice"),
        ([1, 2, 4], 4, 3, "numbers up to 4 for 3 rows"),
        ([0, 1, 2], 2, 3, "numbers up to 2 for 3 rows"),
        ([1, 2, 3], 3, 2, "3 rows for 2 commits"),
        ([1, 2], 2, 3, "2 rows for 3 commits"),
        ([1, 2, 3], 5, 3, "the counter is at 5 after 3 rows"),
    ],
)
def test_exactness(
    numbers: list[int], counter: int | None, commits: int, fault: str | None
) -> None:
    """Numbers are exact if they are 1..n once each, n the commits and where the counter stands."""
    stored = Stored([("one", number) for number in numbers], counter)
    outcomes = [Outcome("one", committed=commits), Outcome("one")]
    assert fault_in(stored, outcomes) == fault


def test_exactness_of_own_counters() -> None:
    """Counters of different writers are checked apart."""
    stored = Stored([("w0", 1), ("w1", 1), ("w1", 2)])
    assert fault_in(stored, [Outcome("w0", 1), Outcome("w1", 2)]) is None
    assert fault_in(stored, [Outcome("w0", 2), Outcome("w1", 1)]) == "1 rows for 2 commits"


def test_a_run(tmp_path: Path) -> None:
    """A server out of reach and a backend that isn't exact are told, and the rest goes on."""
    unreachable = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    done = run(
        tmp_path,
        *("--only", "bulk", "--db", "sqlite,postgresql"),
        POSTGRESQL_URL=unreachable,
        BACKEND=f"{__name__}.{AlwaysOne.__name__}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "postgresql" in done.stdout
    assert "OperationalError" in done.stdout
    results = Results.load(tmp_path / "results.json")
    measured = {cell["contestant"] for cell in results.cells("bulk", database="sqlite")}
    assert {"SequenceField", "get_next_value", "django-sequences", "auto-increment"} <= measured
    failed = {failure["cell"]["contestant"]: failure["kind"] for failure in results.failures}
    broken = f"get_next_value, {__name__}.AlwaysOne backend"
    assert failed[broken] == "third party"
    assert broken not in measured
    assert "error" in results.databases["postgresql"]
    assert "<svg" in (tmp_path / "index.html").read_text()


def test_nothing_measured(tmp_path: Path) -> None:
    """A run that could measure nothing fails."""
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    done = run(tmp_path, "--only", "bulk", "--db", "postgresql", POSTGRESQL_URL=url)
    assert done.returncode == 1


def test_unknown_question(tmp_path: Path) -> None:
    """A question that there isn't is refused, with the names of those that there are."""
    done = run(tmp_path, "--only", "colour")
    assert done.returncode == 2
    assert "there is call, contention" in done.stderr


def test_backend_that_is_none(tmp_path: Path) -> None:
    """A backend that can't be loaded takes no part, with the reason; the others do."""
    done = run(tmp_path, "--only", "bulk", "--db", "sqlite", BACKEND="no.such.Backend")
    assert done.returncode == 0, done.stdout + done.stderr
    results = Results.load(tmp_path / "results.json")
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
def test_exit_status(tmp_path: Path, kind: str, exact: bool, committed: int, failed: bool) -> None:
    """The run fails if one of ours is not exact or commits nothing, and not if a peer does so."""
    results = Results(tmp_path / "results.json", "quick")
    results.databases["sqlite"] = {"contestants": [{"name": "it", "kind": kind}]}
    cell = {"contestant": "it", "exact": exact, "committed": committed}
    results.add("sqlite", "contention", [cell])
    assert results.ours_failed is failed


def test_table_of_inexact_numbers(tmp_path: Path) -> None:
    """Where numbers were not exact the table says how, and shows no speed."""
    results = Results(tmp_path / "results.json", "quick")
    results.databases["sqlite"] = {
        "done": ["contention"],
        "contestants": [{"name": name, "kind": "peer"} for name in ("wrong", "right")],
    }
    shape = {"writers": 8, "counters": "one", "latency": 0, "rollbacks": False, "committed": 9}
    wrong = {"contestant": "wrong", "exact": False, "fault": "3 of 9 numbers given twice"}
    right = {"contestant": "right", "exact": True, "fault": None, "rate": 12.0}
    results.add("sqlite", "contention", [{**shape, **wrong}, {**shape, **right}])
    (table,) = contention(results, "sqlite")
    texts = [(entry.text, entry.style) for row in table.rows for entry in row]
    assert ("not exact: 3 of 9 numbers given twice", "bad") in texts
    assert ("12.0", "best") in texts


def test_table_of_errors(tmp_path: Path) -> None:
    """Failed transactions are told by class, from all cells, and mark the speed of their own."""
    results = Results(tmp_path / "results.json", "quick")
    results.databases["sqlite"] = {
        "done": ["contention"],
        "contestants": [{"name": "it", "kind": "peer"}],
    }
    shape = {"contestant": "it", "counters": "one", "latency": 0, "rollbacks": False}
    shape |= {"exact": True, "fault": None, "committed": 9, "rate": 9}
    results.add(
        "sqlite",
        "contention",
        [
            {**shape, "writers": 1, "errors": {}},
            {**shape, "writers": 8, "errors": {"IntegrityError 23505": 2}},
            {**shape, "writers": 16, "errors": {"IntegrityError 23505": 3, "Error": 1}},
        ],
    )
    (rates,), (errors,) = contention(results, "sqlite"), waits(results, "sqlite")
    assert [entry.text for entry in rates.rows[0][1:3]] == ["9", "9 †"]
    assert errors.rows[0][-1].text == "5 IntegrityError 23505, 1 Error"
    assert errors.rows[0][-1].style == "bad"


def test_slowed_disk(tmp_path: Path) -> None:
    """Each time of a sync has a table and ratios; the title of the chart says what came of it."""
    results = Results(tmp_path / "results.json", "quick")
    rates = {
        "SequenceField, early release": 800,
        "SequenceField": 200,
        "django-sequences": 100,
        "auto-increment": 1000,
    }
    results.databases["postgresql"] = {
        "done": ["disk"],
        "contestants": [{"name": name, "kind": "ours"} for name in rates],
    }
    for sync in (0, 1):
        for name, rate in rates.items():
            cell = {"contestant": name, "writers": 8, "sync": sync, "exact": True, "committed": 9}
            results.add("postgresql", "disk", [{**cell, "rate": rate + 100 * (sync == 0)}])
    as_it_is, slowed = disk(results, "postgresql")
    assert "the disk as it is" in as_it_is.title
    assert "1 ms more for each sync" in slowed.title
    assert [row[1].text for row in slowed.rows] == ["800", "200", "100", "1\N{NO-BREAK SPACE}000"]
    found = {ratio.text: (ratio.value, ratio.reached) for ratio in ratios(results)}
    begin, end = "rows/s of SequenceField, early release / ", ", 8 writers, {} ms more for a sync"
    assert found == {
        f"{begin}auto-increment{end.format(1)}": (0.8, True),
        f"{begin}SequenceField{end.format(1)}": (4.0, True),
        f"{begin}django-sequences{end.format(1)}": (8.0, True),
        f"{begin}SequenceField{end.format(0)}": (3.0, True),
    }
    assert "commits 4.0× its rows without, 8.0× django-sequences', and 0.80 of" in findings.disk(
        results
    )
    assert list(charts.draw(results)) == ["disk"]


def test_a_disk_that_cannot_be_slowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only PostgreSQL is asked about the disk, and only where the suite starts the server."""
    scale, databases = SCALES["quick"], ("postgresql", "sqlite")
    results = Results(tmp_path / "results.json", "quick")
    suite = Suite(results, scale, databases, ("call", "disk"), lambda what, seconds: None)
    monkeypatch.delenv("POSTGRESQL_URL", raising=False)
    assert list(map(suite.questions_for, databases)) == [["call", "disk"], ["call"]]
    monkeypatch.setenv("POSTGRESQL_URL", "postgresql://somewhere")
    assert list(map(suite.questions_for, databases)) == [["call"], ["call"]]


@pytest.mark.parametrize(
    ("taken", "slope", "text"),
    [(50_000, 0.01, "would take 85 minutes"), (10**6, 0.01, ""), (50_000, 0.0, "")],
)
def test_projection(taken: int, slope: float, text: str) -> None:
    """Where time was up before all numbers were taken, the table says how long all would take."""
    details = {"curve": [[250, 80.0], [taken, 580.0]], "fit": [80.0, slope]}
    cell = {"contestant": "it", "size": 10**6, "details": details}
    assert (text in projection(cell)) if text else not projection(cell)


def test_compare(tmp_path: Path) -> None:
    """Two runs are compared cell by cell, by what both have measured."""
    runs = []
    for rate in (1000.0, 1500.0):
        results = Results(tmp_path / "results.json", "quick")
        results.add("sqlite", "contention", [{"contestant": "it", "writers": 8, "rate": rate}])
        results.add("sqlite", "call", [{"contestant": str(rate), "median": 1.0}])
        results.save()
        runs.append(Results.load(results.path))
    (table,) = comparison(*runs)
    assert [entry.text for entry in table.rows[0]] == [
        "it, 8",
        "1\N{NO-BREAK SPACE}000",
        "1\N{NO-BREAK SPACE}500",
        "1.50",
    ]


def test_saved_results(tmp_path: Path) -> None:
    """The file of results is JSON that reads back as it was, and has a line for each cell."""
    results = Results(tmp_path / "results.json", "quick")
    results.add("sqlite", "call", [{"contestant": "a"}, {"contestant": "b"}])
    results.save()
    assert json.loads(results.path.read_text()) == results.data
    lines = results.path.read_text().splitlines()
    assert sum(line.startswith('{"database":"sqlite"') for line in lines) == 2


def test_performance_section() -> None:
    """docs/performance.rst says what the committed results do, and no more."""
    text = readme.PAGE.read_text()
    if readme.COMMITTED.exists():
        assert text == readme.updated(text, Results.load(readme.COMMITTED))
    else:
        assert readme.BEGIN + "\n" + readme.END in text
