"""The results of a run: a JSON file to which each pytest session adds its own."""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"

PACKAGES = ("Django", "sequences-core", "django-sequences", "django-seq", "django-autosequence")
DRIVERS = ("psycopg", "mysqlclient", "oracledb")

Cell = dict[str, Any]


class Results:
    """The results of one run, given or read from a file."""

    def __init__(self, path: Path, data: dict[str, Any] | None = None) -> None:
        self.path = path
        self.data = json.loads(path.read_text()) if data is None else data

    @classmethod
    def new(cls, path: Path, scale: str) -> Results:
        """Return empty results with the machine and the versions of the packages."""
        from cpuinfo import get_cpu_info  # importing it is slow

        found = {"scale": scale, "started": datetime.now(UTC).isoformat(timespec="seconds")}
        machine = {"cpu": get_cpu_info().get("brand_raw", ""), "cores": os.cpu_count()}
        machine |= {"system": platform.system(), "python": platform.python_version()}
        packages = {}
        for package in (*PACKAGES, *DRIVERS):
            with suppress(PackageNotFoundError):
                packages[package] = version(package)
        empty: dict[str, Any] = {"databases": {}, "cells": [], "failures": []}
        return cls(path, {**found, "machine": machine, "packages": packages, **empty})

    def save(self) -> None:
        """Write the file atomically, with one line per cell for readable diffs."""
        cells = ",\n".join(json.dumps(cell, separators=(",", ":")) for cell in self.data["cells"])
        text = json.dumps({**self.data, "cells": "CELLS"}, indent=1, ensure_ascii=False)
        draft = self.path.with_suffix(".draft")
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text.replace('"CELLS"', f"[\n{cells}\n]") + "\n")
        os.replace(draft, self.path)

    @property
    def databases(self) -> dict[str, dict[str, Any]]:
        """The title and the contestants, or the error, of each database."""
        databases: dict[str, dict[str, Any]] = self.data["databases"]
        return databases

    def cells(self, question: str, **wanted: Any) -> list[Cell]:
        """Return the cells of a question that have these values."""
        return [
            cell
            for cell in self.data["cells"]
            if cell["question"] == question
            and all(cell.get(key) == value for key, value in wanted.items())
        ]

    def kinds(self) -> dict[str, str]:
        """Return the kind of each contestant, in the order of the suite."""
        return {
            one["name"]: one["kind"]
            for entry in self.databases.values()
            for one in entry.get("contestants", ())
        }

    @property
    def ours_failed(self) -> bool:
        """Whether our contestants or the suite itself failed, or nothing was measured."""
        kinds = self.kinds()
        wrong = [cell for cell in self.data["cells"] if inexact(cell) or cell.get("committed") == 0]
        names = [one.get("contestant") for one in (*wrong, *self.data["failures"])]
        return not self.data["cells"] or any(kinds.get(name, "ours") == "ours" for name in names)


def inexact(cell: Cell) -> bool:
    """Return whether the numbers of a cell were wrong."""
    return bool(cell.get("fault"))
