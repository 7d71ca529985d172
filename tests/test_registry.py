"""Which allocator serves a connection, and what is said when none can.

The packages that are broken here are built, and installed where ``sys.path`` finds them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.sqlite3.base import DatabaseWrapper
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
from tests.distributions import build, install_into, run, write_distribution

OURS = "mysql, oracle, orm, postgresql, sqlite"

ODD = """
from sequences_core import Allocator


class Sound(Allocator):
    protocol = 1

    def upsert(self, connection, allocation): ...
    def update(self, connection, allocation): ...


class Twin(Sound): ...


class Future(Sound):
    protocol = 2


class Undated(Allocator):
    upsert = update = Sound.upsert


class Unfinished(Allocator):
    protocol = 1

    def upsert(self, connection, allocation): ...


class Duck:
    protocol = 1


instance = Sound()
"""

MICROSOFT = """
from odd_allocators import Sound


class MicrosoftAllocator(Sound): ...
"""


class Microsoft(DatabaseWrapper):
    """A database that none of our backends serves."""

    vendor = "microsoft"


@pytest.fixture(scope="session")
def odd_wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheels of some distributions, most of whose entry points lead to something wrong."""
    folder = tmp_path_factory.mktemp("odd")
    write_distribution(
        folder / "odd",
        "odd-allocators",
        {"odd_allocators": ODD, "odd_import": "import driver_that_nobody_has"},
        {
            "sound": "odd_allocators:Sound",
            "twin": "odd_allocators:Twin",
            "future": "odd_allocators:Future",
            "undated": "odd_allocators:Undated",
            "unfinished": "odd_allocators:Unfinished",
            "duck": "odd_allocators:Duck",
            "instance": "odd_allocators:instance",
            "driverless": "odd_import:Allocator",
            "misspelt": "odd_allocators:Soudn",
        },
    )
    write_distribution(
        folder / "rival",
        "rival-allocators",
        {"rival_allocators": MICROSOFT},
        {
            "twin": "rival_allocators:MicrosoftAllocator",
            "microsoft": "rival_allocators:MicrosoftAllocator",
        },
    )
    late = {"late_allocators": ODD}, {"late": "late_allocators:Sound"}
    write_distribution(folder / "late", "late-allocators", *late)
    for source in ("odd", "rival", "late"):
        build(folder / source, folder)
    return {path.name.split("_")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd_wheels: dict[str, Path]
) -> Iterator[Path]:
    """The folder where they are installed, on ``sys.path`` for this test."""
    install_into(tmp_path, odd_wheels["odd"], odd_wheels["rival"])
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for module in ("odd_allocators", "odd_import", "rival_allocators"):
        sys.modules.pop(module, None)


@pytest.fixture
def connection() -> BaseDatabaseWrapper:
    return connections["default"]


@pytest.fixture
def microsoft() -> BaseDatabaseWrapper:
    """A connection whose vendor has no backend here."""
    return Microsoft(connections["default"].settings_dict, alias="microsoft")


def refusal(backend: Any, connection: BaseDatabaseWrapper, kind: type[Exception]) -> str:
    """Choose the backend, expect to be refused with that error, and return the message."""
    with override_settings(SEQUENCES_BACKEND=backend), pytest.raises(kind) as caught:
        get_allocator(connection)
    assert isinstance(caught.value, ImproperlyConfigured)
    assert isinstance(caught.value, SequencesError)
    return str(caught.value)


def chosen(backend: Any, connection: BaseDatabaseWrapper) -> str:
    """Choose the backend; return the name of the class that serves the connection."""
    with override_settings(SEQUENCES_BACKEND=backend):
        return type(get_allocator(connection)).__name__


# The forms of the setting


def test_absent_setting_is_auto(connection: BaseDatabaseWrapper, settings: Any) -> None:
    """Without a setting, a database is served by the backend that is named like its vendor."""
    auto = chosen("auto", connection)
    del settings.SEQUENCES_BACKEND
    assert type(get_allocator(connection)).__name__ == auto
    assert auto.lower() == f"{connection.vendor}allocator"


def test_auto_falls_back_to_orm(microsoft: BaseDatabaseWrapper) -> None:
    """A vendor without a backend of its own is served by ``orm``."""
    assert chosen("auto", microsoft) == "ORMAllocator"


def test_auto_finds_a_third_party(microsoft: BaseDatabaseWrapper, site: Path) -> None:
    """An installed entry point that is named like the vendor needs no setting."""
    assert chosen("auto", microsoft) == "MicrosoftAllocator"


def test_name_is_for_every_database(
    connection: BaseDatabaseWrapper, microsoft: BaseDatabaseWrapper, site: Path
) -> None:
    """A name is that entry point, whatever the vendor."""
    for database in (connection, microsoft):
        assert chosen("sound", database) == "Sound"


def test_dotted_path_needs_no_entry_point(connection: BaseDatabaseWrapper, site: Path) -> None:
    """A dotted path is that class, registered or not."""
    assert chosen("odd_allocators.Sound", connection) == "Sound"


def test_dict_is_by_alias(
    connection: BaseDatabaseWrapper, microsoft: BaseDatabaseWrapper, site: Path
) -> None:
    """In a dict each alias has its own; one that isn't named is auto, "default" or not."""
    choice = {"default": "sound", "elsewhere": "orm"}
    assert chosen(choice, connection) == "Sound"
    assert chosen(choice, microsoft) == "MicrosoftAllocator"
    assert chosen({"microsoft": "odd_allocators.Twin"}, microsoft) == "Twin"
    assert chosen({"microsoft": "auto"}, microsoft) == "MicrosoftAllocator"


# What can be wrong


def test_unknown_name(connection: BaseDatabaseWrapper) -> None:
    """A name that isn't installed: who asked, what is, and what to do."""
    assert refusal("akme", connection, BackendNotFound) == (
        "SEQUENCES_BACKEND = 'akme': the sequences backend 'akme' is not installed. Install the "
        "distribution that registers it in the group 'sequences_core.backends', or "
        f"sequences-orm, which serves any database. Installed backends: {OURS}."
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
        "named 'driver_that_nobody_has'. Installed backends: driverless, duck, "
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
    """Both claimants are named, and the path that decides between them works."""
    message = refusal("twin", connection, BackendConflict)
    assert message.startswith(
        "SEQUENCES_BACKEND = 'twin': the sequences backend 'twin' is claimed by odd-allocators "
        "(odd_allocators:Twin) and rival-allocators (rival_allocators:MicrosoftAllocator). "
        "Uninstall one, or choose by dotted path, such as 'odd_allocators.Twin'. Installed "
    )
    assert chosen("odd_allocators.Twin", connection) == "Twin"


def test_one_distribution_found_twice(
    connection: BaseDatabaseWrapper,
    site: Path,
    odd_wheels: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A distribution that lies in two folders of sys.path does not compete with itself."""
    again = tmp_path_factory.mktemp("again")
    install_into(again, odd_wheels["odd"])
    monkeypatch.syspath_prepend(again)
    assert chosen("sound", connection) == "Sound"
    assert refusal("twin", connection, BackendConflict).count("odd-allocators") == 1


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
    """What is no Allocator class is shown, and what it should be is said."""
    message = refusal(backend, connection, BackendInvalid)
    assert message.startswith(f"SEQUENCES_BACKEND = {backend!r}: {backend!r} is {shown}")
    assert "which is no subclass of sequences_core.Allocator. Installed backends: " in message


@pytest.mark.parametrize(("backend", "version"), [("future", 2), ("undated", None)])
def test_wrong_protocol(
    backend: str, version: int | None, connection: BaseDatabaseWrapper, site: Path
) -> None:
    """A backend for another version of the contract: both versions, and what to do."""
    message = refusal(backend, connection, BackendInvalid)
    assert message.startswith(
        f"SEQUENCES_BACKEND = {backend!r}: {backend!r} was written for version {version} of the "
        f"allocator protocol, and sequences_core speaks version 1. Install releases of both that "
        f"agree. Installed backends: "
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
            f"{shown}a backend is 'auto', the name of an entry point, a dotted path, or a dict of "
            f"these by database alias. Installed backends: {OURS}."
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
        errors = [error for error in run_checks() if error.id == "sequences_core.E001"]
    assert errors
    assert "driver_that_nobody_has" in errors[0].msg


# When it is looked up


def test_only_the_chosen_is_imported(site: Path) -> None:
    """No backend is imported before a number is asked for, and then no other one."""
    program = """
import sys
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["sequences_core"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    SEQUENCES_BACKEND="sound",
)
django.setup()
from django.db import connection
from sequences_core import get_allocator
print(*sorted(name for name in sys.modules if name.startswith(("sequences_", "odd", "rival"))))
get_allocator(connection)
print(*sorted(name for name in sys.modules if name.startswith(("sequences_", "odd", "rival"))))
"""
    before, after = run(sys.executable, "-c", program, PYTHONPATH=str(site)).splitlines()
    assert all(name.startswith("sequences_core") for name in before.split())
    assert set(after.split()) - set(before.split()) == {"odd_allocators"}


def test_one_lookup_per_alias(connection: BaseDatabaseWrapper) -> None:
    """The allocator is kept: the second look finds the same object."""
    assert get_allocator(connection) is get_allocator(connection)


def test_changed_setting_is_seen(connection: BaseDatabaseWrapper, site: Path) -> None:
    """A change of SEQUENCES_BACKEND takes effect at once, there and back."""
    auto = type(get_allocator(connection))
    with override_settings(SEQUENCES_BACKEND="sound"):
        assert type(get_allocator(connection)).__name__ == "Sound"
        with override_settings(SEQUENCES_BACKEND="orm"):
            assert type(get_allocator(connection)).__name__ == "ORMAllocator"
        assert type(get_allocator(connection)).__name__ == "Sound"
    assert type(get_allocator(connection)) is auto


def test_failure_is_not_kept(
    connection: BaseDatabaseWrapper,
    odd_wheels: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is installed after a failure is found, in the same process."""
    monkeypatch.syspath_prepend(tmp_path)
    assert chosen("orm", connection) == "ORMAllocator"
    with override_settings(SEQUENCES_BACKEND="late"):
        with pytest.raises(BackendNotFound):
            get_allocator(connection)
        install_into(tmp_path, odd_wheels["late"])
        assert type(get_allocator(connection)).__name__ == "Sound"


def test_threads_get_the_same(connection: BaseDatabaseWrapper, site: Path) -> None:
    """Threads that look for the first time at one moment all get one object."""
    threads = 8
    for backend in ("sound", "odd_allocators.Twin") * 5:
        barrier = threading.Barrier(threads)

        def look(barrier: threading.Barrier = barrier) -> Allocator:
            barrier.wait(10)
            return get_allocator(connection)

        with override_settings(SEQUENCES_BACKEND=backend), ThreadPoolExecutor(threads) as pool:
            found = [look.result() for look in [pool.submit(look) for _ in range(threads)]]
        assert len({id(allocator) for allocator in found}) == 1
