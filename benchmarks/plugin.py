"""The pytest plugin of the benchmarks: it prepares the database and saves the results.

It creates a database of its own, so that it works on any server. On Oracle, it uses the schema
that it is given, which must be empty.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from dataclasses import asdict
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
"""The Times or the Tally of each question and cell."""

failed: dict[tuple[str, Any], str] = {}
"""The first error of each question and cell; a cell that failed has no figures."""


def pytest_configure() -> None:
    """Prepare the database before the questions are imported, because they query it."""
    django.setup()
    from benchmarks.contestants import everyone, left_out

    if connection.vendor not in {"sqlite", "oracle"}:
        # create_test_db() also migrates, and stops at the first peer whose migration fails.
        creation: Any = connection.creation
        name = creation._create_test_db(verbosity=0, autoclobber=True)
        connection.close()
        for alias in connections:
            connections[alias].settings_dict["NAME"] = name
        os.environ[URL] = urlunsplit(urlsplit(os.environ[URL])._replace(path=f"/{name}"))
    unable = migrate()
    for contestant in everyone():
        if reason := unable.get(contestant.app) or contestant.reason_against():
            left_out[contestant.name] = reason


def migrate() -> dict[str, str]:
    """Create all tables; return the peers whose migrations fail, with the reason."""
    unable = {}
    # If two aliases share a database, use the first, which needs no privilege.
    aliases = {connections[one].settings_dict["NAME"]: one for one in reversed([*connections])}
    for alias in aliases.values():
        for app in apps.get_app_configs():
            unmigrated = not (Path(app.path) / "migrations").exists()
            options: Any = {"database": alias, "run_syncdb": unmigrated, "verbosity": 0}
            try:
                with connections[alias].wrap_database_errors:  # not all engines do this
                    call_command("migrate", app.label, **options)
            except DatabaseError as error:
                if app.name not in PEERS:
                    raise
                unable[app.name] = f"its migration fails: {error}"
    return unable


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Save the results; the session succeeds even if cells failed."""
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
    """Return the question and the cell of a test."""
    return item.path.stem, item.callspec.params["cell"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    if call.excinfo is not None and call.excinfo.typename != "Skipped":
        error = f"{call.excinfo.typename}: {call.excinfo.value}".strip()
        failed.setdefault(key(item), error.splitlines()[0][:200])
    return (yield)


@pytest.fixture(autouse=True)
def same_heap() -> Iterator[None]:
    """Exclude older objects from garbage collection, which stays enabled."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def times(request: pytest.FixtureRequest, benchmark: Any) -> Iterator[Any]:
    """Keep the durations that pytest-benchmark measures in a test."""
    from benchmarks.questions.figures import Times

    kept = found.setdefault(key(request.node), Times())
    yield kept
    if benchmark.stats is not None:
        kept.turns.append(list(benchmark.stats.stats.data))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Any:
    from benchmarks.questions.figures import Tally

    return found.setdefault(key(request.node), Tally())
