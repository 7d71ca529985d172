"""Subcommands of ``manage.py sequences`` that other distributions add."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

MODULE = """
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db import OperationalError
from sequences_core import SequencesError
from sequences_core.subcommands import Subcommand

ERRORS = [CommandError, ImproperlyConfigured, OperationalError, SequencesError, TypeError,
          ValueError, KeyError]

class Greet(Subcommand):
    help = "Greet 100 % of them."

    def add_arguments(self, parser):
        parser.add_argument("name")
        parser.add_argument("--error", type=int)

    def handle(self, **options):
        if options["error"] is not None:
            raise ERRORS[options["error"]]("it went wrong")
        self.command.stdout.write(f"Hello {options['name']} on {options['database']}")

class Clumsy(Subcommand):
    def add_arguments(self, parser):
        parser.add_argument("--database")

    def handle(self, **options): ...

class Unfinished(Subcommand): ...

class Stranger: ...
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution with the entry points during the test."""

    def install(distribution: str, **entries: str) -> None:
        folder = tmp_path / distribution
        info = folder / f"{distribution}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[sequences_core.commands]", *lines]))
        (folder / "greetings.py").write_text(MODULE)
        monkeypatch.syspath_prepend(folder)

    yield install
    sys.modules.pop("greetings", None)


def run(*args: str) -> str:
    out = StringIO()
    call_command("sequences", *args, stdout=out, no_color=True)
    return out.getvalue()


def test_an_installed_subcommand_runs(install: Install) -> None:
    """It gets its own arguments and --database, and is listed in the help."""
    install("greetings", greet="greetings:Greet")
    assert run("greet", "Ada") == "Hello Ada on None\n"
    assert run("greet", "Ada", "--database", "default") == "Hello Ada on default\n"


def test_help_names_it(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` shows what an installed subcommand does, a % included."""
    install("greetings", greet="greetings:Greet")
    for args in (["--help"], ["greet", "--help"]):
        with pytest.raises(SystemExit):
            call_command("sequences", *args)
        assert "Greet 100 % of them." in capsys.readouterr().out


@pytest.mark.parametrize("error", range(6))
def test_expected_errors_are_command_errors(error: int, install: Install) -> None:
    """A subcommand's bad arguments, settings and databases are shown without a traceback."""
    install("greetings", greet="greetings:Greet")
    with pytest.raises(CommandError, match="it went wrong"):
        run("greet", "Ada", "--error", str(error))


def test_a_bug_is_a_traceback(install: Install) -> None:
    """An unexpected error is raised unchanged."""
    install("greetings", greet="greetings:Greet")
    with pytest.raises(KeyError):
        run("greet", "Ada", "--error", "6")


BROKEN = {
    "no_such_module:Greet": "No module named",
    "greetings:NoSuchClass": "NoSuchClass",
    "greetings:Stranger": "not a subclass of sequences_core.subcommands.Subcommand",
    "greetings:Unfinished": "abstract",
    "greetings:Clumsy": "--database",
}


@pytest.mark.django_db
@pytest.mark.parametrize("value", BROKEN)
def test_a_broken_one_breaks_no_other(value: str, install: Install) -> None:
    """When it is called, the error names its distribution; others still work."""
    install("greetings", greet="greetings:Greet", broken=value)
    for args in ([], ["any.Model", "--thing", "else"]):
        with pytest.raises(CommandError, match=r"broken.*greetings.*") as caught:
            run("broken", *args)
        assert value in str(caught.value)
        assert BROKEN[value] in str(caught.value)
    assert run("greet", "Ada") == "Hello Ada on None\n"
    assert run("list").startswith("sequence")


@pytest.mark.django_db
def test_names_are_unique(install: Install) -> None:
    """If two distributions have the same name, neither is used; the core's names are reserved."""
    install("greetings", greet="greetings:Greet", list="greetings:Greet")
    install("rival", greet="greetings:Greet")
    with pytest.raises(CommandError, match=r"greetings .*rival .*uninstall one"):
        run("greet", "Ada")
    assert run("list").startswith("sequence")


def test_nothing_is_loaded_by_other_commands(install: Install) -> None:
    """Only ``manage.py sequences`` imports the subcommands."""
    install("greetings", greet="greetings:Greet")
    call_command("check", "--tag", "urls", stdout=StringIO(), stderr=StringIO())
    modules: Any = sys.modules
    assert "greetings" not in modules
