"""Numbers for every client of the database: db_default, psql, and users who may do little."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import django
import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    NotSupportedError,
    connections,
    models,
    transaction,
)
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.test.utils import isolate_apps

from sequences_core import (
    FunctionMissing,
    NextValue,
    get_allocator,
    get_last_value,
    get_next_value,
)
from sequences_core.allocator import FUNCTION
from sequences_core.functions import forget_functions
from sequences_core.operations import install
from tests.numbered.models import CreditNote, Invoice
from tests.privileges import connected_as

APPS = ["tests.numbered"]
UPDATE_CONFLICTS = {
    "update_conflicts": True,
    "unique_fields": ["note"],
    "update_fields": ["note"],
}
PATIENCE = 60

with isolate_apps("tests.numbered"):

    class Payment(models.Model):
        """Numbered by the database, whoever inserts."""

        number = models.BigIntegerField(unique=True, db_default=NextValue("payments"))
        note = models.CharField(max_length=9, unique=True)

        class Meta:
            app_label = "numbered"

        def __str__(self) -> str:
            return f"{self.number}"


@contextmanager
def table(using: str) -> Iterator[str]:
    """The table of payments."""
    with connections[using].schema_editor() as editor:
        editor.create_model(Payment)
    try:
        yield Payment._meta.db_table
    finally:
        with connections[using].cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {Payment._meta.db_table}")


def psql(using: str, script: str) -> subprocess.Popen[str]:
    """The real psql, which runs the script; it stays until its input is closed."""
    settings = connections[using].settings_dict
    client = subprocess.Popen(
        [
            *("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=0", "-d", settings["NAME"]),
            *("-h", settings["HOST"], "-p", str(settings["PORT"]), "-U", settings["USER"]),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert client.stdin is not None
    client.stdin.write(script)
    client.stdin.flush()
    return client


def insert(*notes: str) -> str:
    table = Payment._meta.db_table
    return "".join(
        f"INSERT INTO {table} (note) VALUES ('{note}') RETURNING number;\n" for note in notes
    )


def test_psql_and_django_share_gapless_numbers(using: str) -> None:
    """Rows that psql inserts, fails to insert, rolls back or dies over leave no hole."""
    if connections[using].vendor != "postgresql":
        return
    payments = Payment._base_manager.using(using)
    with table(using):
        assert payments.create(note="a").number == 1
        client = psql(using, insert("b", "b", "c"))  # the second violates the constraint
        assert client.communicate(timeout=PATIENCE)[0].split() == ["2", "3"]
        client = psql(using, "BEGIN;\n" + insert("d", "e") + "ROLLBACK;\n")
        assert client.communicate(timeout=PATIENCE)[0].split() == ["4", "5"]
        client = psql(using, "BEGIN;\n" + insert("f"))
        assert client.stdout is not None
        assert client.stdout.readline() == "4\n"
        waiting: list[int] = []

        def save() -> None:
            try:
                waiting.append(payments.create(note="g").number)
            finally:
                connections[using].close()

        thread = threading.Thread(target=save)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        client.kill()  # in the middle of its transaction
        client.communicate(timeout=PATIENCE)
        thread.join(PATIENCE)
        assert waiting == [4]
        payments.bulk_create([Payment(note=note) for note in "hi"])
        numbers = payments.order_by("number").values_list("number", flat=True)
        assert list(numbers) == [1, 2, 3, 4, 5, 6]
        assert get_last_value("payments", using=using) == 6


def test_db_default_on_sqlite(using: str) -> None:
    """SQLite evaluates it for Django; to a client that has no such function it is an error."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        return
    with table(using):
        payments = Payment._base_manager.using(using)
        connection.close()  # the one that made the table needed the function for that
        assert payments.create(note="a").number == 1
        connection.close()
        payments.bulk_create([Payment(note=note) for note in "bc"])
        with pytest.raises(IntegrityError):
            payments.create(note="c")
        client = sqlite3.connect(connection.settings_dict["NAME"])
        with closing(client), pytest.raises(sqlite3.OperationalError, match=FUNCTION):
            client.execute(insert("d"))
        numbers = payments.order_by("number").values_list("number", flat=True)
        assert list(numbers) == [1, 2, 3]
        assert get_last_value("payments", using=using) == 3


@pytest.mark.skipif(django.VERSION >= (6, 1), reason="Django omits the column without asking it")
@pytest.mark.parametrize("options", [{"ignore_conflicts": True}, UPDATE_CONFLICTS])
def test_db_default_of_rows_that_may_not_be_inserted(using: str, options: dict[str, Any]) -> None:
    """bulk_create() is refused, as with an explicit NextValue, so that no number is lost."""
    if connections[using].vendor not in {"postgresql", "sqlite"}:
        return
    with table(using):
        payments = Payment._base_manager.using(using)
        payments.create(note="a")
        with pytest.raises(NotSupportedError, match="would lose the numbers"):
            payments.bulk_create([Payment(note=note) for note in "ab"], **options)
        assert payments.create(note="b").number == 2


def test_db_default_where_the_database_has_none(using: str) -> None:
    """Elsewhere such a default is refused when the table is made, not ignored."""
    if connections[using].vendor in {"postgresql", "sqlite"}:
        return
    with pytest.raises(DatabaseError), table(using):
        pass
    assert Payment._meta.db_table not in connections[using].introspection.table_names()


def test_next_value_in_create_and_update(using: str) -> None:
    """NextValue numbers rows in create(), bulk_create() and update(), one number each."""
    invoices = Invoice.objects.using(using)
    invoices.create(number=NextValue("s", 10))
    invoices.bulk_create([Invoice(number=NextValue("s")) for _ in range(3)])
    assert sorted(invoices.values_list("number", flat=True)) == [10, 11, 12, 13]
    with transaction.atomic(using=using):
        locked = invoices.select_for_update().filter(number__lt=12)
        invoices.filter(pk__in=[row.pk for row in locked]).update(number=NextValue("s"))
    assert sorted(invoices.values_list("number", flat=True)) == [12, 13, 14, 15]
    assert get_last_value("s", using=using) == 15


def test_a_name_that_the_database_computes(using: str) -> None:
    """A name may be an expression, of the row's columns in an UPDATE: each has its counter."""
    notes = CreditNote.objects.using(using)
    computed = NextValue(Concat(Value("k."), Value("a")))
    assert notes.create(reason="a", number=computed).number == 1
    notes.bulk_create([CreditNote(reason=reason, number=0) for reason in "abb"])
    notes.update(number=NextValue(Concat(Value("k."), F("reason"))))
    stored = notes.order_by("reason", "number").values_list("reason", "number")
    assert list(stored) == [("a", 2), ("a", 3), ("b", 1), ("b", 2)]
    assert [get_last_value(name, using=using) for name in ("k.a", "k.b")] == [3, 2]


@pytest.mark.parametrize("locked", [False, True], ids=["unlocked", "select_for_update"])
def test_update_that_meets_another(locked: bool, using: str) -> None:
    """PostgreSQL evaluates an UPDATE again that waited for the row: only a lock before prevents it.

    https://www.postgresql.org/docs/15/transaction-iso.html#XACT-READ-COMMITTED
    """
    if connections[using].vendor != "postgresql":
        return
    invoices = Invoice.objects.using(using)
    row = invoices.create(number=100)
    numbers: list[int] = []

    def number_it() -> None:
        try:
            with transaction.atomic(using=using):
                if locked:
                    invoices.select_for_update().get(pk=row.pk)
                invoices.filter(pk=row.pk).update(number=NextValue("s"))
            numbers.append(invoices.get(pk=row.pk).number)
        finally:
            connections[using].close()

    thread = threading.Thread(target=number_it)
    with transaction.atomic(using=using):
        invoices.filter(pk=row.pk).update(note="changed")
        thread.start()
        wait_for_a_blocked_session(using)
    thread.join(PATIENCE)
    assert numbers == [1 if locked else 2]
    assert get_last_value("s", using=using) == (1 if locked else 2)


def wait_for_a_blocked_session(using: str) -> None:
    """Return once another session waits for a lock that this one holds."""
    deadline = time.monotonic() + PATIENCE
    query = (
        "SELECT count(*) FROM pg_locks "
        "WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )
    with connections[using].cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(query)
            if cursor.fetchone()[0]:
                return
            time.sleep(0.01)
    raise AssertionError("nobody ever waited")


OUTDATE = {
    "postgresql": f"CREATE OR REPLACE FUNCTION {FUNCTION}(sequence_name text, initial_value bigint "
    "DEFAULT 1, reset_value bigint DEFAULT NULL) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
    "mysql": f"ALTER FUNCTION {FUNCTION} COMMENT 'older'",
}


def test_an_outdated_function(using: str) -> None:
    """A function of another version is reported; the field does without, until it is installed."""
    connection = connections[using]
    if connection.vendor not in OUTDATE:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute(OUTDATE[connection.vendor])
        forget_functions()
        assert not get_allocator(connection).is_installed(connection)
        assert Invoice.objects.using(using).create().number == 1
        with pytest.raises(FunctionMissing, match=f"sequences install --database={using}"):
            Invoice.objects.using(using).create(number=NextValue("invoices"))
    finally:
        install(connection)
    assert get_allocator(connection).is_installed(connection)
    assert Invoice.objects.using(using).create().number == 2


ROWS = ("SELECT", "INSERT", "UPDATE", "DELETE")


def test_a_user_who_may_make_no_function(using: str) -> None:
    """Installing then warns with the remedy; numbers are taken by statements of their own."""
    connection = connections[using]
    if connection.vendor != "mysql":
        return
    routine = ("CREATE ROUTINE", "ALTER ROUTINE", "EXECUTE")
    try:
        with connected_as(using, *ROWS, *routine), connection.cursor() as cursor:
            cursor.execute("SELECT @@log_bin AND NOT @@log_bin_trust_function_creators")
            (untrusted,) = cursor.fetchone()
        # Without binary logging CREATE ROUTINE is enough.
        privileges = [ROWS, (*ROWS, *routine)] if untrusted else [ROWS]
        get_allocator(connection).uninstall(connection)
        for number, granted in enumerate(privileges, 1):
            with connected_as(using, *granted):
                with pytest.warns(UserWarning, match="log_bin_trust_function_creators"):
                    install(connection)
                assert Invoice.objects.using(using).create().number == 2 * number - 1
                with transaction.atomic(using=using):
                    assert get_next_value("invoices", using=using) == 2 * number
                with pytest.raises(FunctionMissing):
                    Invoice.objects.using(using).create(number=NextValue("invoices"))
    finally:
        install(connection)


def test_a_user_who_may_drop_no_function(using: str) -> None:
    """Uninstalling warns with the privilege that is missing, and the function stays."""
    connection = connections[using]
    if connection.vendor != "mysql":
        return
    allocator = get_allocator(connection)
    with connected_as(using, *ROWS), pytest.warns(UserWarning, match="ALTER ROUTINE"):
        allocator.uninstall(connection)
    assert allocator.is_installed(connection)


def test_a_user_who_may_call_the_function(using: str) -> None:
    """EXECUTE on the function is all that NextValue asks for beside the rights to the rows."""
    connection = connections[using]
    if connection.vendor != "mysql":
        return
    with connected_as(using, *ROWS, "EXECUTE"):
        forget_functions()
        assert Invoice.objects.using(using).create(number=NextValue("invoices")).number == 1
        assert Invoice.objects.using(using).create().number == 2


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_user_who_may_not_call_the_function(everywhere: bool, using: str) -> None:
    """The field then takes its numbers by a statement of its own, and NextValue is refused."""
    connection = connections[using]
    if connection.vendor == "sqlite":  # which has no users
        return
    invoices = Invoice.objects.using(using)
    everybody = f"EXECUTE ON FUNCTION {FUNCTION}(text, bigint, bigint)"
    try:
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"REVOKE {everybody} FROM PUBLIC")
        # MySQL and MariaDB show a function to those who may see all tables.
        with connected_as(using, *ROWS, everywhere=everywhere):
            forget_functions()
            assert invoices.create().number == 1
            with transaction.atomic(using=using):
                assert invoices.create().number == 2
            with pytest.raises(FunctionMissing):
                invoices.create(number=NextValue("invoices"))
        forget_functions()
        assert invoices.create(number=NextValue("invoices")).number == 3
    finally:
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"GRANT {everybody} TO PUBLIC")
        forget_functions()
