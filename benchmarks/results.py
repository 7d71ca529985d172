"""What a run has found out: a JSON file that grows while the run goes on."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections import defaultdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"

PACKAGES = (
    "Django",
    "sequences-core",
    "django-sequences",
    "django-seq",
    "django-autosequence",
    "psycopg",
    "mysqlclient",
    "oracledb",
)

Cell = dict[str, Any]


class Results:
    """The results of one run, or of a run that goes on where an earlier one ended."""

    def __init__(self, path: Path, scale: str) -> None:
        self.path = path
        self.data: dict[str, Any] = {
            "scale": scale,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": 0.0,
            "machine": machine(),
            "packages": packages(),
            "databases": {},
            "cells": [],
            "failures": [],
        }

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read a file that a run has written."""
        results = cls(path, "")
        results.data = json.loads(path.read_text())
        return results

    def save(self) -> None:
        """Write the file, whole or not at all, one line per cell: easy to compare by diff."""
        data = {**self.data, "cells": "CELLS"}
        cells = ",\n".join(json.dumps(cell, separators=(",", ":")) for cell in self.data["cells"])
        text = json.dumps(data, indent=1, ensure_ascii=False)
        draft = self.path.with_suffix(".draft")
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text.replace('"CELLS"', f"[\n{cells}\n]") + "\n")
        os.replace(draft, self.path)

    @property
    def scale(self) -> str:
        return str(self.data["scale"])

    @property
    def databases(self) -> dict[str, dict[str, Any]]:
        """By name: title, settings, contestants, the questions done, or the error."""
        databases: dict[str, dict[str, Any]] = self.data["databases"]
        return databases

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Cells that gave no figure: database, question, cell, error."""
        failures: list[dict[str, Any]] = self.data["failures"]
        return failures

    def cells(self, question: str, **wanted: Any) -> list[Cell]:
        """The cells of a question, with these values."""
        return [
            cell
            for cell in self.data["cells"]
            if cell["question"] == question
            and all(cell.get(key) == value for key, value in wanted.items())
        ]

    def value(self, question: str, value: str, **wanted: Any) -> float | None:
        """One figure of the one cell with these values; None if it wasn't measured."""
        found = self.cells(question, **wanted)
        return found[0].get(value) if found else None

    def add(self, database: str, question: str, cells: list[Cell]) -> None:
        """Add the cells that a question has given on a database."""
        place = {"database": database, "question": question}
        self.data["cells"] += [{**place, **cell} for cell in cells]

    def kind(self, database: str, contestant: str) -> str:
        """ours, third party, peer, price or limit."""
        for entry in self.databases[database].get("contestants", ()):
            if entry["name"] == contestant:
                return str(entry["kind"])
        return ""

    @property
    def ours_failed(self) -> bool:
        """Did one of ours fail, or nothing work at all?"""
        ours = any(failure["kind"] == "ours" for failure in self.failures) or any(
            cell["exact"] is False or not cell["committed"]
            for cell in [*self.cells("contention"), *self.cells("disk")]
            if self.kind(cell["database"], cell["contestant"]) == "ours"
        )
        return ours or not self.data["cells"]


def summarised(path: Path) -> list[Cell]:
    """The cells in a file of pytest-benchmark: times in µs, the turns of a cell taken together."""
    turns: dict[str, list[Any]] = defaultdict(list)
    for benchmark in json.loads(path.read_text())["benchmarks"]:
        cell = {key: value for key, value in benchmark["extra_info"].items() if key != "turn"}
        turns[json.dumps(cell)].append(benchmark["stats"]["data"])
    return [{**json.loads(cell), **_statistics(data)} for cell, data in turns.items()]


def _statistics(turns: list[list[float]]) -> Cell:
    times = sorted(time * 1e6 for turn in turns for time in turn)
    quantiles = statistics.quantiles(times, n=20) if len(times) > 1 else times * 19
    return {
        "median": round(statistics.median(times), 2),
        "q1": round(quantiles[4], 2),
        "q3": round(quantiles[14], 2),
        "p95": round(quantiles[18], 2),
        "calls": len(times),
        "turns": [round(statistics.median(turn) * 1e6, 2) for turn in turns],
    }


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def cpu() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def packages() -> dict[str, str]:
    """The installed versions of what is measured and of what it goes through."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
