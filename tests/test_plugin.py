"""Each run, with or without DB, has exactly the tests of its databases."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.distributions import ROOT, try_run

PLUGINS = ("-p", "tests.servers.plugin", "-p", "tests.plugin", "-p", "no:cacheprovider")

MARKED = """
import pytest


@pytest.mark.django_db(databases=["{alias}"])
class TestMarked:
    def test_marked(self): ...


class TestNamed:
    using = "{alias}"

    def test_named(self): ...
"""

UNSAID = """
import pytest


{mark}
def test_unsaid({fixture}): ...
"""

LEAK = """
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from sequences_core import get_allocator


def test_first():
    wrapper = DatabaseWrapper({"ENGINE": "django.db.backends.oracle", "NAME": ""}, "default")
    wrapper.vendor = "oracle"
    assert type(get_allocator(wrapper)).__name__ == "OracleAllocator"


def test_second():
    assert type(get_allocator(connections["default"])).__name__ == "SQLiteAllocator"
"""

FAILING_TEARDOWN = """
import pytest
from django.core.management.commands import flush
from django.db import connections


@pytest.mark.django_db(transaction=True, databases=["sqlite"])
def test_first():
    patch = pytest.MonkeyPatch()  # the fixture is undone too early

    def fail(*args, **options):
        patch.undo()
        raise TimeoutError

    patch.setattr(flush.Command, "handle", fail)


@pytest.mark.django_db(transaction=True, databases=["default"])
def test_second():
    connections["default"].cursor().close()
"""

WORKERS = """
import os
from pathlib import Path

import pytest


@pytest.mark.parametrize("number", range(4))
def test_noted(number):
    Path(os.environ["PYTEST_XDIST_WORKER"]).write_text(os.environ["SQLITE_URL"])
"""

ADDRESS = """
import pytest


@pytest.mark.parametrize("made", [object()], ids=repr)
def test_made(made): ...
"""


def run_tests(folder: Path, source: str, *options: str, url: str | None = None) -> tuple[int, str]:
    """Run a test module of the backend in that folder, with DB=sqlite."""
    file = folder / "backends" / "acme" / "tests" / "test_acme.py"
    file.parent.mkdir(parents=True)
    file.write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\nDJANGO_SETTINGS_MODULE = tests.settings\n")
    command = (sys.executable, "-m", "pytest", *PLUGINS, *options, "-p", "no:randomly", "backends")
    # The inner run must not clear the database of this one.
    url = f"sqlite:///{folder / 'db.sqlite3'}" if url is None else url
    done = try_run(*command, cwd=folder, PYTHONPATH=str(ROOT), DB="sqlite", SQLITE_URL=url)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("alias", ["sqlite", "postgresql", "oracle"])
def test_a_database_outside_db_is_left_out(tmp_path: Path, alias: str) -> None:
    """Whether a test names its database by ``using`` or by its mark, a narrowed run knows."""
    _, text = run_tests(tmp_path, MARKED.format(alias=alias), "--collect-only")
    assert ("2 tests collected" if alias == "sqlite" else "(2 deselected)") in text, text


def test_an_unknown_database_is_an_error(tmp_path: Path) -> None:
    """A misspelt alias would leave the test out of every run."""
    code, text = run_tests(tmp_path, MARKED.format(alias="postgres"), "--collect-only")
    assert code == pytest.ExitCode.USAGE_ERROR
    for test in ("TestMarked::test_marked", "TestNamed::test_named"):
        assert f"{test} is for postgres: no DB starts such a database" in text


@pytest.mark.parametrize(
    ("mark", "fixture"), [("@pytest.mark.django_db", ""), ("", "db"), ("", "transactional_db")]
)
def test_a_backends_test_names_its_database(tmp_path: Path, mark: str, fixture: str) -> None:
    """A backend's test without a database would run on whichever is the first of DB."""
    source = UNSAID.format(mark=mark, fixture=fixture)
    code, text = run_tests(tmp_path, source, "--collect-only")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "test_unsaid is in a backend's folder and doesn't say which database it is for" in text


def test_an_allocator_that_is_left_behind_fails_its_test(tmp_path: Path) -> None:
    """The registry looks once per alias: what a test puts there would be every later test's."""
    code, text = run_tests(tmp_path, LEAK)
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "2 passed, 1 error" in text, text
    assert "AssertionError: the test left other allocators" in text


def test_a_teardown_that_fails_is_one_failure(tmp_path: Path) -> None:
    """The tests after it have their databases."""
    _, text = run_tests(tmp_path, FAILING_TEARDOWN)
    assert "2 passed, 1 error" in text, text


def test_workers_share_no_server(tmp_path: Path) -> None:
    """Each worker of xdist has a database of its own; with a given one, there can be no workers."""
    code, text = run_tests(tmp_path, WORKERS, "-n", "2", url="")
    assert code == pytest.ExitCode.OK, text
    assert len({(tmp_path / worker).read_text() for worker in ("gw0", "gw1")}) == 2


def test_workers_cannot_share_a_given_server(tmp_path: Path) -> None:
    """``-n auto`` then runs the tests in one process, and any other number is an error."""
    source = "def test_nothing(): ..."
    code, text = run_tests(tmp_path / "auto", source, "-n", "auto")
    assert code == pytest.ExitCode.OK, text
    assert "1 passed" in text
    code, text = run_tests(tmp_path / "two", source, "-n", "2")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "SQLITE_URL: workers can't share a server; use -n 0." in text


def test_an_id_contains_no_address(tmp_path: Path) -> None:
    """The ids of a test must be the same in all workers of xdist."""
    code, text = run_tests(tmp_path, ADDRESS, "--collect-only")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "contains an address" in text
