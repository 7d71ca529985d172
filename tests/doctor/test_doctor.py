"""``manage.py sequences doctor`` on set-ups that are sound, and on some that are broken."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction

from sequences_core import get_allocator, get_next_value
from sequences_core.allocator import FUNCTION
from sequences_core.models import Counter
from sequences_core.operations import install
from sequences_core.testing.threads import Elsewhere, end
from sequences_core.testing.vendors import session_state

TABLE = Counter._meta.db_table
Finding = dict[str, Any]


@pytest.fixture(autouse=True)
def _silenced(settings: Any) -> None:
    """The collations of the tests' own models are no matter here."""
    settings.SILENCED_SYSTEM_CHECKS = ["sequences_contrib.E005"]


def examine(alias: str) -> list[Finding]:
    """What the doctor finds in this database and in the project; it fails if there are errors."""
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
    """The finding with this text in its message."""
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
    """The name of the database, MariaDB's and MySQL's apart."""
    return alias.removeprefix("private_")


def only(alias: str, *names: str) -> None:
    if vendor(alias) not in names:
        pytest.skip(f"this can't be, or is otherwise, on {vendor(alias)}")


def test_a_sound_database_is_summed_up(alias: str) -> None:
    """There is no finding, but what a reader wants to know: nothing has changed in the session."""
    with transaction.atomic(using=alias):
        get_next_value("invoices", using=alias)
    before = session_state(connections[alias])
    text = printed("--database", alias)
    assert session_state(connections[alias]) == before
    first, *lines = text.splitlines()
    assert first == f"Database {alias!r}: sound"
    facts = dict(line.strip().split("  ", 1) for line in lines)
    assert facts["counters"].strip() == "1"
    assert facts["early release"].strip() == "off"
    assert type(get_allocator(connections[alias])).__name__ in facts["backend"]
    assert connections[alias].display_name in facts["server"]
    assert {"isolation level", "durability"} <= facts.keys()
    assert examine(alias) == []


def test_it_writes_nothing(alias: str) -> None:
    """All statements are of kinds that read, or are about the session."""
    connection = connections[alias]
    connection.force_debug_cursor = True
    connection.queries_log.clear()
    try:
        examine(alias)
    finally:
        connection.force_debug_cursor = False
    first = {str(query["sql"]).split()[0].upper() for query in connection.queries}
    session = {"SET", "BEGIN", "ROLLBACK", "SAVEPOINT", "RELEASE"}
    assert first <= {"SELECT", "WITH", "SHOW", "EXPLAIN", "PRAGMA", *session}, first


@contextmanager
def renamed(alias: str) -> Iterator[None]:
    hidden = "sequences_core_hidden"
    with connections[alias].schema_editor() as editor:
        editor.alter_db_table(Counter, TABLE, hidden)
    try:
        yield
    finally:
        with connections[alias].schema_editor() as editor:
            editor.alter_db_table(Counter, hidden, TABLE)


def test_no_table_yet(alias: str) -> None:
    """Before migrate, it says to run that; and nothing else, which would follow from it."""
    with renamed(alias):
        (finding,) = examine(alias)
    assert finding["level"] == "error"
    assert f"no table {TABLE}" in finding["message"]
    assert finding["remedy"] == f"Run manage.py migrate sequences_core --database={alias}"


def test_a_missing_function(alias: str) -> None:
    """The system check says it, with the command."""
    only(alias, "postgresql", "mariadb", "mysql")
    connection = connections[alias]
    get_allocator(connection).uninstall(connection)
    try:
        found = examine(alias)
        finding = one(found, FUNCTION)
        assert (finding["level"], finding["id"]) == ("warning", "sequences_core.W001")
        assert finding["remedy"] == f"Run manage.py sequences install --database={alias}"
    finally:
        install(connection)
    assert examine(alias) == []


CHANGED = {
    "postgresql": (
        f"CREATE OR REPLACE FUNCTION {FUNCTION}(sequence_name text, initial_value bigint DEFAULT "
        f"1, reset_value bigint DEFAULT NULL) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
    ),
    "mysql": (
        f"DROP FUNCTION {FUNCTION}",
        f"CREATE FUNCTION {FUNCTION}(a VARCHAR(99), b BIGINT, c BIGINT) RETURNS BIGINT "
        f"DETERMINISTIC RETURN 1",
    ),
}


def test_a_function_of_another_version(alias: str) -> None:
    """One that is there, and is not ours, is as good as none."""
    only(alias, "postgresql", "mariadb", "mysql")
    connection = connections[alias]
    execute(alias, *CHANGED[connection.vendor])
    try:
        assert one(examine(alias), FUNCTION)["id"] == "sequences_core.W001"
    finally:
        get_allocator(connection).uninstall(connection)
        install(connection)


CREATE_TRIGGER = {
    "sqlite": (f"CREATE TRIGGER spy AFTER UPDATE ON {TABLE} BEGIN SELECT 1; END",),
    "mysql": (f"CREATE TRIGGER spy AFTER UPDATE ON {TABLE} FOR EACH ROW SET @spied = 1",),
    "postgresql": (
        "CREATE FUNCTION spied() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        f"CREATE TRIGGER spy BEFORE UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION spied()",
    ),
}
DROP_TRIGGER = {
    "sqlite": ("DROP TRIGGER spy",),
    "mysql": ("DROP TRIGGER spy",),
    "postgresql": (f"DROP TRIGGER spy ON {TABLE}", "DROP FUNCTION spied"),
}


def test_a_trigger(alias: str) -> None:
    """What runs while the counter is locked is named."""
    kind = connections[alias].vendor
    execute(alias, *CREATE_TRIGGER[kind])
    try:
        (finding,) = examine(alias)
    finally:
        execute(alias, *DROP_TRIGGER[kind])
    assert finding["level"] == "warning"
    assert "'spy'" in finding["message"]
    assert "DROP TRIGGER" in finding["remedy"]


def test_a_trigger_that_changes_numbers(alias: str) -> None:
    """On MySQL and MariaDB that is an error, for the number that was taken is not known."""
    only(alias, "mariadb", "mysql")
    execute(
        alias, f"CREATE TRIGGER spy BEFORE UPDATE ON {TABLE} FOR EACH ROW SET NEW.last = NEW.last"
    )
    try:
        assert one(examine(alias), "'spy'")["level"] == "error"
    finally:
        execute(alias, "DROP TRIGGER spy")


UNSAFE = {
    "postgresql": (f"ALTER TABLE {TABLE} SET UNLOGGED", f"ALTER TABLE {TABLE} SET LOGGED"),
    "mysql": (f"ALTER TABLE {TABLE} ENGINE = MEMORY", f"ALTER TABLE {TABLE} ENGINE = InnoDB"),
}


def test_a_table_that_keeps_no_promise(alias: str) -> None:
    """An unlogged table, or one without transactions, is an error; the remedy undoes it."""
    only(alias, "postgresql", "mariadb", "mysql")
    spoil, mend = UNSAFE[connections[alias].vendor]
    execute(alias, spoil)
    try:
        (finding,) = examine(alias)
        assert finding["level"] == "error"
        execute(alias, finding["remedy"])
        assert examine(alias) == []
    finally:
        execute(alias, mend)


def test_a_table_that_is_locked_is_not_waited_for(alias: str) -> None:
    """Where a transaction changes the table, the doctor says so instead of waiting for its end."""
    only(alias, "postgresql", "mariadb", "mysql")
    other = connections[alias].copy()
    lock, unlock = {
        "postgresql": (f"BEGIN; LOCK TABLE {TABLE}", "ROLLBACK"),
        "mysql": (f"LOCK TABLES {TABLE} WRITE", "UNLOCK TABLES"),
    }[other.vendor]
    try:
        with other.cursor() as cursor:
            cursor.execute(lock)
            with_lock = Elsewhere(lambda: examine(alias), alias)
            with_lock.start()
            (finding,) = with_lock.result()
            cursor.execute(unlock)
    finally:
        other.close()
    assert finding["level"] == "error"
    assert "can't be read" in finding["message"]
    assert "lock" in finding["message"].lower()


def test_a_blocked_counter(alias: str) -> None:
    """It says which session holds it, for how long, who waits, and how to end it."""
    taken(alias)
    taking = Elsewhere(lambda: taken(alias), alias)
    with transaction.atomic(using=alias):
        get_next_value("invoices", using=alias)
        if vendor(alias) != "sqlite":
            taking.start()
        looking = Elsewhere(lambda: until_warned(alias), alias)
        looking.start()
        finding = looking.result()
    if vendor(alias) != "sqlite":
        end([taking])
        assert "Counter 'invoices'" in finding["message"]
        assert finding["remedy"].split(": ")[1].startswith(("SELECT pg_terminate", "KILL "))
    else:
        assert "All counters" in finding["message"]
        assert f"session {os.getpid()}" in finding["message"]


def taken(alias: str) -> None:
    with transaction.atomic(using=alias):
        get_next_value("invoices", using=alias)


def until_warned(alias: str) -> Finding:
    """Examine until the wait is long enough for a warning; SQLite's files tell of none."""
    level = "info" if vendor(alias) == "sqlite" else "warning"
    while True:
        found = [each for each in examine(alias) if each["level"] == level]
        if found:
            (finding,) = found
            return finding


LOGIN = {
    "postgresql": ("CREATE ROLE clerk LOGIN", "DROP OWNED BY clerk", "DROP ROLE clerk"),
    "mysql": ("CREATE USER clerk IDENTIFIED BY 'secret'", "DROP USER clerk"),
}


@pytest.fixture
def clerk(alias: str) -> Iterator[str]:
    """An alias of the same database for a user who may connect, and nothing else."""
    only(alias, "postgresql", "mariadb", "mysql")
    create, *drop = LOGIN[connections[alias].vendor]
    execute(alias, create)
    handler: Any = connections
    name = "clerk"
    handler.settings[name] = {**handler.settings[alias], "USER": "clerk", "PASSWORD": "secret"}
    if connections[alias].vendor == "mysql":
        execute(alias, f"GRANT SHOW VIEW ON {connections[alias].settings_dict['NAME']}.* TO clerk")
    try:
        yield name
    finally:
        connections[name].close()
        del connections[name]
        del handler.settings[name]
        execute(alias, *drop)


def type_remedies(alias: str, found: list[Finding]) -> None:
    """Grant what the findings say, as the user who may do everything."""
    remedies = [finding["remedy"] for finding in found]
    execute(alias, *(remedy for remedy in remedies if remedy.startswith("GRANT ")))


def test_a_user_without_privileges(alias: str, clerk: str) -> None:
    """Each privilege that is missing is a finding, whose remedy leads on to a sound database."""
    (finding,) = (each for each in examine(clerk) if each["level"] == "error")
    assert "can't be read" in finding["message"]
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON sequences_core_counter" in finding["remedy"]
    user = "'clerk'@'%'" if connections[alias].vendor == "mysql" else "clerk"
    execute(alias, f"GRANT SELECT ON {TABLE} TO {user}")
    found = examine(clerk)
    finding = one(found, "may not INSERT, UPDATE, DELETE on")
    assert finding["level"] == "error"
    for _ in range(2):  # what is hidden may hide more
        type_remedies(alias, examine(clerk))
        connections[clerk].close()  # to which some privileges are new when it connects
    assert examine(clerk) == []
