"""Test databases whose tables are created from the models, because migrations are disabled."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.distributions import ROOT
from tests.reports import run_tests

SETTINGS = """
from tests.settings import *

TEST = {{"NAME": {name!r}, "MIGRATE": {migrate!r}}}
DATABASES = {{"default": {{**DATABASES[{alias!r}], "TEST": TEST}}}}
"""

TESTS = """
import pytest
from django.db import connection

from sequences_core import NextValue
from sequences_core.functions import has_function
from tests.numbered.models import Invoice


@pytest.mark.django_db
def test_numbers_and_the_function():
    assert Invoice.objects.create().number == 1
    assert has_function(connection)
    other = Invoice.objects.create(number=NextValue("invoices"))
    other.refresh_from_db()
    assert other.number == 2


@pytest.mark.django_db(transaction=True)
def test_flushed():
    assert Invoice.objects.create().number == 1


@pytest.mark.django_db(transaction=True)
def test_flushed_again():
    assert Invoice.objects.create().number == 1
"""


@pytest.mark.parametrize("by", ["MIGRATE", "--nomigrations"])
@pytest.mark.parametrize("alias", [name for name in settings.DATABASES if name != "default"])
def test_the_backend_is_installed(by: str, alias: str, tmp_path: Path) -> None:
    """Both ways to disable migrations call the backend, which creates the function."""
    name = str(tmp_path / "test.sqlite3") if alias == "sqlite" else "test_without"
    written = SETTINGS.format(alias=alias, name=name, migrate=by != "MIGRATE")
    (tmp_path / "synced_settings.py").write_text(written)
    (tmp_path / "test_synced.py").write_text(TESTS)
    report = run_tests(
        Path(sys.executable),
        tmp_path,
        *("-ptests.servers.plugin", "-pno:cacheprovider", "--ds=synced_settings"),
        *([] if by == "MIGRATE" else [by]),
        "test_synced.py",
        PYTHONPATH=f"{ROOT}:{tmp_path}",
        DB=alias,
    )
    assert report.count("passed") == 3, report.text
