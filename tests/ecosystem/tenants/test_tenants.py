"""django-tenants: one schema per tenant, and the counters in public, in each schema, or in both."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError, NotSupportedError, transaction
from django.db import connection as default_connection
from django.db.migrations.operations import CreateModel, RenameField
from django.db.migrations.state import ProjectState
from django.db.models import AutoField
from django_tenants.utils import get_public_schema_name, schema_context
from sequences_contrib.fields import SequenceField
from sequences_contrib.upkeep import prune

from sequences_core import (
    FunctionMissing,
    NextValue,
    TableMissing,
    get_last_value,
    get_next_value,
    get_next_values,
    set_last_value,
)
from sequences_core.allocator import FUNCTION
from sequences_core.functions import forget_functions, has_function
from sequences_core.table import TABLE
from tests.ecosystem.projects import messages_of_ours
from tests.ecosystem.tenants.customers.models import Client, Domain
from tests.ecosystem.tenants.shop.models import Invoice, Payment, Ticket

connection: Any = default_connection  # with what the engine adds to it

PUBLIC = get_public_schema_name()
APP = "sequences_core"
IN_PUBLIC, IN_TENANTS = (APP in getattr(settings, name) for name in ("SHARED_APPS", "TENANT_APPS"))

# Tenants are made and dropped with their schemas, which takes its time: once for all tests.
pytestmark = pytest.mark.usefixtures("two_tenants")


def make_tenant(name: str) -> Any:
    client = Client(schema_name=name, name=name)
    client.save(verbosity=0)
    Domain.objects.create(tenant=client, domain=f"{name}.example.com", is_primary=True)
    return client


@pytest.fixture(scope="module")
def tenants(django_db_blocker: Any) -> Iterator[None]:
    """Two tenants in a test database, which is made here, as no test is rolled back or flushed."""
    with django_db_blocker.unblock():
        name = connection.settings_dict["NAME"]
        connection.creation.create_test_db(verbosity=0, autoclobber=True)
        try:
            for schema in ("one", "two"):
                make_tenant(schema)
            yield
        finally:
            connection.set_schema_to_public()
            connection.creation.destroy_test_db(name, verbosity=0)


@pytest.fixture
def two_tenants(tenants: None) -> Iterator[None]:
    """The two tenants, without rows and counters."""
    empty()
    yield
    empty()


def empty() -> None:
    for schema in (PUBLIC, "one", "two"):
        with schema_context(schema), connection.cursor() as cursor:
            tables = {*connection.introspection.table_names(cursor)}
            for table in tables & {TABLE, *(m._meta.db_table for m in (Invoice, Ticket, Payment))}:
                cursor.execute(f'DELETE FROM "{schema}"."{table}"')
    connection.set_schema_to_public()


def in_turn(function: Any, times: int = 3) -> tuple[list[int], list[int]]:
    """Call the function in one tenant's schema and the other's, in turn; return its numbers."""
    numbers: dict[str, list[int]] = {"one": [], "two": []}
    for _ in range(times):
        for schema, taken in numbers.items():
            with schema_context(schema):
                taken.append(function())
    return numbers["one"], numbers["two"]


EACH = ([1, 2, 3], [1, 2, 3])
"""The numbers of two sequences"""

ALL = ([1, 3, 5], [2, 4, 6])
"""and of one that both tenants take from."""

EXPECTED = EACH if IN_TENANTS else ALL


def test_field() -> None:
    """Each tenant has its own sequence, or all share one; neither has a gap."""
    assert in_turn(lambda: Invoice.objects.create().number) == EXPECTED


def test_scoped_field() -> None:
    """A scope doesn't change whose counters they are."""
    assert in_turn(lambda: Ticket.objects.create(project="web").number) == EXPECTED


def test_field_in_a_transaction() -> None:
    """In which one tenant's row is stored and rolled back."""

    def create() -> int:
        with transaction.atomic():
            Invoice.objects.create()
            transaction.set_rollback(True)
        with transaction.atomic():
            return int(Invoice.objects.create().number)

    assert in_turn(create) == EXPECTED


def test_bulk_create() -> None:
    """A bulk takes its block from the schema that it is inserted in."""

    def create() -> int:
        first, second = Invoice.objects.bulk_create([Invoice(), Invoice()])
        assert second.number == first.number + 1
        return int(first.number)

    assert in_turn(create, 2) == (([1, 3], [1, 3]) if IN_TENANTS else ([1, 5], [3, 7]))


def test_a_save_that_fails_consumes_no_number() -> None:
    """In whichever schema."""

    def create() -> int:
        row = Invoice.objects.create()
        with pytest.raises(IntegrityError):
            Invoice(pk=row.pk).save(force_insert=True)
        return int(row.number)

    assert in_turn(create) == EXPECTED


def test_functions() -> None:
    """The public functions are about the schema of the moment."""

    def take() -> int:
        with transaction.atomic():
            number = get_next_value("letters")
            assert get_last_value("letters") == number
        return number

    assert in_turn(take) == EXPECTED


def test_next_value() -> None:
    """The database function moves the counters of the schema of the moment."""

    def create() -> int:
        row = Payment.objects.create(number=NextValue("payments"))
        row.refresh_from_db()
        return row.number

    assert in_turn(create) == EXPECTED


def test_public() -> None:
    """Where the app is shared, public has counters; elsewhere the error says that it has none."""
    with schema_context("one"), transaction.atomic():
        assert get_next_values(5, "letters") == range(1, 6)
    with schema_context(PUBLIC):
        if IN_PUBLIC:
            with transaction.atomic():
                assert get_next_value("letters") == (1 if IN_TENANTS else 6)
        else:
            assert TABLE not in connection.introspection.table_names()
            with pytest.raises(TableMissing), transaction.atomic():
                get_next_value("letters")
    with schema_context("one"), transaction.atomic():
        assert get_next_value("letters") == (6 if IN_TENANTS else 7)


@pytest.mark.parametrize("first", [PUBLIC, "one"])
def test_what_one_schema_has_says_nothing_of_another(first: str) -> None:
    """Whichever is asked first whether it has the function, numbers are right in all of them."""
    forget_functions()
    with schema_context(first):
        if first == PUBLIC and not IN_PUBLIC:
            with pytest.raises((FunctionMissing, TableMissing)), transaction.atomic():
                Client.objects.filter(pk=-1).update(name=NextValue("letters"))
        else:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {FUNCTION}('letters')")
    for _ in range(2):
        with schema_context(PUBLIC):
            assert not messages_of_ours()
    numbers = in_turn(lambda: Payment.objects.create(number=NextValue("payments")).pk)
    assert [len(each) for each in numbers] == [3, 3]
    found = []
    for schema in ("one", "two"):
        with schema_context(schema):
            found.append(list(Payment.objects.order_by("pk").values_list("number", flat=True)))
    assert tuple(found) == EXPECTED


def test_a_tenant_that_is_new() -> None:
    """It begins at 1, or where the others are, and so does one of the same name later."""
    with schema_context("one"):
        assert [Invoice.objects.create().number for _ in range(2)] == [1, 2]
    expected = iter([[1, 2], [1, 2]] if IN_TENANTS else [[3, 4], [5, 6]])
    for _ in range(2):
        client = make_tenant("three")
        with schema_context("three"):
            assert [Invoice.objects.create().number for _ in range(2)] == next(expected)
        connection.set_schema_to_public()
        client.delete(force_drop=True)


@pytest.mark.skipif(not IN_TENANTS, reason="all tenants have one function")
@pytest.mark.parametrize("asked_first", [PUBLIC, "one", "two"])
def test_a_tenant_without_the_function(asked_first: str) -> None:
    """Its numbers are taken by separate statements from its own counter."""
    with schema_context("two"), connection.cursor() as cursor:
        cursor.execute(f'DROP FUNCTION "two".{FUNCTION}')
    forget_functions()
    try:
        with schema_context(asked_first):
            has_function(connection)
        assert in_turn(lambda: Invoice.objects.create().number) == EACH
        for schema in ("one", "two"):
            with schema_context(schema):
                assert get_last_value("invoices") == 3
    finally:
        with schema_context("two"):
            call_command("sequences", "install", stdout=StringIO())
    assert in_turn(lambda: Invoice.objects.create().number, 1) == ([4], [4])


@pytest.mark.parametrize("path", ["", '"two", "public"', '"public"'])
def test_the_function_from_any_search_path(path: str) -> None:
    """A tenant's function uses the tenant's table, whatever the session's path is."""
    home = "one" if IN_TENANTS else PUBLIC
    with schema_context("one"), transaction.atomic():
        assert get_next_value("letters") == 1
    with transaction.atomic(), connection.cursor() as cursor:
        # By the driver's cursor: the package's sets its path for each of Django's.
        driver: Any = cursor.cursor
        driver.execute(f"SELECT set_config('search_path', '{path}', true)")
        driver.execute(f"SELECT \"{home}\".{FUNCTION}('letters')")
        assert driver.fetchone() == (2,)
    with schema_context("one"):
        assert get_last_value("letters") == 2
    if IN_TENANTS:
        with schema_context("two"):
            assert get_last_value("letters") is None


def test_check() -> None:
    """``manage.py check`` and each command that begins with it work, with nothing to say."""
    out = StringIO()
    call_command("check", stdout=out, stderr=out)
    assert messages_of_ours() == []


@pytest.mark.parametrize("schema", ["one", "two"])
def test_check_in_a_tenant(schema: str) -> None:
    """The same with a tenant's schema, where its database is asked, too."""
    with schema_context(schema):
        assert messages_of_ours() == []


def test_migrate_schemas() -> None:
    """It can be repeated, and migrates all schemas."""
    call_command("migrate_schemas", verbosity=0, interactive=False)
    assert in_turn(lambda: Invoice.objects.create().number) == EXPECTED


def test_makemigrations() -> None:
    """The migrations of what the tenants number are complete."""
    out = StringIO()
    try:
        call_command("makemigrations", "shop", check=True, dry_run=True, stdout=out)
    except SystemExit:
        raise AssertionError(out.getvalue()) from None


def test_a_counter_follows_a_renamed_column() -> None:
    """The numbers continue in each tenant, and a later tenant doesn't change shared ones."""
    states = [ProjectState()]
    steps = [
        CreateModel("Memo", [("id", AutoField(primary_key=True)), ("number", SequenceField())]),
        RenameField("Memo", "number", "no"),
    ]
    for step in steps:
        states.append(states[-1].clone())
        step.state_forwards("shop", states[-1])

    def migrate(number: int) -> None:
        with connection.schema_editor() as editor:
            steps[number].database_forwards("shop", editor, *states[number : number + 2])

    def take() -> Any:
        return states[-1].apps.get_model("shop", "Memo").objects.create().no

    def drop() -> None:
        with connection.schema_editor() as editor:
            editor.delete_model(states[-1].apps.get_model("shop", "Memo"))

    in_turn(lambda: migrate(0), times=1)
    before = states[1].apps.get_model("shop", "Memo").objects
    assert in_turn(lambda: before.create().number) == EXPECTED
    in_turn(lambda: migrate(1), times=1)
    for schema in ("one", "two"):
        with schema_context(schema):
            assert take() == (4 if IN_TENANTS else {"one": 7, "two": 8}[schema])
    with schema_context("two"):
        drop()
        set_last_value(100, "shop_memo.number")  # by a new field with the old name
        migrate(0)  # as for a new tenant
        migrate(1)
        assert take() == (101 if IN_TENANTS else 9)
    in_turn(drop, times=1)


@pytest.mark.skipif(IN_TENANTS, reason="each tenant has its own counters")
def test_counters_of_other_tenants_are_not_pruned() -> None:
    """One schema doesn't show the rows of the others, which may use a counter that seems unused."""
    with schema_context("two"):
        Ticket.objects.create(project="web")
    with schema_context("one"), pytest.raises(NotSupportedError, match="share the table"):
        prune(Ticket, apply=True)
    with schema_context("two"):
        assert Ticket.objects.create(project="web").number == 2
