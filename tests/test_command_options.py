"""Django's usual options of ``manage.py sequences``, and what a user without privileges sees."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections

from sequences_core import get_allocator
from sequences_core.functions import forget_functions
from sequences_core.management.commands.sequences import Command
from sequences_core.models import Counter
from sequences_core.operations import install
from sequences_core.testing.vendors import session_state
from tests.privileges import connected_as

SETTINGS = """
SECRET_KEY = "no secret"
INSTALLED_APPS = ["sequences_core"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db"}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Any:
    """A project whose settings only ``--settings`` names; return what runs a command there."""
    (tmp_path / "office").mkdir()
    (tmp_path / "office" / "office_settings.py").write_text(SETTINGS)
    environment = {key: value for key, value in os.environ.items() if "DJANGO" not in key}

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "django", *args]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )

    done = run("migrate", "--settings", "office_settings", "--pythonpath", "office", "-v", "0")
    assert done.returncode == 0, done.stderr
    return run


def test_options_before_and_after_the_subcommand(project: Any) -> None:
    """The settings, colours, checks and tracebacks can be chosen in either place."""
    usual = ("--settings", "office_settings", "--pythonpath=office")
    create = ("set", "a", "7", "--create")
    options = (*usual, "--force-color", "--skip-checks")
    for args in ((*options, *create), (*create, *options)):
        done = project("sequences", *args)
        assert "The last number of sequence 'a' is 7." in done.stdout
        assert "\x1b[" in done.stdout
    wrong = ("set", "b", "7")
    for given in (("--traceback", *wrong), (*wrong, "--traceback"), wrong):
        done = project("sequences", *usual, *given)
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) == ("--traceback" in given)
        assert done.stderr.endswith(
            "CommandError: Database 'default' has no sequence 'b'; --create creates it.\n"
        )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "verbosity"),
    [
        (["list"], 1),
        (["-v", "0", "list"], 0),
        (["list", "-v", "3"], 3),
        (["-v", "2", "list", "-v", "0"], 0),
    ],
)
def test_a_subcommand_keeps_what_was_given_before_it(given: list[str], verbosity: int) -> None:
    """Its defaults don't override earlier options; of two values, the last one wins."""
    parser = Command().create_parser("manage.py", "sequences")
    assert parser.parse_args(given).verbosity == verbosity


def test_help_of_a_subcommand_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    """After its own options, as every command of Django does."""
    with pytest.raises(SystemExit):
        call_command("sequences", "set", "--help")
    out = capsys.readouterr().out
    assert out.index("--database") < out.index("--create") < out.index("--settings")


def run(*args: str, using: str) -> str:
    out = StringIO()
    call_command("sequences", *args, "--database", using, stdout=out, stderr=out, no_color=True)
    return out.getvalue()


@contextmanager
def read_only(using: str) -> Iterator[None]:
    """Make the database read-only, by a user without write privileges where there are users."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        with connected_as(using, "SELECT"):
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
    yield
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = OFF")


CHANGES = (
    ["next", "a"],
    ["set", "a", "9"],
    ["set", "a", "1", "--force"],
    ["set", "b", "1", "--create"],
    ["rename", "a", "b"],
    ["delete", "a", "--noinput"],
)


def test_no_privilege(using: str) -> None:
    """Each change is refused in one line, with the database's words; reading is not."""
    Counter.objects.using(using).create(name="a", last=5)
    with read_only(using):
        assert "a            5" in run("list", using=using)
        for change in CHANGES:
            with pytest.raises(CommandError, match=r"denied|readonly") as caught:
                run(*change, using=using)
            assert isinstance(caught.value.__cause__, DatabaseError)
            assert "\n" not in str(caught.value)
    assert list(Counter.objects.using(using).values_list("name", "last")) == [("a", 5)]
    assert session_state(connections[using])


def test_install_without_the_privilege(using: str) -> None:
    """It fails with the missing privilege; as a privileged user, it succeeds."""
    connection = connections[using]
    if connection.vendor == "sqlite":  # whose function is the connection's
        return
    get_allocator(connection).uninstall(connection)
    try:
        with (
            connected_as(using, "SELECT", "INSERT", "UPDATE", "DELETE"),
            pytest.raises(CommandError, match=r"CREATE ROUTINE|must be owner"),
        ):
            run("install", using=using)
        assert "is ready for" in run("install", using=using)
    finally:
        install(connection)
        forget_functions()
