"""Which allocator serves a connection, and when it is looked up."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.test import override_settings
from sequences_mysql import MySQLAllocator

from sequences_core import Allocator, BackendNotFound, get_allocator
from sequences_core.functions import forget_functions
from tests.distributions import install_into, run


class Microsoft(DatabaseWrapper):
    """A database that none of our backends serves."""

    vendor = "microsoft"


@pytest.fixture
def connection() -> BaseDatabaseWrapper:
    return connections["default"]


@pytest.fixture
def microsoft() -> BaseDatabaseWrapper:
    """A connection whose vendor has no backend here."""
    return Microsoft(connections["default"].settings_dict, alias="microsoft")


def chosen(backend: Any, connection: BaseDatabaseWrapper) -> str:
    """Choose the backend; return the name of the class that serves the connection."""
    with override_settings(SEQUENCES_BACKEND=backend):
        return type(get_allocator(connection)).__name__


def test_absent_setting_is_auto(connection: BaseDatabaseWrapper, settings: Any) -> None:
    """Without a setting, a database is served by the backend that is named like its vendor."""
    auto = chosen("auto", connection)
    del settings.SEQUENCES_BACKEND
    assert type(get_allocator(connection)).__name__ == auto
    assert auto.lower() == f"{connection.vendor}allocator"


def test_auto_falls_back_to_orm(microsoft: BaseDatabaseWrapper) -> None:
    """A vendor without a backend of its own is served by ``orm``."""
    assert chosen("auto", microsoft) == "ORMAllocator"


@pytest.mark.parametrize("vendor", ["cockroachdb", "yugabyte", "microsoft", "firebird"])
def test_databases_that_borrow_nothing(connection: BaseDatabaseWrapper, vendor: str) -> None:
    """CockroachDB, YugabyteDB and SQL Server, by their vendors, are served by ``orm``."""
    stranger = connection.copy(alias="stranger")
    stranger.vendor = vendor
    assert chosen("auto", stranger) == "ORMAllocator"


def test_an_engine_that_borrows_a_vendor(connection: BaseDatabaseWrapper) -> None:
    """TiDB calls itself "mysql"; a backend named like the engine comes before the vendor's."""
    tidb = connection.copy(alias="tidb")
    tidb.vendor = "mysql"
    assert chosen("auto", tidb) == "MySQLAllocator"
    tidb.settings_dict["ENGINE"] = "django_tidb"
    assert chosen("auto", tidb) == "ORMAllocator"
    assert chosen("mysql", tidb) == "MySQLAllocator"
    (found,) = MySQLAllocator().check(tidb)
    assert found.id == "sequences_mysql.E001"


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
    choice = {"default": "sound"}
    assert chosen(choice, connection) == "Sound"
    assert chosen(choice, microsoft) == "MicrosoftAllocator"
    assert chosen({"microsoft": "odd_allocators.Twin"}, microsoft) == "Twin"
    assert chosen({"microsoft": "auto"}, microsoft) == "MicrosoftAllocator"


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


def test_only_the_chosen_is_imported(site: Path) -> None:
    """The selected backend is imported when an allocator is first needed, and no other one is."""
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


def test_new_connections_look_once_for_a_backend_that_is_not_there(
    connection: BaseDatabaseWrapper, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking at what is installed takes milliseconds, which no new connection has to pay."""
    looks: list[str] = []

    def look(stranger: BaseDatabaseWrapper) -> Allocator:
        looks.append(stranger.alias)
        raise BackendNotFound

    monkeypatch.setattr("sequences_core.functions.get_allocator", look)
    for _ in range(3):
        connection_created.send(sender=type(connection), connection=connection)
    assert looks == [connection.alias]
    settings.SEQUENCES_BACKEND = "auto"
    connection_created.send(sender=type(connection), connection=connection)
    assert looks == [connection.alias] * 2
    forget_functions(setting="DATABASES")


def test_failure_is_not_kept(
    connection: BaseDatabaseWrapper,
    odd_wheels: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A backend that is installed after a failure is found in the same process."""
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


BEFORE_READY = """
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["early", "sequences_core"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    SEQUENCES_BACKEND="orm",
)
django.setup()
from django.db import connection
from sequences_core import get_allocator
from sequences_core.allocator import FUNCTION
print(type(get_allocator(connection)).__name__)
with connection.cursor() as cursor:
    cursor.execute(f"SELECT COUNT(*) FROM pragma_function_list WHERE name = '{FUNCTION}'")
    print(cursor.fetchone()[0])
"""

EARLY = """
from django.apps import AppConfig
class Early(AppConfig):
    name = "early"
    def ready(self):
        from django.db import connection
        from django.test.utils import override_settings
        from sequences_core import get_allocator
        get_allocator(connection)
        override_settings(SEQUENCES_BACKEND="auto").enable()
        connection.ensure_connection()
"""


def test_what_was_done_before_the_app_is_ready(tmp_path: Path) -> None:
    """A setting that was changed by then counts, and a connection that was opened is served."""
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "__init__.py").touch()
    (tmp_path / "early" / "apps.py").write_text(EARLY)
    program = [sys.executable, "-W", "ignore", "-c", BEFORE_READY]
    assert run(*program, PYTHONPATH=str(tmp_path)).split() == ["SQLiteAllocator", "1"]
