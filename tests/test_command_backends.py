"""``manage.py sequences backends``: what is installed, and which backend serves which database."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connections


def backends(*args: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the lines of both tables, split, by the first word of each."""
    out = StringIO()
    call_command("sequences", "backends", *args, stdout=out, no_color=True)
    installed, databases = out.getvalue().split("\n\n")

    def rows(table: str) -> dict[str, list[str]]:
        return {line.split()[0]: line.split() for line in table.strip().splitlines()}

    return rows(installed), rows(databases)


def test_installed_backends_and_databases() -> None:
    """Each backend with its distribution, version and vendors; each database with its own."""
    installed, databases = backends()
    assert installed["backend"] == ["backend", "class", "distribution", "version", "vendors"]
    assert installed["mysql"][1:] == [
        *("sequences_mysql:MySQLAllocator", "sequences-mysql", "0.1.0", "mysql")
    ]
    assert installed["orm"][2:] == ["sequences-orm", "0.1.0", "any"]
    assert list(databases) == ["database", *connections]
    vendor = connections["default"].vendor
    assert databases["default"][1:3] == [vendor, vendor]
    assert " ".join(databases["default"][4:]) == f"Database 'default' of vendor '{vendor}'"


def test_programs_read_json() -> None:
    """With the names of the columns, and what the tables say."""
    out = StringIO()
    call_command("sequences", "backends", "--format", "json", stdout=out)
    report = json.loads(out.getvalue())
    installed, databases = backends()
    assert [each["backend"] for each in report["backends"]] == list(installed)[1:]
    assert [each["database"] for each in report["databases"]] == list(databases)[1:]
    (mysql,) = [each for each in report["backends"] if each["backend"] == "mysql"]
    assert list(mysql.values()) == installed["mysql"]
    assert report["databases"][0]["chosen by"].startswith("Database 'default' of vendor")


def test_the_setting_that_chooses_is_named(settings: Any) -> None:
    """The setting that selects the backend is shown only for the given database."""
    settings.SEQUENCES_BACKEND = {"default": "sequences_orm.ORMAllocator"}
    _, databases = backends("--database", "default")
    path = "sequences_orm.ORMAllocator"
    assert list(databases) == ["database", "default"]
    assert databases["default"][2:] == [
        *(path, "ORMAllocator", "SEQUENCES_BACKEND['default']", "=", f"'{path}'")
    ]


def test_what_cannot_be_used_is_shown(site: Path, settings: Any) -> None:
    """A backend that can't be imported hides no other, nor does a database that has none."""
    settings.SEQUENCES_BACKEND = "twin"
    installed, databases = backends()
    assert " ".join(installed["driverless"][4:]).startswith(
        "can't be used: ModuleNotFoundError: No module named 'driver_that_nobody_has'"
    )
    assert installed["sqlite"][-1] == "sqlite"
    assert databases["default"][2:4] == ["twin", "none"]
    assert "Uninstall one" in " ".join(databases["default"])
    settings.SEQUENCES_BACKEND = {"nowhere": "orm"}
    _, databases = backends()
    assert databases["default"][2] == "none"
    assert "DATABASES has no 'nowhere'" in " ".join(databases["default"])
