"""``manage.py sequences doctor`` on sound set-ups, and on broken ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import OperationalError, connections, transaction
from sequences_contrib.models import Void
from sequences_postgresql.diagnosis import OLD

from sequences_core import get_allocator, get_next_value
from sequences_core.allocator import FUNCTION
from sequences_core.models import Counter
from sequences_core.operations import install
from sequences_core.testing.threads import Elsewhere, end
from sequences_core.testing.vendors import session_state
from tests.numbered.models import Plain
from tests.servers import PostgreSQL
from tests.servers.pgbouncer import PgBouncer

from .conftest import SERVERS, another
from .reading import examine, execute, one, only, printed, taken, until_warned, vendor

TABLE = Counter._meta.db_table


def test_a_sound_database_is_summed_up(alias: str) -> None:
    """The doctor has no finding, prints a summary, and leaves the session unchanged."""
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
    """All statements are queries, or concern the session."""
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
    """Before migrate, the doctor recommends that only; other findings would be its consequences."""
    with renamed(alias):
        (finding,) = examine(alias)
    assert finding["level"] == "error"
    assert f"no table {TABLE}" in finding["message"]
    remedy = f"Run manage.py migrate sequences_core --database={alias}, or rename the table"
    assert finding["remedy"] == f"{remedy} if SEQUENCES_TABLE has changed"


def test_a_missing_function(alias: str) -> None:
    """The finding is that of the system check, with the command that creates the function."""
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
    """A function that differs from ours counts as missing."""
    only(alias, "postgresql", "mariadb", "mysql")
    connection = connections[alias]
    execute(alias, *CHANGED[connection.vendor])
    try:
        assert one(examine(alias), FUNCTION)["id"] == "sequences_core.W001"
    finally:
        get_allocator(connection).uninstall(connection)
        install(connection)


CREATE_TRIGGER = {
    "sqlite": (f"CREATE TRIGGER spy {{moment}} ON {TABLE} BEGIN {{body}} END",),
    "mysql": (f"CREATE TRIGGER spy {{moment}} ON {TABLE} FOR EACH ROW {{body}}",),
    "postgresql": (
        "CREATE FUNCTION spied() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} END$$",
        f"CREATE TRIGGER spy {{moment}} ON {TABLE} FOR EACH ROW EXECUTE FUNCTION spied()",
    ),
}
DROP_TRIGGER = {
    "sqlite": ("DROP TRIGGER spy",),
    "mysql": ("DROP TRIGGER spy",),
    "postgresql": (f"DROP TRIGGER spy ON {TABLE}", "DROP FUNCTION spied"),
}
HARMLESS = {"sqlite": "SELECT 1;", "mysql": "SET @spied = 1", "postgresql": "RETURN NEW;"}


@contextmanager
def triggered(alias: str, moment: str, body: str) -> Iterator[None]:
    """Create a trigger on the table of counters, and drop it at the end of the block."""
    kind = connections[alias].vendor
    execute(alias, *(sql.format(moment=moment, body=body) for sql in CREATE_TRIGGER[kind]))
    try:
        yield
    finally:
        execute(alias, *DROP_TRIGGER[kind])


def test_a_trigger(alias: str) -> None:
    """The finding names a trigger that runs while the counter is locked."""
    with triggered(alias, "AFTER UPDATE", HARMLESS[connections[alias].vendor]):
        (finding,) = examine(alias)
    assert finding["level"] == "warning"
    assert "'spy'" in finding["message"]
    assert "DROP TRIGGER" in finding["remedy"]


BODIES = {
    "sqlite": {
        f"UPDATE {TABLE} SET last = OLD.last WHERE name = OLD.name;": "error",
        f"DELETE FROM `{TABLE}` WHERE name = OLD.name;": "error",
        f"INSERT OR REPLACE INTO [{TABLE}] VALUES (OLD.name, 1);": "error",
        f"SELECT count(*) FROM {TABLE};": "warning",
    },
    "postgresql": {
        "NEW.last := OLD.last; RETURN NEW;": "error",
        "SELECT OLD.* INTO NEW; RETURN NEW;": "error",
        "SELECT 'a', 1 INTO STRICT OLD.name, NEW.last; RETURN NEW;": "error",
        "RETURN OLD;": "error",
        '-- odd\nNEW."last" = 2 * NEW.last; RETURN NEW;': "error",
        "IF NEW.name = '' OR new.last = 0 THEN RAISE 'no'; END IF; RETURN NEW;": "warning",
        f"/* UPDATE {TABLE} */ -- NEW.last := 1\nRETURN NEW;": "warning",
        f'UPDATE public."{TABLE}" SET last = 1; RETURN NEW;': "error",
        "IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW;": "warning",
        f"INSERT INTO {TABLE}_log VALUES (OLD.last); RETURN NEW;": "warning",
    },
    "mysql": {"SET NEW.last = NEW.last": "error", "SET @spied = NEW.last": "warning"},
}
"""What a trigger does after or, if it can, before an UPDATE, and the level of the finding."""


def test_a_trigger_that_changes_numbers(alias: str) -> None:
    """A trigger that seems to write to the counters is an error; other triggers are warnings."""
    kind = connections[alias].vendor
    for body, level in BODIES[kind].items():
        with triggered(alias, "AFTER UPDATE" if kind == "sqlite" else "BEFORE UPDATE", body):
            assert one(examine(alias), "'spy'")["level"] == level, body


def test_a_trigger_of_deletions(alias: str) -> None:
    """A trigger that doesn't run when a number is taken is no finding."""
    body = HARMLESS[connections[alias].vendor].replace("NEW", "OLD")
    with triggered(alias, "BEFORE DELETE", body):
        assert examine(alias) == []


UNSAFE = {
    "postgresql": (f"ALTER TABLE {TABLE} SET UNLOGGED", f"ALTER TABLE {TABLE} SET LOGGED"),
    "mysql": (f"ALTER TABLE {TABLE} ENGINE = MEMORY", f"ALTER TABLE {TABLE} ENGINE = InnoDB"),
}


def test_a_table_that_keeps_no_promise(alias: str) -> None:
    """An unlogged or non-transactional table is an error, and the remedy converts it."""
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


@pytest.mark.parametrize("mode", ["off", "memory"])
def test_a_journal_that_undoes_nothing(alias: str, mode: str) -> None:
    """A savepoint that is rolled back keeps its rows, or a crash corrupts the file: an error."""
    only(alias, "sqlite")
    execute(alias, f"PRAGMA journal_mode = {mode}")
    try:
        (finding,) = examine(alias)
        assert finding["level"] == "error"
        assert f"journal_mode {mode}" in finding["message"]
    finally:
        execute(alias, "PRAGMA journal_mode = DELETE")
    assert examine(alias) == []


PARTITIONED = f"""
    ALTER TABLE {TABLE} RENAME TO sequences_core_hidden;
    CREATE TABLE {TABLE} (LIKE sequences_core_hidden, PRIMARY KEY (name)) PARTITION BY HASH (name);
    CREATE TABLE sequences_core_part PARTITION OF {TABLE}
       FOR VALUES WITH (MODULUS 1, REMAINDER 0)
"""
ORDINARY = f"DROP TABLE {TABLE}; ALTER TABLE sequences_core_hidden RENAME TO {TABLE}"


def test_a_partitioned_table(alias: str) -> None:
    """It is sound, and the backend can be installed in it and uninstalled."""
    only(alias, "postgresql")
    connection = connections[alias]
    execute(alias, PARTITIONED)
    try:
        get_allocator(connection).uninstall(connection)
        install(connection)
        for expected in (1, 2):
            with transaction.atomic(using=alias):
                assert get_next_value("invoices", using=alias) == expected
        assert examine(alias) == []
        assert "fillfactor of its partitions" in printed("--database", alias)
    finally:
        execute(alias, ORDINARY)
        install(connection)
    assert examine(alias) == []


def test_a_table_that_is_locked_is_not_waited_for(alias: str) -> None:
    """If a transaction alters the table, the doctor reports that instead of waiting."""
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
    """The finding has the holder, the time, the waiting sessions, and the remedy."""
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


def test_an_old_snapshot(alias: str) -> None:
    """PostgreSQL keeps old row versions; the finding has the session, its age and the remedy."""
    only(alias, "postgresql")
    other = connections[alias].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
            execute(alias, "SELECT 1", *["SELECT pg_current_xact_id()"] * OLD)
            (finding,) = examine(alias)
            assert finding["level"] == "warning"
            assert f"client backend {pid} postgres idle in transaction" in finding["message"]
            execute(alias, finding["remedy"].partition(": ")[2])
    finally:
        with suppress(OperationalError):
            other.close()
    assert examine(alias) == []


def test_a_prepared_transaction(alias: str) -> None:
    """A prepared transaction keeps old row versions and locks until it is committed."""
    only(alias, "postgresql")
    execute(
        alias,
        f"BEGIN; INSERT INTO {TABLE} VALUES ('invoices', 1)",
        "PREPARE TRANSACTION 'it''s'",
        *["SELECT pg_current_xact_id()"] * OLD,
    )
    (finding,) = examine(alias)
    assert "prepared transaction it's" in finding["message"]
    execute(alias, finding["remedy"].partition(": ")[2])
    assert examine(alias) == []


def test_pages_without_room(alias: str) -> None:
    """The command in the finding restores PostgreSQL's fillfactor."""
    only(alias, "postgresql")
    execute(alias, f"ALTER TABLE {TABLE} RESET (fillfactor)")
    (finding,) = examine(alias)
    assert "fillfactor of 100" in finding["message"]
    assert finding["remedy"] == f"Run manage.py sequences install --database={alias}"
    install(connections[alias])
    assert examine(alias) == []


def test_an_index_that_keeps_updates_from_being_hot(alias: str) -> None:
    """If an index prevents HOT updates of PostgreSQL's counters, the finding says to drop it."""
    only(alias, "postgresql")
    execute(alias, f"CREATE INDEX slow ON {TABLE} (last)")
    try:
        for _ in range(2):
            execute(
                alias,
                f"INSERT INTO {TABLE} SELECT n, n FROM generate_series(1, 10000) AS n "
                f"ON CONFLICT (name) DO UPDATE SET last = excluded.last + 1",
            )
        execute(alias, "SELECT pg_stat_force_next_flush()", "SELECT 1")
        finding = one(examine(alias), "HOT")
        assert finding["level"] == "warning"
    finally:
        execute(alias, "DROP INDEX slow", "SELECT pg_stat_reset()")


def test_a_pooler(alias: str) -> None:
    """The doctor detects PgBouncer by its session ids, and names the setting that it needs."""
    only(alias, "postgresql")
    server = SERVERS[alias]
    assert isinstance(server, PostgreSQL)
    with PgBouncer(server) as pool, another(alias, "pooled", PORT=pool.port):
        (finding,) = examine("pooled")
        assert finding["level"] == "warning"
        assert "DISABLE_SERVER_SIDE_CURSORS" in finding["remedy"]
    with (
        PgBouncer(server) as pool,
        another(alias, "pooled", PORT=pool.port, DISABLE_SERVER_SIDE_CURSORS=True),
    ):
        assert examine("pooled") == []
        assert "pooler           yes" in printed("--database", "pooled")


def test_counters_behind_their_rows(alias: str) -> None:
    """The finding names the field and the counter, and the command that raises the counter."""
    with connections[alias].schema_editor() as editor:
        editor.create_model(Plain)
        editor.create_model(Void)
    try:
        Plain.objects.using(alias).bulk_create([Plain(code=code) for code in "abc"])
        assert examine(alias) == []
        Counter.objects.using(alias).update(last=1)
        (finding,) = examine(alias)
        assert (finding["level"], finding["object"]) == ("error", "numbered.Plain.number")
        assert "numbered_plain.number" in finding["message"]
        run, manage, *command = finding["remedy"].split()
        assert (run, manage) == ("Run", "manage.py")
        call_command(*command, stdout=StringIO())
        assert examine(alias) == []
    finally:
        with connections[alias].schema_editor() as editor:
            editor.delete_model(Plain)
            editor.delete_model(Void)


def test_what_another_distribution_says(
    alias: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Findings of other distributions are shown, even if one of them fails, which is named."""
    info = tmp_path / "quacks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: quacks\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[sequences_core.diagnoses]\ncold = quacks:cold\nbroken = quacks:broken\n"
    )
    (tmp_path / "quacks.py").write_text(
        "from django.core.checks import Warning\n"
        "from django.utils.translation import gettext_lazy as _\n"
        "def cold(connection):\n"
        "    yield Warning(_('It is cold.'), hint=_('Heat.'), id='quacks.W001')\n"
        "def broken(connection):\n    return 1 / 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = examine(alias)
    assert one(found, "It is cold.")["remedy"] == "Heat."
    assert "'broken' of quacks" in one(found, "ZeroDivisionError")["message"]
    assert len(found) == 2
