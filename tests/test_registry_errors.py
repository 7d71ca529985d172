"""Errors when no allocator can be chosen: the setting, the problem, and what is installed.

The packages that are broken here are really installed: see ``odd_wheels``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import override_settings

from sequences_core import (
    Allocator,
    BackendConflict,
    BackendImportFailed,
    BackendInvalid,
    BackendNotFound,
    SequencesError,
    get_allocator,
)
from tests.distributions import BACKENDS, run

OURS = ", ".join(sorted([*BACKENDS, "django_tidb"]))


@pytest.fixture
def connection() -> BaseDatabaseWrapper:
    return connections["default"]


def refusal(backend: Any, connection: BaseDatabaseWrapper, kind: type[Exception]) -> str:
    """Choose the backend, expect to be refused with that error, and return the message."""
    with override_settings(SEQUENCES_BACKEND=backend), pytest.raises(kind) as caught:
        get_allocator(connection)
    assert isinstance(caught.value, ImproperlyConfigured)
    assert isinstance(caught.value, SequencesError)
    return str(caught.value)


def test_unknown_name(connection: BaseDatabaseWrapper) -> None:
    """The error has the setting, the installed names, and the remedy."""
    assert refusal("akme", connection, BackendNotFound) == (
        "SEQUENCES_BACKEND = 'akme': the sequences backend 'akme' is not installed. Install the "
        "distribution that registers it in the entry-point group 'sequences_core.backends', or "
        f"sequences-orm, which supports any database. Installed backends: {OURS}."
    )


def test_unknown_name_of_one_database(connection: BaseDatabaseWrapper) -> None:
    """In a dict the message names the entry that asked."""
    message = refusal({"default": "akme"}, connection, BackendNotFound)
    assert message.startswith("SEQUENCES_BACKEND['default'] = 'akme': ")


def test_failed_import(connection: BaseDatabaseWrapper, site: Path) -> None:
    """A backend whose import fails: its name, its distribution, and the original error."""
    message = refusal("driverless", connection, BackendImportFailed)
    assert message.startswith(
        "SEQUENCES_BACKEND = 'driverless': the sequences backend 'driverless' of odd-allocators "
        "is installed, but importing odd_import:Allocator failed: ModuleNotFoundError: No module "
        "named 'driver_that_nobody_has'. Installed backends: django_tidb, driverless, duck, "
    )


def test_failed_import_has_its_cause(connection: BaseDatabaseWrapper, site: Path) -> None:
    """The original error is the cause, with its traceback."""
    for backend, cause in (
        ("driverless", ModuleNotFoundError),
        ("misspelt", AttributeError),
        ("odd_import.Allocator", ModuleNotFoundError),
        ("odd_allocators.Soudn", ImportError),
    ):
        with (
            override_settings(SEQUENCES_BACKEND=backend),
            pytest.raises(BackendImportFailed) as caught,
        ):
            get_allocator(connection)
        assert isinstance(caught.value.__cause__, cause)
        assert str(caught.value.__cause__) in str(caught.value)


def test_failed_import_of_a_dotted_path(connection: BaseDatabaseWrapper) -> None:
    """A dotted path that leads nowhere: the path, the original error, what is installed."""
    assert refusal("acme.Allocator", connection, BackendImportFailed) == (
        "SEQUENCES_BACKEND = 'acme.Allocator': importing acme.Allocator failed: "
        f"ModuleNotFoundError: No module named 'acme'. Installed backends: {OURS}."
    )


def test_two_distributions_with_one_name(connection: BaseDatabaseWrapper, site: Path) -> None:
    """Both distributions are named, and a dotted path selects one of them."""
    message = refusal("twin", connection, BackendConflict)
    assert message.startswith(
        "SEQUENCES_BACKEND = 'twin': the sequences backend 'twin' is registered by odd-allocators "
        "(odd_allocators:Twin) and rival-allocators (rival_allocators:MicrosoftAllocator). "
        "Uninstall one, or choose one by its dotted path, such as 'odd_allocators.Twin'. Installed "
    )
    with override_settings(SEQUENCES_BACKEND="odd_allocators.Twin"):
        assert type(get_allocator(connection)).__name__ == "Twin"


@pytest.mark.parametrize(
    ("backend", "shown"),
    [
        ("duck", "<class 'odd_allocators.Duck'>"),
        ("odd_allocators.Duck", "<class 'odd_allocators.Duck'>"),
        ("instance", "<odd_allocators.Sound object"),
        ("os.path.join", "<function join"),
    ],
)
def test_no_allocator(
    backend: str, shown: str, connection: BaseDatabaseWrapper, site: Path
) -> None:
    """The error shows the object that is not an Allocator, and what is expected."""
    message = refusal(backend, connection, BackendInvalid)
    assert message.startswith(f"SEQUENCES_BACKEND = {backend!r}: {backend!r} is {shown}")
    assert "not a subclass of sequences_core.Allocator. Installed backends: " in message


@pytest.mark.parametrize(("backend", "version"), [("future", 2), ("undated", None)])
def test_wrong_protocol(
    backend: str, version: int | None, connection: BaseDatabaseWrapper, site: Path
) -> None:
    """A backend for another version of the contract: both versions, and what to do."""
    message = refusal(backend, connection, BackendInvalid)
    assert message.startswith(
        f"SEQUENCES_BACKEND = {backend!r}: {backend!r} was written for version {version} of the "
        f"allocator protocol, but sequences_core has version 1. Install compatible releases of "
        f"both. Installed backends: "
    )


def test_unfinished_allocator(connection: BaseDatabaseWrapper, site: Path) -> None:
    """A class that lacks a method of the contract: Python's own words say which."""
    message = refusal("unfinished", connection, BackendInvalid)
    assert message.startswith("SEQUENCES_BACKEND = 'unfinished': 'unfinished' can't be used: Type")
    assert "update" in message


@pytest.mark.parametrize("backend", [None, "", 1, True, ["orm"], b"orm", Allocator])
def test_bad_setting(backend: Any, connection: BaseDatabaseWrapper) -> None:
    """A setting of the wrong type, alone or in a dict: its value, and what it may be."""
    for setting, shown in (
        (backend, f"SEQUENCES_BACKEND = {backend!r}: "),
        ({"default": backend}, f"SEQUENCES_BACKEND['default'] = {backend!r}: "),
    ):
        assert refusal(setting, connection, BackendInvalid) == (
            f"{shown}it must be 'auto', the name of an entry point, a dotted path, or a dict that "
            f"maps database aliases to these. Installed backends: {OURS}."
        )


@pytest.mark.parametrize("backend", ["postgresql", "mysql", "oracle", "sqlite"])
@pytest.mark.parametrize("named", [str, lambda backend: {"default": backend}])
def test_a_backend_of_another_vendor(
    connection: BaseDatabaseWrapper, backend: str, named: Any
) -> None:
    """A backend for another kind of database is refused before it sends a statement."""
    vendor, connection.vendor = connection.vendor, "microsoft"
    try:
        message = refusal(named(backend), connection, BackendInvalid)
    finally:
        connection.vendor = vendor
    assert (
        f"{backend!r} supports databases of vendor {backend}, but database 'default' is of vendor "
        f"'microsoft'. Installed backends: {OURS}."
    ) in message


@pytest.mark.parametrize("alias", ["defualt", "", "Default", 1])
def test_a_database_that_there_is_not(connection: BaseDatabaseWrapper, alias: Any) -> None:
    """A misspelt alias in the setting is no silent "auto"."""
    choice = {alias: "orm", "default": "auto"}
    message = refusal(choice, connection, BackendInvalid)
    assert message.startswith(
        f"SEQUENCES_BACKEND = {choice!r}: DATABASES has no {str(alias)!r}. Installed backends: "
    )


def test_nothing_installed(core_python: Path) -> None:
    """Without any backend: which vendor asked, or which setting, and the command that helps."""
    program = """
from django.conf import settings
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}})
from django.db import connection
from sequences_core import BackendNotFound, get_allocator
for backend in "auto", "postgresql":
    settings.SEQUENCES_BACKEND = backend
    try:
        get_allocator(connection)
    except BackendNotFound as error:
        print(error)
"""
    assert run(core_python, "-c", program).splitlines() == [
        "Database 'default' of vendor 'sqlite': neither the sequences backend 'sqlite' nor 'orm' "
        'is installed. Try: pip install "sequences-core[sqlite]". Installed backends: none.',
        "SEQUENCES_BACKEND = 'postgresql': the sequences backend 'postgresql' is not installed. "
        'Try: pip install "sequences-core[postgresql]". Installed backends: none.',
    ]


def test_a_failure_is_a_check(site: Path) -> None:
    """``manage.py check`` shows the same message."""
    with override_settings(SEQUENCES_BACKEND="driverless"):
        errors = [error for error in run_checks(databases=[]) if error.id == "sequences_core.E001"]
    assert errors
    assert "driver_that_nobody_has" in errors[0].msg
