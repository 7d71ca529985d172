"""django-simple-history: a history table has the numbers, and nothing else of a SequenceField."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from simple_history.utils import bulk_create_with_history, bulk_update_with_history

from sequences_core import get_last_value
from tests.ecosystem.history.models import Invoice, Parcel, Ticket
from tests.ecosystem.projects import (
    assert_migrations_settle,
    is_free,
    messages_of_ours,
    no_counter_touched,
    unique_columns,
)

pytestmark = pytest.mark.django_db(transaction=True)

MODELS: list[Any] = [Invoice, Ticket, Parcel]


def create(model: Any, **values: Any) -> Any:
    given = {Invoice: {}, Ticket: {"project": "web"}, Parcel: {"shop": "web"}}[model]
    return model.objects.create(**given | values)


def history(model: Any) -> list[tuple[str, int | None]]:
    return list(model.history.order_by("history_id").values_list("history_type", "number"))


@pytest.mark.parametrize("model", MODELS)
def test_each_save_is_kept_with_the_number(model: Any) -> None:
    """A second save(), a third, and delete() work, and the history says which row it was."""
    first, second = create(model), create(model)
    first.save()
    first.save()
    second.delete()
    assert history(model) == [("+", 1), ("+", 2), ("~", 1), ("~", 1), ("-", 2)]


@pytest.mark.parametrize("model", MODELS)
def test_a_change_of_an_old_row_touches_no_counter(model: Any) -> None:
    """Neither save() nor delete() of a row that exists runs a statement on the live counter."""
    old, _ = create(model), create(model)
    with no_counter_touched():
        old.save()
        model.objects.get(pk=old.pk).delete()


@pytest.mark.parametrize(("model", "counter"), [(Invoice, "invoices"), (Ticket, "tickets.web")])
def test_a_change_of_an_old_row_locks_no_counter(model: Any, counter: str) -> None:
    """While the change isn't committed, another session takes the next number at once."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite locks the whole database")
    old = create(model)
    with transaction.atomic():
        old.save()
        assert is_free(counter)


@pytest.mark.parametrize("model", MODELS)
def test_the_history_table_has_no_constraint(model: Any) -> None:
    """The number is unique in the model's table only."""
    assert model.history.model._meta.constraints == []
    assert unique_columns(model.history.model._meta.db_table) == set()
    expected = {Invoice: {("number",)}, Ticket: {("project", "number")}, Parcel: set()}
    assert unique_columns(model._meta.db_table) == expected[model]


def test_checks_say_nothing() -> None:
    """There are no messages for the numbered models or their histories, which share no counter."""
    assert messages_of_ours() == []


def test_a_history_row_takes_no_number() -> None:
    """A row that had no number has none in its history, though its scope would give it one."""
    parcel = create(Parcel, shop=None)
    parcel.shop = "web"
    parcel.save()
    assert history(Parcel) == [("+", None), ("~", None)]
    assert get_last_value("parcels.web") is None
    assert create(Parcel).number == 1


def test_in_bulk() -> None:
    """The package's own functions keep the numbers that bulk_create() gave, and take none."""
    new = [Ticket(project=project, title=f"{i}") for i, project in enumerate(("web", "app", "web"))]
    bulk_create_with_history(new, Ticket)
    assert sorted(history(Ticket)) == [("+", 1), ("+", 1), ("+", 2)]
    tickets = list(Ticket.objects.order_by("pk"))
    assert [ticket.number for ticket in tickets] == [1, 1, 2]
    for ticket in tickets:
        ticket.title += "!"
    with no_counter_touched():
        bulk_update_with_history(tickets, Ticket, ["title"])
    assert sorted(history(Ticket))[3:] == [("~", 1), ("~", 1), ("~", 2)]
    assert create(Ticket).number == 3


def test_a_deleted_row_comes_back_with_its_number() -> None:
    """Saving what the history holds is an insert with an explicit number."""
    deleted, kept = create(Invoice), create(Invoice)
    deleted.delete()
    Invoice.history.filter(history_type="-").get().instance.save()
    numbers = Invoice.objects.order_by("number").values_list("number", flat=True)
    assert list(numbers) == [1, 2]
    assert create(Invoice).number == kept.number + 1


def test_going_back_to_an_old_state() -> None:
    """Saving an older state of a row that exists is an update: it touches no counter."""
    invoice = create(Invoice, note="first")
    create(Invoice)
    invoice.note = "second"
    invoice.save()
    old = invoice.history.earliest()
    with no_counter_touched():
        old.instance.save()
    invoice.refresh_from_db()
    assert (invoice.number, invoice.note) == (1, "first")


def test_makemigrations(tmp_path: Path) -> None:
    """The migration that is written for the models and their histories is complete."""
    assert_migrations_settle("history", tmp_path)
