"""The table of counters: how migrate makes it, and what the databases then say of it."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from sequences_core import get_allocator, get_next_value
from sequences_core.allocator import FUNCTION
from sequences_core.models import Counter
from sequences_core.operations import InstallBackend, install, uninstall
from sequences_core.table import TABLE
from sequences_core.testing.threads import together


def migrate(target: str, using: str) -> str:
    """Migrate this app, on one database."""
    out = StringIO()
    call_command("migrate", "sequences_core", target, database=using, stdout=out, no_color=True)
    return out.getvalue()


def tables(using: str) -> list[str]:
    return connections[using].introspection.table_names()


@pytest.mark.django_db
def test_the_models_are_as_the_migrations_say() -> None:
    """``makemigrations`` finds nothing to do."""
    out = StringIO()
    call_command("makemigrations", "sequences_core", check=True, dry_run=True, stdout=out)
    assert "No changes" in out.getvalue()


@pytest.mark.django_db  # MariaDB and MySQL, as the default, are asked which they are
@pytest.mark.parametrize(
    ("vendor", "display_name", "collation"),
    [
        ("postgresql", "PostgreSQL", "C"),
        ("microsoft", "SQL Server", "Latin1_General_100_BIN2"),
        ("mysql", "TiDB", "utf8mb4_bin"),
        ("cockroachdb", "CockroachDB", None),
    ],
)
def test_names_have_a_binary_collation(
    vendor: str, display_name: str, collation: str | None
) -> None:
    """This includes databases that don't run here, according to their documentation."""
    connection: Any = connections["default"].copy(alias=f"elsewhere on {display_name}")
    connection.vendor, connection.display_name = vendor, display_name
    if display_name == "TiDB":
        connection.settings_dict["ENGINE"] = "django_tidb"  # by which its backend is chosen
    parameters = Counter._meta.pk.db_parameters(connection)
    assert parameters["collation"] == collation


def test_migrate_forward_and_backward(using: str) -> None:
    """Migrate to zero and back, twice, on one database; no other one is queried."""
    # The others may not be used here: pytest-django would raise.
    try:
        for _ in range(2):
            with transaction.atomic(using=using):
                assert get_next_value("s", using=using) == 1
            assert "Unapplying sequences_core.0001_initial" in migrate("zero", using)
            assert TABLE not in tables(using)
            assert "No migrations to apply" in migrate("zero", using)
            assert "Applying sequences_core.0001_initial" in migrate("0002", using)
            assert "No migrations to apply" in migrate("0002", using)
    finally:
        migrate("0002", using)
    assert Counter.objects.using(using).count() == 0


CATALOGS = {
    "postgresql": f"pg_proc WHERE proname = '{FUNCTION}'",
    "mysql": f"""
        information_schema.routines
        WHERE routine_schema = DATABASE() AND routine_name = '{FUNCTION}'
    """,
    "oracle": f"user_objects WHERE object_name = '{FUNCTION.upper()}'",
}


def stores_function(using: str) -> bool:
    """Does the backend that is chosen put the function into the database?"""
    allocator = get_allocator(connections[using])
    return allocator.supports_function and not allocator.function_of_connection


def has_function(using: str) -> bool:
    """Return whether the function exists, whatever backend is configured."""
    connection = connections[using]
    if connection.vendor not in CATALOGS:
        return False
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {CATALOGS[connection.vendor]}")
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("later", ["orm", "sequences_orm.ORMAllocator"])
def test_zero_after_another_backend_was_chosen(later: str, settings: Any, using: str) -> None:
    """The reverse migration uninstalls what "auto" installed, whatever backend is configured."""
    assert has_function(using) is stores_function(using)
    settings.SEQUENCES_BACKEND = later
    try:
        migrate("zero", using)
        assert not has_function(using)
    finally:
        settings.SEQUENCES_BACKEND = "auto"
        migrate("0002", using)
    assert has_function(using) is stores_function(using)


def test_another_backend_and_back(settings: Any, using: str) -> None:
    """Migrated for a backend that has no function, the database gets it by the command."""
    migrate("zero", using)
    try:
        settings.SEQUENCES_BACKEND = {using: "orm"}
        migrate("0002", using)
        assert not has_function(using)
        call_command("sequences", "install", database=using, stdout=StringIO())
        assert not has_function(using)
        settings.SEQUENCES_BACKEND = {using: "auto"}
        call_command("sequences", "install", database=using, stdout=StringIO())
        assert has_function(using) is stores_function(using)
        allocator = get_allocator(connections[using])
        assert allocator.is_installed(connections[using]) is allocator.supports_function
        migrate("zero", using)
        assert not has_function(using)
    finally:
        settings.SEQUENCES_BACKEND = "auto"
        migrate("0002", using)


class InstallTwice(Migration):
    operations = [InstallBackend(), InstallBackend()]


def test_installing_in_a_migration_of_ones_own(using: str) -> None:
    """The operation can be used again, forward and backward, and any number of times."""
    connection = connections[using]
    expected = stores_function(using)
    migration = InstallTwice("0001_install_twice", "app")
    try:
        for _ in range(2):
            with connection.schema_editor(atomic=migration.atomic) as editor:
                migration.apply(ProjectState(), editor)
            assert has_function(using) is expected
            with transaction.atomic(using=using):
                assert get_next_value(using=using) in {1, 2}
        for _ in range(2):
            with connection.schema_editor(atomic=migration.atomic) as editor:
                migration.unapply(ProjectState(), editor)
            assert not has_function(using)
    finally:
        install(connection)


class NoCounters:
    """Allows the table of counters nowhere."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label != "sequences_core"


def test_a_database_without_counters_is_left_alone(settings: Any, using: str) -> None:
    """Where the router allows no table, migrate makes none and installs nothing."""
    migrate("zero", using)
    try:
        settings.DATABASE_ROUTERS = [NoCounters()]
        migrate("0002", using)
        assert TABLE not in tables(using)
        migrate("zero", using)
    finally:
        settings.DATABASE_ROUTERS = []
        migrate("0002", using)


def test_sqlmigrate_shows_the_table(using: str) -> None:
    """``sqlmigrate`` prints the statements, and runs none."""
    migrate("zero", using)
    try:
        out = StringIO()
        call_command("sqlmigrate", "sequences_core", "0001", database=using, stdout=out)
        assert "CREATE TABLE" in out.getvalue()
        assert "Prepare the database for the configured sequences backend" in out.getvalue()
        assert TABLE not in tables(using)
    finally:
        migrate("0002", using)


def test_the_permission_changes_no_table(using: str) -> None:
    """The migration for the admin changes only Django's state: no table is locked or rebuilt."""
    out = StringIO()
    call_command("sqlmigrate", "sequences_core", "0002", database=using, stdout=out)
    statements = [line for line in out.getvalue().splitlines() if not line.startswith("--")]
    assert [line for line in statements if line not in {"BEGIN;", "COMMIT;"}] == []


def test_names_compare_byte_for_byte(using: str) -> None:
    """The column says so itself: no default of the server or the database matters."""
    connection: Any = connections[using]
    expected = {"sqlite": None, "postgresql": "C"}
    if connection.vendor == "mysql":
        mariadb = connection.mysql_is_mariadb
        expected["mysql"] = "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin"
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, TABLE)
    assert {column.name: column.collation for column in columns}["name"] == (
        expected[connection.vendor]
    )


def test_the_database_refuses_what_no_counter_can_be(using: str) -> None:
    """A CHECK constraint limits ``last`` to -1 and above for all clients."""
    Counter.objects.using(using).create(name="starts at 0", last=-1)
    with pytest.raises(IntegrityError):
        Counter.objects.using(using).create(name="s", last=-2)


class TestPostgreSQL:
    using = "postgresql"
    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["postgresql"], available_apps=["sequences_core"]
    )

    def ask(self, sql: str) -> Any:
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
        assert row
        return row[0]

    def test_counters_stay_on_their_page(self) -> None:
        """Moving counters is heap-only updates, however many of them are in the table."""
        names = [f"s{number}" for number in range(500)]
        counters = Counter.objects.using(self.using)
        counters.bulk_create([Counter(name=name, last=1) for name in names])
        with transaction.atomic(using=self.using):
            for name in names:
                get_next_value(name, using=self.using)
            oid = f"'{TABLE}'::regclass"
            assert self.ask(f"SELECT pg_stat_get_xact_tuples_updated({oid})") == len(names)
            assert self.ask(f"SELECT pg_stat_get_xact_tuples_hot_updated({oid})") == len(names)

    def test_uninstall_undoes_install(self) -> None:
        """The fillfactor is 50 while installed, and the default otherwise; both can be repeated."""
        connection = connections[self.using]
        allocator = get_allocator(connection)
        options = f"SELECT reloptions FROM pg_class WHERE oid = '{TABLE}'::regclass"
        assert self.ask(options) == ["fillfactor=50"]
        try:
            for _ in range(2):
                allocator.uninstall(connection)
                assert self.ask(options) is None
        finally:
            for _ in range(2):
                allocator.install(connection)
                assert self.ask(options) == ["fillfactor=50"]


def test_several_processes_install_at_once(using: str, recwarn: Any) -> None:
    """All succeed, whether the function is missing or there is one already."""

    def run() -> None:
        install(connections[using])

    for _ in range(5):
        uninstall(connections[using])
        for _ in ("missing", "there"):
            together([run] * 4, using)
            allocator = get_allocator(connections[using])
            assert allocator.is_installed(connections[using])
