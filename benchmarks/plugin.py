"""The pytest plugin of the questions that run on pytest-benchmark."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from dataclasses import asdict
from typing import Any

import django
import pytest

from benchmarks.events import emit


def pytest_configure() -> None:
    """Have Django ready before the questions are imported: they ask the database."""
    django.setup()


def pytest_collection_finish(session: pytest.Session) -> None:
    emit("cells", count=len(session.items))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A cell that failed is a finding, which has been told: the step as a whole did its work."""
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        session.exitstatus = pytest.ExitCode.OK


def pytest_runtest_logstart(nodeid: str) -> None:
    emit("cell", name=nodeid.rpartition("[")[2].rstrip("]") or nodeid.rpartition("::")[2])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None:
        error = f"{call.excinfo.typename}: {call.excinfo.value}".strip()
        emit("failed", cell=cell_of(item), error=error.splitlines()[0])
    if report.when == "teardown":
        emit("done")
    return report


def cell_of(item: pytest.Item) -> dict[str, Any]:
    """The cell that a test measures; tests and results name it in the same way."""
    cell = getattr(item, "callspec").params["cell"]  # noqa: B009
    return asdict(cell)


@pytest.fixture(autouse=True)
def same_heap() -> Iterator[None]:
    """Let the garbage collector, which stays on, see what the cell makes, and nothing older."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def name_the_cell(request: pytest.FixtureRequest, benchmark: Any) -> None:
    benchmark.extra_info.update(cell_of(request.node))
