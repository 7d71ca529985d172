"""django-pghistory: an event table has the numbers, and nothing else of a SequenceField."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pghistory
import pytest
from django.apps import apps
from django.db import transaction

from tests.ecosystem.events.models import Invoice, Parcel, ParcelEvent, Ticket
from tests.ecosystem.projects import (
    assert_migrations_settle,
    is_free,
    messages_of_ours,
    no_counter_touched,
    unique_columns,
)

pytestmark = pytest.mark.django_db(transaction=True)

InvoiceEvent: Any = apps.get_model("events", "InvoiceEvent")
TicketEvent: Any = apps.get_model("events", "TicketEvent")

EVENTS: list[Any] = [InvoiceEvent, TicketEvent, ParcelEvent]


def events(model: Any) -> list[tuple[str, int | None]]:
    return list(model.objects.order_by("pgh_id").values_list("pgh_label", "number"))


def test_an_insert_is_kept_with_the_number() -> None:
    """This includes INSERTs that take the number themselves, and bulk_create()."""
    Invoice.objects.create()
    Invoice.objects.bulk_create([Invoice(), Invoice()])
    with transaction.atomic():
        Invoice.objects.create()
    assert events(InvoiceEvent) == [("insert", number) for number in (1, 2, 3, 4)]


@pytest.mark.parametrize("early", [False, True])
def test_a_context(early: bool, settings: Any) -> None:
    """It adds a statement to each INSERT: the row still knows its number, and the event its user.

    So it does where a counter is released early, which sends more statements with the INSERT.
    """
    settings.SEQUENCES_EARLY_RELEASE = early
    with pghistory.context(user=7):
        first = Invoice.objects.create()
        with transaction.atomic():
            second = Invoice.objects.create()
    assert list(Invoice.objects.order_by("number")) == [first, second]
    assert (first.number, second.number) == (1, 2)
    contexts = InvoiceEvent.objects.values_list("pgh_context__metadata", flat=True)
    assert list(contexts) == [{"user": 7}] * 2


def test_a_change_of_an_old_row() -> None:
    """Each change is recorded; no counter is changed or locked."""
    old, _ = Invoice.objects.create(), Invoice.objects.create()
    for note in "abc":
        old.note = note
        with transaction.atomic(), no_counter_touched():
            old.save()
            assert is_free("invoices")
    assert events(InvoiceEvent)[2:] == [("update", 1)] * 3
    assert Invoice.objects.create().number == 3


def test_the_same_number_in_many_events() -> None:
    """The row of an insert, of a deletion and of events by hand, each through the ORM or not."""
    ticket = Ticket.objects.create(project="web")
    Ticket.objects.create(project="web")
    with no_counter_touched():
        for _ in range(2):
            pghistory.create_event(ticket, label="manual")
        ticket.delete()
    assert events(TicketEvent) == [
        ("insert", 1),
        ("insert", 2),
        ("manual", 1),
        ("manual", 1),
        ("delete", 1),
    ]
    assert Ticket.objects.create(project="web").number == 3


def test_an_event_takes_no_number() -> None:
    """An event of a row without a number has none, and doesn't look for a scope."""
    parcel = Parcel.objects.create()
    with no_counter_touched():
        event = ParcelEvent.objects.create(pgh_obj=parcel, pgh_label="manual")
        event.refresh_from_db()
    assert event.number is None


@pytest.mark.parametrize("model", EVENTS)
def test_the_event_table_has_no_constraint(model: Any) -> None:
    """The number is unique in the model's table only."""
    assert model._meta.constraints == []
    assert unique_columns(model._meta.db_table) == set()


def test_the_table_keeps_its_constraint() -> None:
    """What was copied to nowhere else is still where it belongs."""
    assert unique_columns(Invoice._meta.db_table) == {("number",)}
    assert unique_columns(Ticket._meta.db_table) == {("project", "number")}


def test_checks_say_nothing() -> None:
    """There are no messages for the numbered models or their events, which share no counter."""
    assert messages_of_ours() == []


def test_makemigrations(tmp_path: Path) -> None:
    """The migration that is written for the models and their events is complete."""
    assert_migrations_settle("events", tmp_path)
