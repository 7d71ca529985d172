"""What ``save()`` and ``create()`` do to the number, the counter and the statements."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import (
    DatabaseError,
    IntegrityError,
    connections,
    models,
    transaction,
)
from django.db.models import F
from django.test.utils import isolate_apps
from sequences_contrib.fields import SequenceField

from sequences_core import (
    FunctionMissing,
    NextValue,
    SequenceExhausted,
    TableMissing,
    get_allocator,
    get_last_value,
    set_last_value,
)
from sequences_core.arguments import MAX_VALUE
from sequences_core.models import Counter
from tests.numbered.blocks import MODES, atomic_if, letters, model_with, rolled_back, statements
from tests.numbered.models import (
    Company,
    Document,
    First,
    Invoice,
    Patient,
    Plain,
    Project,
    Receipt,
    Ticket,
)

APPS = ["tests.numbered"]


def test_create_is_one_statement(using: str) -> None:
    """In autocommit mode, create() is one statement without a transaction."""
    expected = {
        "postgresql": 1,
        "mariadb": 1,
        "mysql": 2,  # the number is read back after the commit, when nobody waits for it
        "sqlite": 1,
    }
    for number in (1, 2):
        with statements(using, expected):
            invoice = Invoice.objects.using(using).create()
        assert invoice.number == number
        assert invoice.pk
        invoice.refresh_from_db()
        assert invoice.number == number


def test_create_in_a_transaction(using: str) -> None:
    """Inside atomic() no savepoint is added."""
    with transaction.atomic(using=using):
        Invoice.objects.using(using).create()
        # Without RETURNING the number is taken before: reading it back would keep others waiting.
        with statements(using, {"mysql": 2, "": 1}):
            invoice = Invoice.objects.using(using).create()
    assert invoice.number == 2


def test_the_number_is_of_this_very_row(using: str) -> None:
    """A trigger that inserts elsewhere, and a pre_save that inserts here, don't confuse it."""
    if using != "mysql":
        return
    with connections[using].cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER log_invoice AFTER INSERT ON numbered_invoice FOR EACH ROW "
            "INSERT INTO numbered_company (name) VALUES (NEW.id), (NEW.id), (NEW.id)"
        )
    try:
        invoices = [Invoice.objects.using(using).create() for _ in range(3)]
    finally:
        with connections[using].cursor() as cursor:
            cursor.execute("DROP TRIGGER log_invoice")
    assert [invoice.number for invoice in invoices] == [1, 2, 3]
    assert Invoice.objects.using(using).in_bulk().keys() == {each.pk for each in invoices}


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
@pytest.mark.parametrize("outer_pk", [None, 1000])
@pytest.mark.parametrize("inner_pk", [None, 2000])
def test_a_row_inserted_by_the_insert_of_another(
    inner_pk: int | None, outer_pk: int | None, in_transaction: bool, using: str
) -> None:
    """A pre_save may insert a row of the same table; each instance gets its own number."""
    project = Project.objects.using(using).create(code="p")
    Ticket.objects.using(using).create(project=project, title="first")
    inner = Ticket(pk=inner_pk, project=project, title="inner")
    outer = Ticket(pk=outer_pk, project=project, title="outer")

    def nested(field: Any, instance: Any, add: bool) -> str:
        if add and instance is outer and inner._state.adding:
            inner.save(using=using, force_insert=True)
        return str(instance.title)

    title: Any = Ticket._meta.get_field("title")
    title.pre_save = nested.__get__(title)
    try:
        with atomic_if(in_transaction, using):
            outer.save(using=using, force_insert=True)
    finally:
        del title.pre_save
    assert {inner.number, outer.number} == {2, 3}
    for ticket in (inner, outer):
        stored = Ticket.objects.using(using).get(pk=ticket.pk)
        assert (stored.number, stored.title) == (ticket.number, ticket.title)


@pytest.mark.parametrize("text", ["/* a tag */ {}", "{} /* a tag */", "{} -- a tag"])
def test_tools_that_tag_statements(text: str, using: str) -> None:
    """An execute_wrapper may add a comment before or behind the INSERT."""

    def tag(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        return execute(text.format(sql), params, many, context)

    with connections[using].execute_wrapper(tag):
        invoice = Invoice.objects.using(using).create()
        patient = Patient.objects.using(using).create()
    assert (invoice.number, patient.number) == (1, 1)
    assert Invoice.objects.using(using).get(pk=invoice.pk).number == 1


def test_a_missing_table_is_named_rightly(using: str) -> None:
    """If the model's own table is missing, the error doesn't recommend to create the counters'."""
    with isolate_apps("tests.numbered"):
        letter = model_with(number=SequenceField())
    with pytest.raises(DatabaseError, match="numbered_letter") as caught:
        letter.objects.using(using).create()
    assert not isinstance(caught.value, TableMissing)
    assert get_last_value("numbered_letter.number", using=using) is None


def test_a_function_that_is_dropped_and_made_again(using: str) -> None:
    """If the function is dropped, the error has the remedy; then saves work without and with it."""
    connection = connections[using]
    allocator = get_allocator(connection)
    if allocator.function_of_connection:
        return
    Invoice.objects.using(using).create()
    allocator.uninstall(connection)
    try:
        with pytest.raises(FunctionMissing, match="sequences install"):
            Invoice.objects.using(using).create()
        with pytest.raises(FunctionMissing, match="sequences install"):
            Invoice.objects.using(using).create(number=NextValue("invoices"))
        assert Invoice.objects.using(using).create().number == 2
    finally:
        allocator.install(connection)
    assert Invoice.objects.using(using).create(number=NextValue("invoices")).number == 3
    assert Invoice.objects.using(using).create().number == 4


KILL = {
    "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({}, 10000)"),
    "mariadb": ("SELECT CONNECTION_ID()", "KILL CONNECTION {}"),
    "mysql": ("SELECT CONNECTION_ID()", "KILL CONNECTION {}"),
}
"""The statements that identify a session and that end it, by database."""


@contextmanager
def losing_the_connection(using: str) -> Iterator[None]:
    """End the session before the SELECT that follows a write, and reconnect after the block."""
    connection = connections[using]
    identify, end = KILL[using]
    written = False

    def kill() -> None:
        with connections[using].cursor() as cursor:
            cursor.execute(end.format(session))
        connections[using].close()

    def lose(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal written
        if written and sql.startswith("SELECT"):
            thread = threading.Thread(target=kill)
            thread.start()
            thread.join()
        # The first INSERT of a process follows a SELECT that looks for the function.
        written = written or sql.startswith(("INSERT", "UPDATE"))
        return execute(sql, params, many, context)

    with connection.cursor() as cursor:
        cursor.execute(identify)
        (session,) = cursor.fetchone()
    try:
        with connection.execute_wrapper(lose):
            yield
    finally:
        connection.close()


def test_a_connection_that_is_lost_after_an_insert(using: str) -> None:
    """A number that can't be read back is read later, because the row is committed."""
    if using != "mysql":
        pytest.skip("the INSERT returns the number")
    with losing_the_connection(using):
        invoice = Invoice.objects.using(using).create()
    assert invoice.number == 1
    assert Invoice.objects.using(using).create().number == 2


def test_a_connection_that_is_lost_after_an_update(using: str) -> None:
    """A number that an UPDATE leaves out, and that can't be read back, is read later, too."""
    if using not in KILL:
        pytest.skip("nobody can end the session of another connection")
    key = Invoice.objects.using(using).create().pk
    made_by_hand = Invoice(pk=key, note="new")
    with losing_the_connection(using):
        made_by_hand.save(using=using, force_update=True)
    assert made_by_hand.number == 1
    assert Invoice.objects.using(using).get().note == "new"


def test_scope_costs_no_statement(using: str) -> None:
    """A scope whose value the instance holds is not looked up, even if it is a foreign key."""
    project = Project.objects.using(using).create(code="p")
    with statements(using, {"mysql": 2, "": 1}):
        ticket = Ticket.objects.using(using).create(project_id=project.pk)
    assert ticket.number == 1
    assert get_last_value(f"numbered_ticket.number.{project.pk}", using=using) == 1


def test_explicit_primary_key(using: str) -> None:
    """A row that brings its primary key is numbered, whichever statements Django needs."""
    invoice = Invoice.objects.using(using).create(pk=77)
    assert (invoice.pk, invoice.number) == (77, 1)
    invoice = Invoice(pk=99)
    invoice.save(using=using)  # an UPDATE that finds no row, then the INSERT
    assert (invoice.pk, invoice.number) == (99, 2)
    invoice = Invoice(pk=100)
    invoice.save(using=using, force_insert=True)
    assert (invoice.pk, invoice.number) == (100, 3)


def test_an_insert_by_other_means(using: str) -> None:
    """An INSERT that neither save() nor bulk_create() made is not numbered."""

    def insert(row: models.Model) -> None:
        fields = [field for field in row._meta.local_fields if not field.primary_key]
        type(row)._base_manager._insert([row], fields=fields, using=using)  # type: ignore[attr-defined]

    insert(Invoice(number=7))
    insert(Receipt())
    assert Invoice.objects.using(using).get().number == 7
    assert Receipt.objects.using(using).get().number is None
    with pytest.raises(IntegrityError):
        insert(Invoice())
    assert get_last_value("invoices", using=using) is None


def test_default_name_is_the_column(using: str) -> None:
    """The default name is that of the table and column, so each table has its own counter."""
    Plain.objects.using(using).create(code="a")
    assert get_last_value("numbered_plain.number", using=using) == 1
    assert Invoice.objects.using(using).create().number == 1
    with letters(using, number=SequenceField(db_column="no")) as rows:
        assert rows.create().number == 1
        assert get_last_value("numbered_letter.no", using=using) == 1


def test_saving_twice_keeps_the_number(using: str) -> None:
    """Saving again is an UPDATE and takes nothing, whatever fields it is given."""
    invoice = Invoice.objects.using(using).create()
    invoice.note = "changed"
    invoice.save()
    invoice.save(update_fields=["note"])
    invoice.save(update_fields=["number"])
    invoice.save(force_update=True)
    deferred = Invoice.objects.using(using).only("note").get()
    deferred.save()
    Invoice.objects.using(using).update(note="again")
    Invoice.objects.using(using).bulk_update([invoice], ["note"])
    invoice.refresh_from_db()
    assert invoice.number == 1
    assert get_last_value("invoices", using=using) == 1


def test_a_number_can_be_changed(using: str) -> None:
    """save() increases a lower counter to the number, as an INSERT does; update() doesn't."""
    invoice = Invoice.objects.using(using).create()
    for number, last in ((5, 5), (3, 5), (-1, 5), (6, 6)):
        invoice.number = number
        invoice.save()
        assert Invoice.objects.using(using).get().number == number
        assert get_last_value("invoices", using=using) == last
    Invoice.objects.using(using).update(number=F("number") + 1)
    invoice.refresh_from_db()
    assert invoice.number == 7
    assert get_last_value("invoices", using=using) == 6


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
def test_a_failed_save_takes_nothing(in_transaction: bool, using: str) -> None:
    """A save that fails leaves counter and instance as they were, and can be tried again."""
    Plain.objects.using(using).create(code="taken")
    rejected = Plain(code="taken")
    with atomic_if(in_transaction, using):
        for _ in range(3):
            with pytest.raises(IntegrityError):
                _save(rejected, using, in_transaction)
            assert get_last_value("numbered_plain.number", using=using) == 1
            assert rejected.pk is None
            assert rejected.number is None
            assert connections[using].in_atomic_block is in_transaction
        # Somebody else gets the number meanwhile.
        assert Plain.objects.using(using).create(code="b").number == 2
        rejected.code = "free"
        _save(rejected, using, in_transaction)
    assert rejected.number == 3
    numbers = Plain.objects.using(using).order_by("number").values_list("number", flat=True)
    assert list(numbers) == [1, 2, 3]


def _save(instance: models.Model, using: str, in_transaction: bool) -> None:
    # What fails in a transaction is left by a savepoint, as everywhere in Django.
    with atomic_if(in_transaction, using):
        instance.save(using=using)


def test_a_failed_create_takes_nothing_of_several_counters(using: str) -> None:
    """If the INSERT fails, no counter of the row changes."""
    Patient.objects.using(using).create()
    with pytest.raises(IntegrityError):
        Patient.objects.using(using).create(number=1)
    documents = Document.objects.using(using)
    documents.create(kind="a")
    with pytest.raises(IntegrityError):
        documents.create(kind="a", pk=documents.get().pk)
    document = documents.create(kind="a")
    assert (document.number, document.page) == (101, 1)


def test_rollback_gives_the_number_back(using: str) -> None:
    """Numbers of a rolled-back transaction or savepoint are taken by the next one."""
    with rolled_back(using):
        assert Invoice.objects.using(using).create().number == 1
    with transaction.atomic(using=using):
        assert Invoice.objects.using(using).create().number == 1
        with rolled_back(using):
            assert Invoice.objects.using(using).create().number == 2
        assert Invoice.objects.using(using).create().number == 2
    assert Invoice.objects.using(using).create().number == 3


def test_explicit_value_is_kept_and_passed(using: str) -> None:
    """An explicit value is stored as it is; the next save goes on above it."""
    assert Invoice.objects.using(using).create(number=10).number == 10
    assert Invoice.objects.using(using).create().number == 11
    assert Invoice.objects.using(using).create(number=5).number == 5
    assert Invoice.objects.using(using).create().number == 12
    assert get_last_value("invoices", using=using) == 12


@pytest.mark.parametrize("options", [{}, {"nowait": True}], ids=["any wait", "nowait"])
def test_explicit_value_that_is_passed_already(options: dict[str, Any], using: str) -> None:
    """A value below the counter leaves it, wherever it stands: at -1, looping or at the end."""
    field = SequenceField("s", initial_value=0, reset_value=5, **options)
    with letters(using, number=field) as rows:
        Counter.objects.using(using).create(name="s", last=-1)
        rows.create(number=-3)
        assert [rows.create().number for _ in range(3)] == [0, 1, 2]
        for number, last in ((1, 2), (2, 2), (4, 4), (0, 4)):
            rows.create(number=number)
            assert get_last_value("s", using=using) == last
        assert rows.create().number == 0
        set_last_value(MAX_VALUE, "s", using=using)
        rows.create(number=7)
        assert get_last_value("s", using=using) == MAX_VALUE


def test_explicit_value_of_another_type(using: str) -> None:
    """Any explicit value that the field converts to an integer is accepted."""
    assert Invoice.objects.using(using).create(number="10").number in {10, "10"}
    assert Invoice.objects.using(using).create().number == 11
    with pytest.raises(ValueError, match="number"):
        Invoice.objects.using(using).create(number="ten")
    assert get_last_value("invoices", using=using) == 11


@pytest.mark.parametrize("number", [MAX_VALUE + 1, str(10**30)])
def test_explicit_value_that_is_too_high(number: Any, using: str) -> None:
    """No column can store it, so every database raises the same error."""
    invoices = Invoice.objects.using(using)
    row = Invoice(number=number)
    with pytest.raises(ValueError, match="is above"):
        row.save(using=using)
    with pytest.raises(ValueError, match="is above"):
        invoices.bulk_create([row, Invoice()])
    assert row.number == number
    assert (invoices.create().number, invoices.count()) == (1, 1)


def test_explicit_value_that_rolls_back_moves_nothing(using: str) -> None:
    """A row with an explicit number and the counter that passed it are one transaction."""
    Plain.objects.using(using).create(code="a")
    with pytest.raises(IntegrityError):
        Plain.objects.using(using).create(code="a", number=50)
    assert Plain.objects.using(using).create(code="b").number == 2


def test_explicit_value_before_the_first_number(using: str) -> None:
    """Below a computed first number an explicit value makes no counter; from it on, it does."""
    documents = Document.objects.using(using)
    name = "numbered_document.number.a.x"
    assert documents.create(kind="a", number=7).number == 7
    assert get_last_value(name, using=using) is None
    assert documents.create(kind="a").number == 100
    assert documents.create(kind="b", number=100).number == 100
    assert documents.create(kind="b").number == 101


def test_explicit_none_is_no_value(using: str) -> None:
    """An explicit None requests a number, as if it were left out."""
    none: Any = None
    assert Invoice.objects.using(using).create(number=none).number == 1


def test_explicit_expression(using: str) -> None:
    """An expression of the user's own is evaluated, and the instance gets its value."""
    Invoice.objects.using(using).create()
    invoice = Invoice(number=models.Value(7) + 1)
    invoice.save(using=using)
    assert invoice.number == 8
    invoice = Invoice.objects.using(using).create(number=NextValue("invoices"))
    assert invoice.number == 2
    assert get_last_value("invoices", using=using) == 2


def test_no_instance_ever_holds_an_expression(using: str) -> None:
    """After every kind of save the number is an int, before and after reading the row again."""
    saved: list[Any] = [
        Invoice.objects.using(using).create(),
        First.objects.using(using).create(),
        Patient.objects.using(using).create(),
    ]
    with transaction.atomic(using=using):
        saved += [Invoice.objects.using(using).create(), First.objects.using(using).create()]
    for instance in saved:
        assert type(instance.number) is int
        assert instance.pk
        number = instance.number
        instance.refresh_from_db()
        assert instance.number == number
        assert pickle.loads(pickle.dumps(instance)).number == number


def as_new(receipt: Any) -> Any:
    """Make a saved instance one of a new row, as Django's documentation says."""
    receipt.pk = None
    receipt._state.adding = True
    return receipt


def without_key(receipt: Any) -> Any:
    receipt.pk = None
    return receipt


def loaded(receipt: Any) -> Any:
    """Return the row, read from its database."""
    return Receipt.objects.using(receipt._state.db).get(pk=receipt.pk)


def updated(receipt: Any) -> Any:
    """Give the row another number by an UPDATE, below the counter."""
    receipt.number = -7
    receipt.save()
    return receipt


def deferred(receipt: Any) -> Any:
    """Return the row without its number, which is then read by itself."""
    row = Receipt.objects.using(receipt._state.db).defer("number").get(pk=receipt.pk)
    assert row.number == receipt.number
    return row


def read_again(receipt: Any) -> Any:
    """Return the row as it is after an UPDATE that its instance didn't see."""
    rows = Receipt.objects.using(receipt._state.db).filter(pk=receipt.pk)
    rows.update(number=8)
    receipt.refresh_from_db()
    assert receipt.number == 8
    rows.update(number=7)
    receipt.refresh_from_db(fields=(name for name in ["number"]))
    return receipt


COPIES: dict[str, Any] = {
    "the same instance": lambda receipt: as_new(receipt),
    "without _state.adding": lambda receipt: without_key(receipt),
    "loaded": lambda receipt: as_new(loaded(receipt)),
    "copy.copy": lambda receipt: as_new(copy.copy(receipt)),
    "copy.deepcopy": lambda receipt: as_new(copy.deepcopy(loaded(receipt))),
    "pickled": lambda receipt: as_new(pickle.loads(pickle.dumps(receipt))),
    "updated before": lambda receipt: as_new(updated(receipt)),
    "deferred": lambda receipt: as_new(deferred(receipt)),
    "read again": lambda receipt: as_new(read_again(receipt)),
}


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
@pytest.mark.parametrize("way", COPIES)
def test_a_copy_has_a_number_of_its_own(way: str, in_transaction: bool, using: str) -> None:
    """A copy gets a new number, in each of Django's ways to make one; but keeps one set after."""
    company = Company.objects.using(using).create(name="c")
    project = Project.objects.using(using).create(code="p", company=company)
    receipts = Receipt.objects.using(using)

    def copied() -> Any:
        return COPIES[way](receipts.create(project=project))

    copy_ = copied()
    _save(copy_, using, in_transaction)
    assert copy_.number == 2
    copy_ = copied()
    copy_.number = 9
    _save(copy_, using, in_transaction)
    assert copy_.number == 9
    bulk = [copied(), copied()]  # of rows 10 and 11
    bulk[1].number = 20
    receipts.bulk_create(bulk)
    assert list(receipts.order_by("-number").values_list("number", flat=True))[:2] == [21, 20]


def test_an_instance_whose_row_was_rolled_back(using: str) -> None:
    """Saved again, the instance gets a new number, because another row has the old one."""
    invoice = Invoice()
    with rolled_back(using):
        invoice.save(using=using)
    assert invoice.number == 1
    assert Invoice.objects.using(using).create().number == 1
    invoice.pk = None  # which SQLite gives again as well
    invoice.save(using=using)
    assert invoice.number == 2


def test_a_row_that_is_stored_again(using: str) -> None:
    """A row that somebody has deleted keeps its number when the instance is saved once more."""
    Invoice.objects.using(using).create()
    invoice = Invoice.objects.using(using).get()
    Invoice.objects.using(using).all().delete()
    invoice.save()
    assert Invoice.objects.using(using).get().number == 1
    assert Invoice.objects.using(using).create().number == 2


def test_exhaustion_comes_out_of_the_save(using: str) -> None:
    """A save past 2**63 - 1 raises SequenceExhausted, stores nothing and leaves the counter."""
    set_last_value(MAX_VALUE - 1, "invoices", using=using)
    assert Invoice.objects.using(using).create().number == MAX_VALUE
    with pytest.raises(SequenceExhausted):
        Invoice.objects.using(using).create()
    with pytest.raises(SequenceExhausted), transaction.atomic(using=using):
        Invoice.objects.using(using).create()
    with pytest.raises(SequenceExhausted):
        Invoice.objects.using(using).bulk_create([Invoice(), Invoice()])
    assert Invoice.objects.using(using).count() == 1
    assert get_last_value("invoices", using=using) == MAX_VALUE


def test_get_or_create(using: str) -> None:
    """get_or_create and update_or_create take a number only when they create."""
    for created_now in (True, False):
        first, created = Invoice.objects.using(using).get_or_create(note="a")
        assert (first.number, created) == (1, created_now)
    second, created = Invoice.objects.using(using).update_or_create(
        note="b", defaults={"note": "c"}
    )
    assert (second.number, created) == (2, True)
    second, created = Invoice.objects.using(using).update_or_create(
        note="c", defaults={"note": "d"}
    )
    assert (second.number, second.note, created) == (2, "d", False)
    assert Invoice.objects.using(using).create().number == 3


def test_an_unknown_field_takes_nothing(using: str) -> None:
    """A save refused by Django itself takes no number."""
    objects: Any = Invoice.objects.using(using)
    with pytest.raises((FieldError, TypeError)):
        objects.create(nonsense=1)
    with pytest.raises(ValueError, match="force both"):
        Invoice().save(using=using, force_insert=True, force_update=True)
    assert get_last_value("invoices", using=using) is None
