"""System checks of settings that could break the guarantees."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connections, models
from django.db.backends.postgresql.psycopg_any import IsolationLevel
from django.test.utils import isolate_apps
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

import sequences_core
import sequences_core as core
from sequences_core import (
    Sequence,
    get_last_value,
    get_next_value,
    get_next_values,
    retry_atomic,
    run_atomic,
)
from sequences_core.checks import check_defaults

VENDORS = {
    name: connections[name].vendor for name in django_settings.DATABASES if name != "default"
}
ALL = list(VENDORS)
SQLITE = [name for name in ALL if VENDORS[name] == "sqlite"]

UNCOMMITTED = IsolationLevel.READ_UNCOMMITTED
others = [level for level in IsolationLevel if level != UNCOMMITTED]

# In the form that MySQL takes, and in both that PostgreSQL takes.
LEVELS: dict[str, dict[str, list[object]]] = {
    "mysql": {
        "uncommitted": ["read uncommitted", "READ UNCOMMITTED"],
        "others": ["read committed", "repeatable read", "serializable", None],
    },
    "postgresql": {
        "uncommitted": [UNCOMMITTED, int(UNCOMMITTED)],
        "others": [*others, *map(int, others), None],
    },
}


def with_levels(kind: str) -> pytest.MarkDecorator:
    """Run a test for each database and isolation level of that kind."""
    levels = [
        (name, level)
        for name, vendor in VENDORS.items()
        for level in LEVELS.get(vendor, {}).get(kind, [])
    ]
    return pytest.mark.parametrize(("name", "level"), levels)


def ours() -> list[CheckMessage]:
    """The messages about sequences; not those about fields, which Django 6.1 makes as well.

    Without databases, which Django 6.1 would ask about each field.
    """
    return [
        message
        for message in run_checks(databases=[])
        if str(message.id).startswith("sequences") and message.obj is None
    ]


def ids() -> set[str | None]:
    return {message.id for message in ours()}


def set_option(monkeypatch: pytest.MonkeyPatch, name: str, option: str, value: object) -> None:
    """Change an option of the database ``name``."""
    settings_dict = connections[name].settings_dict
    monkeypatch.setitem(settings_dict, "OPTIONS", {**settings_dict["OPTIONS"], option: value})


@pytest.mark.parametrize("value", ["x", None, [2], 2.5], ids=repr)
@pytest.mark.parametrize("option", ["client_flag", "isolation_level", "transaction_mode"])
@pytest.mark.parametrize("name", ALL)
def test_options_of_a_wrong_type(
    monkeypatch: pytest.MonkeyPatch, name: str, option: str, value: object
) -> None:
    """The driver or Django refuses them when it connects, and says why; no check fails before."""
    set_option(monkeypatch, name, option, value)
    assert ids() <= {"sequences_sqlite.W001"}


def test_good_settings_are_passed_in_silence() -> None:
    """There is nothing to say of the settings that docs/backends/sqlite.rst recommends."""
    assert ours() == []


@pytest.mark.parametrize("backend", ["nosuch", "nosuch.module.Allocator", "django.db.models.Q"])
def test_a_backend_that_cannot_be_loaded(settings: Any, backend: str) -> None:
    """E001: the error that the first taken number would raise is known beforehand."""
    settings.SEQUENCES_BACKEND = backend
    assert ids() == {"sequences_core.E001"}
    assert repr(backend) in ours()[0].msg
    with pytest.raises(SystemCheckError, match="E001"):
        call_command("check", databases=[])


@pytest.mark.parametrize("name", ALL)
def test_a_backend_of_another_vendor(settings: Any, name: str) -> None:
    """E001: the error is known before a statement fails that the database doesn't understand."""
    other = "mysql" if VENDORS[name] != "mysql" else "postgresql"
    settings.SEQUENCES_BACKEND = {name: other}
    assert ids() == {"sequences_core.E001"}
    assert f"of vendor {VENDORS[name]!r}" in ours()[0].msg


def test_an_alias_that_there_is_not(settings: Any) -> None:
    """E001, once, however many databases there are."""
    settings.SEQUENCES_BACKEND = {"nosuch": "orm"}
    assert [message.id for message in ours()] == ["sequences_core.E001"]


@with_levels("uncommitted")
def test_read_uncommitted_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, level: object
) -> None:
    """E002: another transaction could see a number that is given back."""
    set_option(monkeypatch, name, "isolation_level", level)
    assert ids() == {"sequences_core.E002"}
    assert any(repr(name) in message.msg for message in ours())


@with_levels("others")
def test_other_isolation_levels_are_fine(
    monkeypatch: pytest.MonkeyPatch, name: str, level: object
) -> None:
    """All isolation levels except READ UNCOMMITTED are accepted."""
    set_option(monkeypatch, name, "isolation_level", level)
    assert ours() == []


@pytest.mark.parametrize("mode", ["", "Warn", None, True, ["warn"]])
def test_a_wrong_autocommit_mode(settings: Any, mode: object) -> None:
    """E003: SEQUENCES_AUTOCOMMIT is one of three words."""
    settings.SEQUENCES_AUTOCOMMIT = mode
    assert ids() == {"sequences_core.E003"}


@pytest.mark.parametrize("mode", ["allow", "warn", "error"])
def test_the_autocommit_modes(settings: Any, mode: str) -> None:
    """Each of the three is fine."""
    settings.SEQUENCES_AUTOCOMMIT = mode
    assert ours() == []


class WriteRouter:
    """Writes to ``default``, whose tables are elsewhere."""

    def db_for_write(self, model: type, **hints: Any) -> str:
        return "default"

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label != "sequences_core" or db != "default"


def test_a_router_that_parts_the_counters_from_their_table(settings: Any) -> None:
    """E004: numbers would be taken from a database where migrate makes no table."""
    settings.DATABASE_ROUTERS = [WriteRouter()]
    assert ids() == {"sequences_core.E004"}


@pytest.mark.parametrize("backend", ["auto", "sqlite"])
def test_a_default_without_settings(backend: str, tmp_path: Path) -> None:
    """Django allows DATABASES to have an empty default; no backend serves it or needs to."""
    program = f"""
        import django
        from django.conf import settings
        from django.core.checks import run_checks

        other = {{"ENGINE": "django.db.backends.sqlite3", "NAME": "x.sqlite3"}}
        settings.configure(
            DATABASES={{"default": {{}}, "other": other}},
            INSTALLED_APPS=["sequences_core"],
            SEQUENCES_BACKEND={backend!r},
        )
        django.setup()
        print([message.id for message in run_checks()])
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("['sequences_sqlite.W001']\n", "")


class SchemaRouter:
    """Like that of django-tenants: it answers for the schema that is current, here none of ours."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label != "sequences_core"


def test_a_router_that_depends_on_the_schema(settings: Any) -> None:
    """Nothing is concluded from a table that is allowed nowhere now: it may be in each schema."""
    settings.DATABASE_ROUTERS = [SchemaRouter()]
    assert ours() == []


class DefaultRouter:
    """Keeps the counters in ``default`` alone."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label != "sequences_core" or db == "default"


@pytest.mark.parametrize("name", ALL)
def test_databases_without_counters_are_not_checked(settings: Any, name: str) -> None:
    """Settings are checked only where the router allows the table of counters."""
    settings.SEQUENCES_BACKEND = {name: "nosuch"}
    assert ids() == {"sequences_core.E001"}
    settings.DATABASE_ROUTERS = [DefaultRouter()]
    assert ours() == []


@pytest.mark.parametrize("name", SQLITE)
@pytest.mark.parametrize("mode", [None, "DEFERRED"])
def test_sqlite_without_immediate_transactions(
    monkeypatch: pytest.MonkeyPatch, name: str, mode: str | None
) -> None:
    """SQLite is warned of transactions that read first, with the option that mends it."""
    set_option(monkeypatch, name, "transaction_mode", mode)
    messages = [message for message in ours() if repr(name) in message.msg]
    assert [message.id for message in messages] == ["sequences_sqlite.W001"]
    assert '"transaction_mode": "IMMEDIATE"' in str(messages[0].hint)


@pytest.mark.parametrize("name", SQLITE)
@pytest.mark.parametrize("mode", ["IMMEDIATE", "immediate", "EXCLUSIVE"])
def test_sqlite_with_immediate_transactions(
    monkeypatch: pytest.MonkeyPatch, name: str, mode: str
) -> None:
    """The lock may be the immediate or the exclusive one."""
    set_option(monkeypatch, name, "transaction_mode", mode)
    assert ours() == []


@pytest.mark.parametrize("name", SQLITE)
@pytest.mark.parametrize(
    ("version", "found"), [((3, 34, 1), {"sequences_sqlite.E001"}), ((3, 35, 0), set())]
)
def test_an_sqlite_that_is_too_old(
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    name: str,
    version: tuple[int, ...],
    found: set[str],
) -> None:
    """Without RETURNING no number can be taken, and the check says so before ``migrate`` runs."""
    monkeypatch.setattr("sqlite3.sqlite_version_info", version)
    assert ids() == found
    settings.SEQUENCES_BACKEND = {name: "orm", "default": "orm"}  # as the hint says
    assert ids() == set()


numbers = Sequence("numbers")


def lost() -> int:
    return 1


def by_name() -> int:
    return get_next_value("numbers")


def by_module() -> int:
    return sequences_core.get_next_value("numbers")


def by_another_name() -> int:
    return core.get_next_value("numbers")


def by_local_import() -> int:
    from sequences_core import get_next_value as take

    return take("numbers")


def by_next() -> int:
    return next(numbers)


def by_another_function() -> str:
    return f"R-{by_name()}"


def by_itself(depth: int = 1) -> int:
    return by_itself(depth - 1) if depth else 1


def by_each_other(depth: int = 1) -> int:
    return by_nothing() if depth else by_itself() + by_each_other(0)


def by_nothing() -> int:
    return by_each_other(0) + by_itself() + len(str(lazy))


def fail() -> None:
    raise RuntimeError("evaluated")


lazy = SimpleLazyObject(fail)


def by_variable(sequence: Sequence) -> Callable[[], int]:
    return lambda: sequence.get_next_value()


def highest() -> int:
    return (numbers.get_last_value() or 0) + 1


class Taker:
    def __call__(self) -> int:
        return get_next_value("numbers")


@retry_atomic()
def own() -> int:
    return 1


@pytest.mark.parametrize(
    ("default", "found"),
    [
        (get_next_value, True),
        (get_next_values, True),
        (partial(get_next_value, "numbers"), True),
        (partial(partial(get_next_value, "numbers"), 5), True),
        (partial(run_atomic, partial(get_next_value, "numbers")), True),
        (partial(run_atomic, block=get_next_value), True),
        (retry_atomic()(get_next_value), True),
        (numbers.get_next_value, True),
        (partial(numbers.get_next_values, 3), True),
        (numbers.__next__, True),
        (partial(next, numbers), True),
        *((by_name, True), (by_module, True), (by_another_name, True), (by_local_import, True)),
        *((by_next, True), (by_another_function, True), (by_variable(numbers), True)),
        *((Taker(), True), (retry_atomic()(by_name), True), (partial(run_atomic, by_name), True)),
        *(
            (by_itself, False),
            (by_each_other, False),
            (highest, False),
            (uuid.uuid4, False),
            (timezone.now, False),
        ),
        (lost, False),
        (own, False),
        (partial(max, 1, 2), False),
        (numbers.get_last_value, False),
        (get_last_value, False),
        (int, False),
        (1, False),
    ],
)
@pytest.mark.parametrize("field", [models.BigIntegerField, models.JSONField, models.CharField])
@isolate_apps("tests.app")
def test_a_default_that_takes_numbers(
    default: Any, found: bool, field: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W002: it is called for forms, and for instances that are never saved."""

    class Document(models.Model):  # noqa: DJ008 - nobody reads it
        number = field(default=default, max_length=9)

        class Meta:
            app_label = "app"

    monkeypatch.setattr("sequences_core.checks.apps.get_models", lambda **kwargs: [Document])
    messages = list(check_defaults(None))
    assert [message.id for message in messages] == ["sequences_core.W002"] * found
    assert all(message.obj is Document._meta.get_field("number") for message in messages)
    assert list(check_defaults([apps.get_app_config("admin")])) == []
