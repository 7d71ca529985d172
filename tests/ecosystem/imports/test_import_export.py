"""django-import-export: rows come with the numbers they had, or get the next ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tablib
from import_export import resources

from sequences_core import get_last_value
from tests.ecosystem.imports.models import Invoice, Ticket
from tests.ecosystem.projects import (
    assert_migrations_settle,
    messages_of_ours,
    no_counter_touched,
)

pytestmark = pytest.mark.django_db(transaction=True)


class InvoiceResource(resources.ModelResource):  # type: ignore[misc] # it has no types
    class Meta:
        model = Invoice


class NewInvoiceResource(resources.ModelResource):  # type: ignore[misc] # it has no types
    """Rows without a key: each of them is new."""

    class Meta:
        model = Invoice
        fields = ("number", "customer")
        import_id_fields: tuple[str, ...] = ()
        force_init_instance = True


class BulkResource(NewInvoiceResource):
    class Meta(NewInvoiceResource.Meta):
        use_bulk = True
        batch_size = 2


class TicketResource(resources.ModelResource):  # type: ignore[misc] # it has no types
    class Meta:
        model = Ticket
        fields = ("project", "title")
        import_id_fields: tuple[str, ...] = ()
        force_init_instance = True
        use_transactions = True


EACH_WAY = pytest.mark.parametrize("resource", [NewInvoiceResource, BulkResource])


def data(text: str) -> tablib.Dataset:
    return tablib.Dataset().load(text, format="csv")


def run(resource: Any, text: str, **options: Any) -> Any:
    return resource().import_data(data(text), raise_errors=True, **options)


def numbers(model: Any) -> list[int]:
    return list(model.objects.order_by("number").values_list("number", flat=True))


@EACH_WAY
def test_old_numbers_are_kept_and_the_sequence_goes_on(resource: Any) -> None:
    """The next number is the one after the highest that came in, in whatever order."""
    run(resource, "number,customer\n7,Ada\n9,Grace\n3,Edsger\n")
    assert numbers(Invoice) == [3, 7, 9]
    assert Invoice.objects.create(customer="Barbara").number == 10


@EACH_WAY
def test_an_empty_number_is_the_next_one(resource: Any) -> None:
    """This also works beside rows with a number, in any order."""
    Invoice.objects.create(customer="before")
    run(resource, "number,customer\n,Ada\n5,Grace\n,Edsger\n")
    taken = numbers(Invoice)
    assert len(taken) == len(set(taken)) == 4
    assert {1, 5} < set(taken)
    assert Invoice.objects.create(customer="after").number == max(taken) + 1


@EACH_WAY
def test_without_a_number(resource: Any) -> None:
    """A file that has no column of numbers is numbered in its order."""
    run(resource, "customer\nAda\nGrace\nEdsger\n")
    in_order = Invoice.objects.order_by("pk").values_list("customer", "number")
    assert list(in_order) == [("Ada", 1), ("Grace", 2), ("Edsger", 3)]


@EACH_WAY
def test_a_dry_run_takes_nothing(resource: Any) -> None:
    """The preview of the admin rolls back rows and numbers together."""
    run(resource, "customer\nAda\nGrace\n", dry_run=True)
    assert get_last_value("invoices") is None
    assert Invoice.objects.create(customer="Ada").number == 1


def test_a_file_that_fails_takes_nothing() -> None:
    """The import is one transaction, and no number of it is lost."""
    Ticket.objects.create(project="web", title="a")
    result = TicketResource().import_data(data("project,title\nweb,b\nweb,c\nweb,a\n"))
    assert result.has_errors()
    assert Ticket.objects.count() == 1
    assert Ticket.objects.create(project="web", title="b").number == 2


def test_rows_that_exist_keep_their_numbers() -> None:
    """An import over existing rows is an update, and touches no counter."""
    for customer in ("Ada", "Grace"):
        Invoice.objects.create(customer=customer)
    exported = InvoiceResource().export()
    changed = data(exported.csv.replace("Ada", "Ada L."))
    with no_counter_touched():
        InvoiceResource().import_data(changed, raise_errors=True)
    assert list(Invoice.objects.order_by("number").values_list("number", "customer")) == [
        (1, "Ada L."),
        (2, "Grace"),
    ]


def test_there_and_back() -> None:
    """An export is imported unchanged into an empty table, and numbering continues."""
    for customer in ("Ada", "Grace", "Edsger"):
        Invoice.objects.create(customer=customer)
    exported = data(InvoiceResource().export().csv)
    before = list(Invoice.objects.order_by("pk").values_list("pk", "number", "customer"))
    Invoice.objects.all().delete()
    InvoiceResource().import_data(exported, raise_errors=True)
    assert list(Invoice.objects.order_by("pk").values_list("pk", "number", "customer")) == before
    assert Invoice.objects.create(customer="Barbara").number == 4


def test_scoped_rows_are_numbered_by_their_scope() -> None:
    """Each row is numbered by its own scope, in the file's order."""
    run(TicketResource, "project,title\nweb,a\napp,b\nweb,c\n")
    found = Ticket.objects.order_by("title").values_list("project", "number")
    assert list(found) == [("web", 1), ("app", 1), ("web", 2)]


def test_checks_say_nothing() -> None:
    """The package adds nothing to the models."""
    assert messages_of_ours() == []


def test_makemigrations(tmp_path: Path) -> None:
    """The migration that is written for the models is complete."""
    assert_migrations_settle("imports", tmp_path)
