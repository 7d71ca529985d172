"""One run: database after database, question after question, each in a process of its own."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import steps
from benchmarks.environment import CHOSEN, DISK, SCALE, URL
from benchmarks.results import Cell, Results, summarised
from benchmarks.scale import Scale
from tests.servers import ServerError, launch
from tests.servers.probe import describe
from tests.servers.slow_disk import SlowPostgreSQL

QUESTIONS = ("call", "contention", "growth", "bulk", "overhead", "disk")

WEIGHTS = {
    "quick": {"call": 9, "contention": 26, "growth": 9, "bulk": 4, "overhead": 5, "disk": 45},
    "full": {
        "call": 85,
        "contention": 270,
        "growth": 95,
        "bulk": 28,
        "overhead": 16,
        "disk": 400,
    },
}
"""About how many seconds a question takes on a database: for the time that is left."""

Watch = Callable[[str, float], None]
"""Told what is measured now, and how many seconds' worth of the run is done."""


@dataclass
class Suite:
    """What to run, and where to put what comes of it."""

    results: Results
    scale: Scale
    databases: tuple[str, ...]
    questions: tuple[str, ...]
    watch: Watch

    @property
    def seconds(self) -> float:
        """About how long it will take."""
        return sum(
            self._weight(question)
            for database in self.databases
            for question in self.questions_for(database)
        )

    def run(self) -> None:
        """Measure everything that isn't in the results yet; what can't be is said there."""
        spent = 0.0
        for database in self.databases:
            done = self.results.databases.get(database, {}).get("done", [])
            questions = self.questions_for(database)
            left = [question for question in questions if question not in done]
            self.results.databases.get(database, {}).pop("error", None)
            # Disk has a server of its own: the others need no compiler.
            for together in ([one for one in left if one != "disk"], ["disk"] * ("disk" in left)):
                if together:
                    self._measure(database, together, spent)
            spent += sum(map(self._weight, questions))
        self.watch("done", self.seconds)

    def questions_for(self, database: str) -> list[str]:
        """Those that can be asked of the database."""
        own = database == "postgresql" and launch.variable(database) not in os.environ
        return [question for question in self.questions if question != "disk" or own]

    def _weight(self, question: str) -> float:
        return WEIGHTS[self.scale.name][question]

    def _measure(self, database: str, questions: list[str], spent: float) -> None:
        entry = self.results.databases.setdefault(database, {"done": []})
        self.watch(f"{database}: starting", spent)
        try:
            with server(database, slow="disk" in questions) as (url, disk):
                entry["title"] = describe(url)
                environment = {**self._prepare(entry, url), DISK: disk}
                try:
                    for question in questions:
                        self._ask(database, question, environment, spent)
                        spent += self._weight(question)
                        entry["done"].append(question)
                        self.results.save()
                finally:
                    list(steps.run(["-m", "benchmarks.prepare", "drop"], environment))
        except (ServerError, steps.StepFailed, OSError) as error:
            entry["error"] = str(error).splitlines()[0]
        except Exception as error:  # noqa: BLE001 # a driver's: the server can't be reached
            entry["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
        self.results.save()

    def _prepare(self, entry: dict[str, Any], url: str) -> dict[str, str]:
        environment = {
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            SCALE: self.scale.name,
            URL: url,
        }
        entry["contestants"] = []
        for event in steps.run(["-m", "benchmarks.prepare"], environment):
            if event.pop("event") == "contestant":
                entry["contestants"].append(event)
            else:
                environment[URL] = event["url"]
                entry["settings"] = event["settings"]
        fit = [one["name"] for one in entry["contestants"] if not one["left_out"]]
        return {**environment, CHOSEN: json.dumps(fit)}

    def _ask(self, database: str, question: str, environment: dict[str, str], spent: float) -> None:
        started = time.monotonic()
        try:
            found = self._answers(database, question, environment, spent)
        except Exception as error:  # noqa: BLE001 # one question less, and no more than that
            self._fail(database, question, {}, f"{type(error).__name__}: {error}".splitlines()[0])
            found = []
        self.results.add(database, question, found)
        seconds = round(time.monotonic() - started, 1)
        self.results.databases[database].setdefault("seconds", {})[question] = seconds
        self.results.data["seconds"] += seconds

    def _answers(
        self, database: str, question: str, environment: dict[str, str], spent: float
    ) -> list[Cell]:
        count, done, found = 1, 0, []
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            for event in steps.run(command(question, file.name), environment):
                match event.pop("event"):
                    case "cells":
                        count = event["count"] or 1
                    case "cell":
                        progress = spent + self._weight(question) * done / count
                        self.watch(f"{database}: {question}: {event['name']}", progress)
                    case "done":
                        done += 1
                    case "failed":
                        self._fail(database, question, event["cell"], event["error"])
                    case "result":
                        found.append(event)
            if Path(file.name).stat().st_size:
                failed = [
                    failure["cell"].items()
                    for failure in self.results.failures
                    if (failure["database"], failure["question"]) == (database, question)
                ]
                found += [
                    cell
                    for cell in summarised(Path(file.name))
                    if not any(items and items <= cell.items() for items in failed)
                ]
        return found

    def _fail(self, database: str, question: str, cell: dict[str, Any], error: str) -> None:
        contestant = cell.get("contestant", "")
        # A step that ends as a whole is the suite's own failure.
        kind = self.results.kind(database, contestant) if contestant else "ours"
        failure = {"database": database, "question": question, "kind": kind, "error": error}
        cell = {key: value for key, value in cell.items() if key != "turn"}
        entry = {**failure, "cell": cell}
        if entry not in self.results.failures:
            self.results.failures.append(entry)


def command(question: str, json_file: str) -> list[str]:
    """The arguments of python for a question."""
    if question in {"contention", "disk"}:
        return ["-m", f"benchmarks.questions.{question}"]
    folder = Path(__file__).parent
    return [
        *["-m", "pytest", "-c", str(folder / "pytest.ini"), "--rootdir", str(folder)],
        *["--benchmark-quiet", f"--benchmark-json={json_file}"],
        str(folder / "questions" / f"{question}.py"),
    ]


@contextmanager
def server(database: str, *, slow: bool) -> Iterator[tuple[str, str]]:
    """The URL of a server that runs by itself, so that no other takes its processor time.

    It keeps its own settings, crash safety included; a URL in the environment comes first. With
    ``slow`` it is a PostgreSQL whose disk is slowed by what is in the folder returned, else "".
    """
    try:
        if slow:
            with SlowPostgreSQL() as own:
                yield own.url, str(own.disk.folder)
        else:
            yield launch.start([database], durable=True)[database], ""
    finally:
        launch.stop()
