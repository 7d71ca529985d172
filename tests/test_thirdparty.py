"""The third party's view: only what is installed, in an environment of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.distributions import (
    ROOT,
    SAMPLES,
    build,
    build_sample,
    make_environment,
    run,
    write_distribution,
)
from tests.reports import Report, run_tests
from tests.servers import PostgreSQL
from tests.servers.ports import HOST

ACME, GLOBEX = SAMPLES

# The sample's settings, but for SQLite's default lock: BEGIN IMMEDIATE would hide a missing one.
DEFERRED_SETTINGS = """
from settings import *

DATABASES["default"]["OPTIONS"]["transaction_mode"] = "DEFERRED"
"""

BROKEN_TESTS = """
from sequences_core.testing import AllocatorContract


class TestAcme(AllocatorContract):
    backend = "acme"


class TestReadsThenWrites(AllocatorContract):
    backend = "reads-then-writes"


class TestCommitsAtOnce(AllocatorContract):
    backend = "commits-at-once"


class TestKeepsAStock(AllocatorContract):
    backend = "keeps-a-stock"
"""


@pytest.fixture(scope="session")
def python(
    tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path], acme_wheel: Path
) -> Path:
    """A Python with the core, the sample and the broken allocators, all installed from wheels."""
    folder = tmp_path_factory.mktemp("thirdparty")
    write_distribution(
        folder / "broken",
        "broken-allocators",
        {"broken_allocators": (ROOT / "tests" / "broken_allocators.py").read_text()},
        {
            "reads-then-writes": "broken_allocators:ReadsThenWrites",
            "commits-at-once": "broken_allocators:CommitsAtOnce",
            "keeps-a-stock": "broken_allocators:KeepsAStock",
        },
    )
    build(folder / "broken", folder)
    return make_environment(
        folder / "environment",
        f"{wheels['sequences-core']}[testing]",
        acme_wheel,
        *folder.glob("*.whl"),
    )


def copy_tests(folder: Path, sample: Path = ACME) -> Path:
    """Copy a sample's tests and their configuration, not its package: that is installed."""
    shutil.copytree(sample / "tests", folder / "tests")
    shutil.copy(sample / "pyproject.toml", folder)
    return folder


def test_sample_passes_the_kit_from_wheels(python: Path, tmp_path: Path) -> None:
    """An allocator of another project passes the whole kit, with nothing but wheels installed."""
    report = run_tests(python, copy_tests(tmp_path))
    assert report.exit_code == 0, report.text
    # What its flags say that it can't do is left out, and nothing else.
    assert report.reasons == {
        "AcmeAllocator.can_limit_first_wait is False",
        "AcmeAllocator.can_limit_wait is False",
        "AcmeAllocator.can_release_early is False",
        "AcmeAllocator.locks_database is True",
        "AcmeAllocator.supports_function is False",
        "sqlite has one isolation level",
    }
    assert report.count("passed") + report.count("skipped") == len(report.outcomes)
    assert report.count("passed") > 75
    assert report.count("skipped") < report.count("passed")
    assert report.outcomes["TestAcme", "test_outcome_is_exact"] == "passed"


def test_sample_with_row_locks_passes_the_kit(wheels: dict[str, Path], tmp_path: Path) -> None:
    """So does one for a database that locks rows, at each isolation level of a real server."""
    wheel = build_sample(GLOBEX, tmp_path / "wheel")
    core, driver = f"{wheels['sequences-core']}[testing]", f"{wheel}[driver]"
    python = make_environment(tmp_path / "environment", core, driver)
    with PostgreSQL() as server:
        report = run_tests(
            python,
            copy_tests(tmp_path, GLOBEX),
            PGHOST=HOST,
            PGPORT=str(server.port),
            PGUSER="postgres",
        )
    assert report.exit_code == 0, report.text
    assert report.reasons == {
        "GlobexAllocator.can_limit_first_wait is False",
        "GlobexAllocator.can_limit_wait is False",
        "GlobexAllocator.can_release_early is False",
        "GlobexAllocator.single_statement is False",
        "GlobexAllocator.supports_function is False",
    }
    assert report.count("passed") + report.count("skipped") == len(report.outcomes)
    assert report.outcomes["TestGlobex", "test_isolation_levels"] == "passed"
    assert report.outcomes["TestGlobex", "test_first_takers_all_succeed"] == "passed"


# A driver that warns when it connects, and once more when the process ends.
NOISY_DRIVER = """
import warnings

from django.db.backends.sqlite3 import base


class Leftover:
    def __del__(self):
        warnings.warn("a session was never closed", ResourceWarning)


class DatabaseWrapper(base.DatabaseWrapper):
    leftover = Leftover()

    def get_new_connection(self, conn_params):
        warnings.warn("this driver is old", DeprecationWarning)
        return super().get_new_connection(conn_params)
"""

NOISY_SETTINGS = """
from settings import *

DATABASES["default"]["ENGINE"] = "noisy"
"""


def test_a_drivers_warnings_are_not_the_samples(python: Path, tmp_path: Path) -> None:
    """Warnings of the driver, at connecting and at exit, fail no test of the sample."""
    folder = copy_tests(tmp_path)
    (folder / "tests" / "noisy").mkdir()
    (folder / "tests" / "noisy" / "__init__.py").touch()
    (folder / "tests" / "noisy" / "base.py").write_text(NOISY_DRIVER)
    (folder / "tests" / "noisy_settings.py").write_text(NOISY_SETTINGS)
    report = run_tests(python, folder, "--ds=noisy_settings", "-k", "waits_for_the_end or exact")
    assert report.exit_code == 0, report.text
    assert "this driver is old" in report.text


def test_the_sample_is_typed(python: Path) -> None:
    """The wheel has the marker without which type checkers ignore annotations."""
    program = "import acme_sequences; print(*acme_sequences.__path__)"
    assert (Path(run(python, "-c", program).strip()) / "py.typed").is_file()


def test_nothing_is_imported_from_the_repository(python: Path, tmp_path: Path) -> None:
    """The core, the kit and the sample are those of the environment; no backend of ours is."""
    program = """
from importlib.metadata import entry_points
import acme_sequences, sequences_core
print(acme_sequences.__file__, sequences_core.__file__)
print(*sorted(entry_points(group="sequences_core.backends").names))
"""
    files, names = run(python, "-c", program, cwd=copy_tests(tmp_path)).splitlines()
    site_packages = python.parents[1] / "lib"
    assert all(Path(file).is_relative_to(site_packages) for file in files.split())
    assert names == "acme commits-at-once keeps-a-stock reads-then-writes"


@pytest.fixture(scope="module")
def broken_report(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The kit's tests of rollback and first use, run on the sample and on its broken children."""
    folder = copy_tests(tmp_path_factory.mktemp("broken"))
    (folder / "tests" / "deferred.py").write_text(DEFERRED_SETTINGS)
    (folder / "tests" / "test_conformance.py").write_text(BROKEN_TESTS)
    return run_tests(
        python, folder, "--ds=deferred", "-k", "gives_numbers_back or first_takers or bad_names"
    )


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        ("TestReadsThenWrites", "test_first_takers_all_succeed"),
        ("TestCommitsAtOnce", "test_rollback_gives_numbers_back"),
        ("TestCommitsAtOnce", "test_savepoint_rollback_gives_numbers_back"),
        ("TestKeepsAStock", "test_rollback_gives_numbers_back"),
    ],
)
def test_broken_allocator_fails_the_kit(broken_report: Report, broken: str, test: str) -> None:
    """An allocator that can leave a hole fails the test that says so; the sound one passes it."""
    assert broken_report.exit_code == 1, broken_report.text
    assert broken_report.outcomes[broken, test] == "failure", broken_report.text
    assert broken_report.outcomes["TestAcme", test] == "passed", broken_report.text
