"""What a run has found out: a JSON file that grows while the run goes on."""

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
    """The results of one run: a new one, or what a file says."""

    def __init__(self, path: Path, data: dict[str, Any] | None = None) -> None:
        self.path = path
        self.data = json.loads(path.read_text()) if data is None else data

    @classmethod
    def new(cls, path: Path, scale: str) -> Results:
        """Begin a run, with what its figures depend on."""
        from cpuinfo import get_cpu_info  # slow: it asks the processor

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
        """Write the file, whole or not at all, one line per cell: easy to compare by diff."""
        cells = ",\n".join(json.dumps(cell, separators=(",", ":")) for cell in self.data["cells"])
        text = json.dumps({**self.data, "cells": "CELLS"}, indent=1, ensure_ascii=False)
        draft = self.path.with_suffix(".draft")
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text.replace('"CELLS"', f"[\n{cells}\n]") + "\n")
        os.replace(draft, self.path)

    @property
    def databases(self) -> dict[str, dict[str, Any]]:
        """By name: title, contestants, or the error."""
        databases: dict[str, dict[str, Any]] = self.data["databases"]
        return databases

    def cells(self, question: str, **wanted: Any) -> list[Cell]:
        """The cells of a question, with these values."""
        return [
            cell
            for cell in self.data["cells"]
            if cell["question"] == question
            and all(cell.get(key) == value for key, value in wanted.items())
        ]

    def kinds(self) -> dict[str, str]:
        """By contestant, in their order: ours, third party, peer, price, limit."""
        return {
            one["name"]: one["kind"]
            for entry in self.databases.values()
            for one in entry.get("contestants", ())
        }

    @property
    def ours_failed(self) -> bool:
        """Did one of ours fail, or nothing work at all? What is no contestant is ours, too."""
        kinds = self.kinds()
        wrong = [cell for cell in self.data["cells"] if inexact(cell) or cell.get("committed") == 0]
        names = [one.get("contestant") for one in (*wrong, *self.data["failures"])]
        return not self.data["cells"] or any(kinds.get(name, "ours") == "ours" for name in names)


def inexact(cell: Cell) -> bool:
    """Were the numbers of a cell wrong?"""
    return bool(cell.get("fault"))
