"""Functions that run the doctor and read its output."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction

from sequences_core import get_next_value

Finding = dict[str, Any]


def examine(alias: str) -> list[Finding]:
    """Return the doctor's findings for this database and the project; it fails on errors."""
    out = StringIO()
    failed = False
    try:
        call_command("sequences", "doctor", "--database", alias, "--format", "json", stdout=out)
    except CommandError:
        failed = True
    report = json.loads(out.getvalue())
    assert set(report) == {"project", "databases"}
    assert set(report["databases"]) == {alias}
    found: list[Finding] = report["databases"][alias]["findings"] + report["project"]["findings"]
    assert failed == any(finding["level"] == "error" for finding in found)
    return found


def one(found: list[Finding], text: str) -> Finding:
    """Return the finding whose message contains this text."""
    (finding,) = [finding for finding in found if text in finding["message"]]
    return finding


def printed(*args: str) -> str:
    out = StringIO()
    call_command("sequences", "doctor", *args, stdout=out, no_color=True)
    return out.getvalue()


def execute(alias: str, *statements: str) -> None:
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def vendor(alias: str) -> str:
    """Return the name of the database, which distinguishes MariaDB from MySQL."""
    return alias.removeprefix("private_")


def only(alias: str, *names: str) -> None:
    if vendor(alias) not in names:
        pytest.skip(f"this can't be, or is otherwise, on {vendor(alias)}")


def taken(alias: str) -> None:
    with transaction.atomic(using=alias):
        get_next_value("invoices", using=alias)


def until_warned(alias: str, text: str = "locked") -> Finding:
    """Run the doctor until a wait is long enough for a warning; SQLite can't report waits."""
    level = "info" if vendor(alias) == "sqlite" else "warning"
    while True:
        found = [each for each in examine(alias) if text in each["message"]]
        if [each for each in found if each["level"] == level]:
            (finding,) = found
            return finding
