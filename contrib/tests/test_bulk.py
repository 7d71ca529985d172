"""bulk_create of numbered rows."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, NotSupportedError, connections, models, transaction
from django.test.utils import CaptureQueriesContext
from sequences_contrib.fields import SequenceField

from sequences_core import NextValue, get_last_value
from tests.numbered.blocks import MODES, atomic_if, letters, rolled_back, together
from tests.numbered.models import (
    Company,
    CreditNote,
    Document,
    First,
    Invoice,
    Patient,
    Plain,
    Project,
    Receipt,
    Seat,
    SpecialInvoice,
    Ticket,
)

APPS = ["tests.numbered"]


class Made(models.UUIDField):  # type: ignore[type-arg] # not generic at run time
    """A primary key that pre_save() creates."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        if getattr(model_instance, self.attname) is None:
            setattr(model_instance, self.attname, uuid.uuid4())
        return super().pre_save(model_instance, add)


@pytest.mark.parametrize("batch_size", [None, 1, 3, 7, 100])
@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
def test_rows_are_numbered_in_order(
    in_transaction: bool, batch_size: int | None, using: str
) -> None:
    """N rows get n consecutive numbers in their order, whatever the batch size, and know them."""
    Invoice.objects.using(using).create()
    with atomic_if(in_transaction, using):
        created = Invoice.objects.using(using).bulk_create(
            [Invoice(note=str(i)) for i in range(7)], batch_size=batch_size
        )
    assert [invoice.number for invoice in created] == list(range(2, 9))
    stored = Invoice.objects.using(using).exclude(note="").order_by("number")
    assert list(stored.values_list("number", "note")) == [(i + 2, str(i)) for i in range(7)]
    if connections[using].features.can_return_rows_from_bulk_insert:
        assert [invoice.pk for invoice in created] == [invoice.pk for invoice in stored]
    assert Invoice.objects.using(using).create().number == 9


@pytest.mark.parametrize(("batch_size", "batches"), [(None, 1), (30, 4)])
def test_a_bulk_takes_one_block(batch_size: int | None, batches: int, using: str) -> None:
    """The numbers of all rows cost one statement, however many batches there are."""
    Invoice.objects.using(using).create()
    with CaptureQueriesContext(connections[using]) as queries:
        Invoice.objects.using(using).bulk_create([Invoice() for _ in range(100)], batch_size)
    assert sum("sequences_core_counter" in query["sql"] for query in queries) == 1
    assert sum("numbered_invoice" in query["sql"] for query in queries) == batches


def test_counters_are_locked_in_one_order(using: str) -> None:
    """Bulks of many scopes lock their counters in the order of names, so they can't deadlock."""
    a, b, c = (Project.objects.using(using).create(code=code) for code in "abc")
    for project in (a, b, c):
        Ticket.objects.using(using).create(project=project)
    with CaptureQueriesContext(connections[using]) as queries:
        Ticket.objects.using(using).bulk_create(
            [Ticket(project=project) for project in (c, b, a)], batch_size=1
        )
    taken = [query["sql"] for query in queries if "numbered_ticket.number." in query["sql"]]
    names = [re.search(r"numbered_ticket\.number\.\d+", sql) for sql in taken]
    found = [name[0] for name in names if name]
    assert len(found) == 3
    assert found == sorted(found)


def test_thousands_of_rows(using: str) -> None:
    """Rows beyond what one statement can carry are numbered without a hole too."""
    Invoice.objects.using(using).bulk_create([Invoice() for _ in range(3000)])
    numbers = Invoice.objects.using(using).order_by("pk").values_list("number", flat=True)
    assert list(numbers) == list(range(1, 3001))


def test_explicit_values_among_the_rows(using: str) -> None:
    """Explicit numbers are kept, and the others go on above the highest of them."""
    created = Invoice.objects.using(using).bulk_create(
        [Invoice(), Invoice(number=10), Invoice(), Invoice(number=4)]
    )
    assert [invoice.number for invoice in created] == [11, 10, 12, 4]
    assert Invoice.objects.using(using).create().number == 13


def test_explicit_expressions_among_the_rows(using: str) -> None:
    """An expression of the user's own may be among them; it takes its own number."""
    Invoice.objects.using(using).create()
    created = Invoice.objects.using(using).bulk_create(
        [Invoice(), Invoice(number=NextValue("invoices")), Invoice()]
    )
    numbers = Invoice.objects.using(using).order_by("number").values_list("number", flat=True)
    assert list(numbers) == [1, 2, 3, 4]
    if connections[using].features.can_return_rows_from_bulk_insert:
        assert [invoice.number for invoice in created] == [2, 4, 3]


def test_nothing_but_expressions(using: str) -> None:
    """If every row has an expression, the instances get its values, and later saves keep them."""
    (invoice,) = Invoice.objects.using(using).bulk_create([Invoice(number=NextValue("invoices"))])
    if connections[using].features.can_return_rows_from_bulk_insert:
        invoice.note = "saved"
        invoice.save()
    assert Invoice.objects.using(using).get().number == 1
    assert get_last_value("invoices", using=using) == 1


def test_rows_of_several_scopes(using: str) -> None:
    """The rows of each scope get a block of their counter, in the order of the rows."""
    a, b = (Project.objects.using(using).create(code=code) for code in "ab")
    Ticket.objects.using(using).create(project=b)
    rows = [Ticket(project=project) for project in (a, b, b, a, a)]
    created = Ticket.objects.using(using).bulk_create(rows)
    assert [ticket.number for ticket in created] == [1, 2, 3, 2, 3]


def test_rows_without_a_scope(using: str) -> None:
    """Rows whose scope is null stay without a number among those that get one."""
    documents = Document.objects.using(using)
    created = documents.bulk_create([Document(kind=kind) for kind in ("a", "", "a")])
    assert [document.number for document in created] == [100, None, 101]
    assert [document.page for document in created] == [0, 1, 2]
    created = documents.bulk_create([Document(kind=""), Document(kind="")])
    assert [document.number for document in created] == [None, None]
    assert [document.page for document in created] == [0, 1]
    receipts = Receipt.objects.using(using).bulk_create([Receipt(), Receipt()])
    assert [receipt.number for receipt in receipts] == [None, None]


def test_a_single_row(using: str) -> None:
    """A bulk of one row is numbered like any other."""
    (invoice,) = Invoice.objects.using(using).bulk_create([Invoice()])
    assert invoice.number == 1
    with transaction.atomic(using=using):
        (invoice,) = Invoice.objects.using(using).bulk_create([Invoice()])
    assert invoice.number == 2
    assert Invoice.objects.using(using).bulk_create([]) == []
    assert get_last_value("invoices", using=using) == 2


def test_rows_with_primary_keys(using: str) -> None:
    """Rows that bring a primary key, and those whose number it is, are numbered too."""
    given = [Invoice(pk=10**6), Invoice(), Invoice(pk=10**7)]  # far above what PostgreSQL gives
    created = Invoice.objects.using(using).bulk_create(given)
    numbers = [invoice.number for invoice in created]
    assert sorted(numbers) == [1, 2, 3]
    stored = dict(Invoice.objects.using(using).values_list("pk", "number"))
    assert (stored[10**6], stored[10**7]) == (numbers[0], numbers[2])
    patients = Patient.objects.using(using).bulk_create([Patient(), Patient()])
    assert [patient.pk for patient in patients] == [1, 2]
    first = First.objects.using(using).bulk_create([First(), First()])
    assert [row.number for row in first] == [1, 2]


def test_what_is_stored_is_settled_in_both_statements(using: str) -> None:
    """Rows with primary keys are inserted first; what the others store is as their counter says."""
    amount = models.DecimalField(max_digits=8, decimal_places=2)
    with letters(using, amount=amount, number=SequenceField(scope="amount")) as rows:
        given = Decimal("1.004")
        created = rows.bulk_create([rows.model(pk=70, amount=given), rows.model(amount=given)])
        assert [row.amount for row in created] == [given, given]
        assert rows.filter(amount=Decimal("1.00")).count() == 2


def test_keys_that_their_field_makes(using: str) -> None:
    """The primary key may come from its field's pre_save, and so be unknown before the INSERT."""
    with letters(using, key=Made(primary_key=True), number=SequenceField()) as rows:
        created = rows.bulk_create([rows.model(), rows.model()])
        assert [row.number for row in created] == [1, 2]
        assert rows.count() == 2


def test_a_failed_bulk_that_is_swallowed(using: str) -> None:
    """The transaction of a bulk that failed can only roll back, as that of a failed save()."""
    Plain.objects.using(using).create(code="taken")
    with transaction.atomic(using=using):
        with pytest.raises(IntegrityError):
            Plain.objects.using(using).bulk_create([Plain(code="taken")])
        assert connections[using].needs_rollback
    assert get_last_value("numbered_plain.number", using=using) == 1


def test_reused_numbers(using: str) -> None:
    """A bulk fills the gaps first, then goes on."""
    seats = Seat.objects.using(using).bulk_create([Seat(room="r") for _ in range(5)])
    assert [seat.number for seat in seats] == [0, 1, 2, 3, 4]
    assert [seat.label for seat in seats] == [1, 2, 3, 4, 5]
    Seat.objects.using(using).filter(number__in=[1, 3, 4]).delete()
    seats = Seat.objects.using(using).bulk_create([Seat(room="r") for _ in range(5)])
    assert [seat.number for seat in seats] == [1, 3, 4, 5, 6]
    assert [seat.label for seat in seats] == [4, 5, 6, 7, 8]


def test_reused_numbers_beside_explicit_ones(using: str) -> None:
    """An explicit number of the same bulk is not free, though no row has it yet."""
    seats = Seat.objects.using(using)
    seats.bulk_create([Seat(room="r") for _ in range(2)])
    numbers: list[Any] = [None, 3, None, None, 2]
    created = seats.bulk_create(
        [Seat(room="r", number=number, label=number and number + 1) for number in numbers]
    )
    assert [seat.number for seat in created] == [4, 3, 5, 6, 2]
    assert [seat.label for seat in created] == [5, 4, 6, 7, 3]
    created = seats.bulk_create([Seat(room="r", number=8, label=20), Seat(room="r")])
    assert [(seat.number, seat.label) for seat in created] == [(8, 20), (7, 21)]
    seat = seats.create(room="r")
    assert (seat.number, seat.label) == (9, 22)


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
def test_a_failed_bulk_takes_nothing(in_transaction: bool, using: str) -> None:
    """If a row is refused, no number is lost, and the same instances can be saved again."""
    Plain.objects.using(using).create(code="taken")
    rows = [Plain(code="a"), Plain(code="taken"), Plain(code="b")]
    for batch_size in (None, 1):
        with pytest.raises(IntegrityError), atomic_if(in_transaction, using):
            Plain.objects.using(using).bulk_create(rows, batch_size=batch_size)
        assert get_last_value("numbered_plain.number", using=using) == 1
    # Somebody else gets the numbers meanwhile.
    Plain.objects.using(using).bulk_create([Plain(code="c"), Plain(code="d")])
    rows[1].code = "free"
    Plain.objects.using(using).bulk_create(rows)
    assert [row.number for row in rows] == [4, 5, 6]


def test_rollback_gives_the_block_back(using: str) -> None:
    """A bulk that is rolled back takes no numbers."""
    with rolled_back(using):
        CreditNote.objects.using(using).bulk_create([CreditNote() for _ in range(5)])
    created = CreditNote.objects.using(using).bulk_create([CreditNote() for _ in range(2)])
    assert [note.number for note in created] == [1, 2]


def test_an_instance_twice_is_refused(using: str) -> None:
    """One instance can't have two numbers, and both of its rows would get the second one."""
    with pytest.raises(ValueError, match="twice"):
        Invoice.objects.using(using).bulk_create([Invoice()] * 2)
    assert get_last_value("invoices", using=using) is None


def test_conflicts_would_lose_numbers(using: str) -> None:
    """ignore_conflicts and update_conflicts are refused when numbers would be taken."""
    Plain.objects.using(using).create(code="a")
    features = connections[using].features
    target: dict[str, Any] = {}
    if features.supports_update_conflicts_with_target:
        target["unique_fields"] = ["code"]
    bulks: list[Callable[[list[Plain]], object]] = [
        lambda rows: Plain.objects.using(using).bulk_create(rows, ignore_conflicts=True),
        lambda rows: Plain.objects.using(using).bulk_create(
            rows, update_conflicts=True, update_fields=["code"], **target
        ),
    ]
    for bulk in bulks:
        for codes in ("a", "ab"):
            with pytest.raises(NotSupportedError, match="conflicts"):
                bulk([Plain(code=code) for code in codes])
        assert get_last_value("numbered_plain.number", using=using) == 1
        # Rows that bring their numbers lose none.
        bulk([Plain(code="a", number=1)])
    assert Plain.objects.using(using).create(code="b").number == 2


def test_updated_rows_keep_their_numbers(using: str) -> None:
    """A row that update_conflicts meets keeps its number; what returns rows tells the instance."""
    features = connections[using].features
    options: dict[str, Any] = {"update_conflicts": True, "update_fields": ["note"]}
    if features.supports_update_conflicts_with_target:
        options["unique_fields"] = ["code"]
    with letters(
        using,
        id=models.UUIDField(primary_key=True, default=uuid.uuid4),
        number=SequenceField(),
        code=models.CharField(max_length=1, unique=True),
        note=models.CharField(max_length=1),
    ) as rows:
        rows.create(code="a")
        (row,) = rows.bulk_create([rows.model(code="a", note="b", number=7)], **options)
        stored = rows.get()
        assert (stored.number, stored.note) == (1, "b")
        with CaptureQueriesContext(connections[using]) as queries:
            assert row.number == 1 or not features.can_return_rows_from_bulk_insert
        assert not queries


def test_conflicts_would_lose_the_numbers_of_an_expression(using: str) -> None:
    """A NextValue among the values is refused for the same reason."""
    update: dict[str, Any] = {"update_conflicts": True, "update_fields": ["note"]}
    if connections[using].features.supports_update_conflicts_with_target:
        update["unique_fields"] = ["number"]
    for options in ({"ignore_conflicts": True}, update):
        with pytest.raises(NotSupportedError, match="conflicts"):
            Invoice.objects.using(using).bulk_create([Invoice(number=NextValue("s"))], **options)
    assert get_last_value("s", using=using) is None
    assert not Invoice.objects.using(using).exists()


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
@pytest.mark.parametrize("kind", ["ignore", "update", "update the number"])
def test_explicit_numbers_of_rows_that_are_not_stored(
    kind: str, in_transaction: bool, using: str
) -> None:
    """With ON CONFLICT, only the explicit numbers that are stored raise the counter."""
    rows = Plain.objects.using(using)
    rows.create(code="a")
    options: dict[str, Any] = {"ignore_conflicts": True}
    if kind != "ignore":
        fields = ["number"] if kind == "update the number" else ["code"]
        options = {"update_conflicts": True, "update_fields": fields}
        if connections[using].features.supports_update_conflicts_with_target:
            options["unique_fields"] = ["code"]
    with atomic_if(in_transaction, using):
        rows.bulk_create([Plain(code="b", number=7), Plain(code="a", number=50)], **options)
    stored = dict(rows.values_list("code", "number"))
    assert stored == {"a": 50 if kind == "update the number" else 1, "b": 7}
    assert get_last_value("numbered_plain.number", using=using) == max(stored.values())
    assert rows.create(code="c").number == max(stored.values()) + 1


def test_explicit_numbers_before_the_first_use_of_a_counter(using: str) -> None:
    """With ON CONFLICT, a new counter starts at its initial value if no row is stored."""
    rows = Plain.objects.using(using)
    Plain(code="a", number=0).save_base(raw=True, using=using, force_insert=True)
    rows.bulk_create([Plain(code="a", number=50)], ignore_conflicts=True)
    assert rows.create(code="b").number == 1


def test_conflicts_of_one_scope_move_no_other(using: str) -> None:
    """A number stored in one scope doesn't affect the same number in another."""
    a, b = (Project.objects.using(using).create(code=code) for code in "ab")
    rows = Ticket.objects.using(using)
    rows.create(project=a, number=9)
    rows.bulk_create(
        [Ticket(pk=rows.get().pk, project=b, number=9), Ticket(project=b, number=3)],
        ignore_conflicts=True,
    )
    assert rows.create(project=b).number == 4


def test_one_queryset_in_many_threads(using: str) -> None:
    """Threads may share a queryset, as they may share a manager."""
    rows = Invoice.objects.using(using)

    def work() -> None:
        for _ in range(5):
            rows.bulk_create([Invoice(), Invoice()])

    together([work] * 4, using)
    numbers = rows.order_by("number").values_list("number", flat=True)
    assert list(numbers) == list(range(1, 41))


def test_a_refused_call_takes_nothing(using: str) -> None:
    """Arguments that Django refuses are refused before a counter is touched."""
    rows = Invoice.objects.using(using)
    with transaction.atomic(using=using):
        for options in ({"batch_size": -1}, {"ignore_conflicts": True, "update_conflicts": True}):
            with pytest.raises(ValueError, match=r"[Bb]atch size|mutually"):
                rows.bulk_create([Invoice()], **options)
        with pytest.raises(ValueError, match="multi-table"):
            SpecialInvoice.objects.using(using).bulk_create([SpecialInvoice()])
        assert get_last_value("invoices", using=using) is None


@pytest.mark.parametrize("number", [0, 5])
def test_conflicts_where_no_number_was_taken(number: int, using: str) -> None:
    """Explicit numbers that may conflict lock a counter that starts at 0, and move it if stored."""
    with letters(using, number=SequenceField("n", unique=True, initial_value=0)) as rows:
        rows.bulk_create([rows.model(number=number)], ignore_conflicts=True)
        assert rows.create().number == number + 1
    with letters(using, number=SequenceField("m", unique=True, initial_value=0)) as rows:
        rows.bulk_create([rows.model(number=number) for _ in "ab"], ignore_conflicts=True)
        assert get_last_value("m", using=using) == number


def test_nothing_to_insert(using: str) -> None:
    """Without rows, Django returns its argument, whether or not the model is numbered."""
    for model in (Company, Invoice):
        rows: Any = model.objects.using(using)
        assert rows.bulk_create(None) is None
        assert rows.bulk_create(()) == ()


class Tagged(models.QuerySet):  # type: ignore[type-arg] # not generic at run time
    tag: str

    def _batched_insert(self, *args: Any, **kwargs: Any) -> Any:
        assert self.tag == "tag"
        return super()._batched_insert(*args, **kwargs)  # type: ignore[misc]


def test_a_queryset_with_attributes_of_its_own(using: str) -> None:
    """The methods of the queryset's class find what was set on the queryset."""
    rows: Any = Tagged(model=Invoice, using=using)
    rows.tag = "tag"
    assert [row.number for row in rows.bulk_create([Invoice(), Invoice()])] == [1, 2]
