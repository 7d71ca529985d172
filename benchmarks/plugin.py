"""The pytest plugin of the questions: it prepares the database, and writes down what they find.

The suite works in a database of its own, so that it can be pointed at any server. Oracle has
schemas instead: there it uses the one that it is given, which must be empty.
"""

from __future__ import annotations

import gc
import os
import statistics
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import django
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import DatabaseError, connection, connections

from benchmarks.results import Results
from benchmarks.scale import DATABASE, RESULT, URL
from benchmarks.settings import PEERS

found: dict[tuple[str, Any], Any] = {}
"""By question and cell: Times or a Tally."""

failed: dict[tuple[str, Any], str] = {}
"""Likewise: the first error. A cell that failed has no figures."""


@dataclass
class Times:
    """The seconds that calls took, turn by turn."""

    turns: list[list[float]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def result(self) -> dict[str, Any]:
        """All turns taken together, in µs."""
        everything = [time for turn in self.turns for time in turn]
        median, *turns = (statistics.median(turn) * 1e6 for turn in (everything, *self.turns))
        return {
            "median": round(median, 2),
            "turns": [round(one, 2) for one in turns],
        } | self.details


def pytest_configure() -> None:
    """Have the database ready before the questions are imported: they ask it."""
    django.setup()
    from benchmarks.contestants import everyone, left_out

    if connection.vendor not in {"sqlite", "oracle"}:
        # create_test_db() would migrate at once, and give up where one peer can't.
        creation: Any = connection.creation
        name = creation._create_test_db(verbosity=0, autoclobber=True)
        connection.close()
        for alias in connections:
            connections[alias].settings_dict["NAME"] = name
        os.environ[URL] = urlunsplit(urlsplit(os.environ[URL])._replace(path=f"/{name}"))
    unable = migrate()
    for contestant in everyone():
        if reason := unable.get(contestant.app) or contestant.unfit():
            left_out[contestant.name] = reason


def migrate() -> dict[str, str]:
    """Make all tables; return the peers whose migrations fail here, with the reason."""
    unable = {}
    # Of two aliases for one database the first, which asks for no privilege.
    aliases = {connections[one].settings_dict["NAME"]: one for one in reversed([*connections])}
    for alias in aliases.values():
        for app in apps.get_app_configs():
            unmigrated = not (Path(app.path) / "migrations").exists()
            options: Any = {"database": alias, "run_syncdb": unmigrated, "verbosity": 0}
            try:
                call_command("migrate", app.label, **options)
            except DatabaseError as error:
                if app.name not in PEERS:
                    raise
                unable[app.name] = f"its migration fails: {error}"
    return unable


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write down what was found; a cell that failed is a finding, too."""
    from benchmarks.contestants import everyone, left_out

    results = Results(Path(os.environ[RESULT]))
    database = os.environ[DATABASE]
    results.databases[database]["contestants"] = [
        {"name": one.name, "kind": one.kind, "left_out": left_out.get(one.name)}
        for one in everyone()
    ]
    for (question, cell), one in found.items():
        if (question, cell) not in failed:
            place = {"database": database, "question": question}
            results.data["cells"].append({**place, **asdict(cell), **one.result()})
    for (question, cell), error in failed.items():
        who = {"contestant": getattr(cell, "contestant", ""), "error": error}
        results.data["failures"].append({"database": database, "question": question, **who})
    results.save()
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        session.exitstatus = pytest.ExitCode.OK


def pytest_unconfigure() -> None:
    if connection.vendor == "sqlite":
        for alias in connections:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{connections[alias].settings_dict['NAME']}{suffix}").unlink(missing_ok=True)
    elif connection.vendor != "oracle":
        connection.creation.destroy_test_db(verbosity=0)


def key(item: Any) -> tuple[str, Any]:
    """The question and the cell of a test."""
    return item.path.stem, item.callspec.params["cell"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    if call.excinfo is not None:
        error = f"{call.excinfo.typename}: {call.excinfo.value}".strip()
        failed.setdefault(key(item), error.splitlines()[0])
    return (yield)


@pytest.fixture(autouse=True)
def same_heap() -> Iterator[None]:
    """Let the garbage collector, which stays on, see what the cell makes, and nothing older."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def times(request: pytest.FixtureRequest, benchmark: Any) -> Iterator[Times]:
    """Keep what pytest-benchmark times in a test."""
    kept = found.setdefault(key(request.node), Times())
    yield kept
    if benchmark.stats is not None:
        kept.turns.append(list(benchmark.stats.stats.data))


@pytest.fixture(scope="session")
def writers() -> Iterator[Any]:
    from benchmarks.questions.writers import Writers

    with Writers() as pool:
        yield pool


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Any:
    from benchmarks.questions.contention import Tally

    return found.setdefault(key(request.node), Tally())
