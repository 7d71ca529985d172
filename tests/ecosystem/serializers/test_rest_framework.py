"""Django REST framework: the number is in the answers, and never taken from a request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rest_framework import serializers
from rest_framework.test import APIClient

from tests.ecosystem.projects import (
    assert_migrations_settle,
    messages_of_ours,
    no_counter_touched,
)
from tests.ecosystem.serializers.models import Invoice, Project, Ticket
from tests.ecosystem.serializers.urls import InvoiceSerializer, TicketSerializer

pytestmark = pytest.mark.django_db(transaction=True)


def post(path: str, **values: Any) -> Any:
    response = APIClient().post(path, values)
    assert response.status_code == 201, response.content
    return response.json()


@pytest.mark.parametrize("serializer", [InvoiceSerializer, TicketSerializer])
def test_the_number_is_an_integer_to_read(serializer: Any) -> None:
    """A ModelSerializer finds out by itself that it is read only."""
    field = serializer().fields["number"]
    assert isinstance(field, serializers.IntegerField)
    assert field.read_only


def test_create_numbers() -> None:
    """The answer to POST has the number of the row."""
    assert [post("/invoices/", customer=name)["number"] for name in ("Ada", "Grace")] == [1, 2]
    assert [each["number"] for each in APIClient().get("/invoices/").json()] == [1, 2]


def test_a_number_in_a_request_is_ignored() -> None:
    """Neither POST nor PATCH sets it; a change touches no counter."""
    assert post("/invoices/", customer="Ada", number=100)["number"] == 1
    pk = Invoice.objects.get().pk
    with no_counter_touched():
        changed = APIClient().patch(f"/invoices/{pk}/", {"number": 100, "customer": "Grace"})
    assert changed.json() == {"id": pk, "number": 1, "customer": "Grace"}
    assert post("/invoices/", customer="Edsger")["number"] == 2


def test_unique_with() -> None:
    """The constraint asks nothing of the request: the number isn't known before the row is."""
    web, app = (Project.objects.create(name=name).pk for name in ("web", "app"))
    answers = [post("/tickets/", project=pk, title="t") for pk in (web, app, web)]
    assert [answer["number"] for answer in answers] == [1, 1, 2]


def test_a_request_that_is_refused_consumes_no_number() -> None:
    """Validation comes before the INSERT."""
    assert APIClient().post("/tickets/", {"project": 0, "title": "t"}).status_code == 400
    web = Project.objects.create(name="web")
    assert post("/tickets/", project=web.pk, title="t")["number"] == 1


def test_many() -> None:
    """``many=True`` saves one row after the other."""
    serializer = InvoiceSerializer(data=[{"customer": name} for name in "abc"], many=True)
    assert serializer.is_valid(), serializer.errors
    serializer.save()
    assert [each["number"] for each in serializer.data] == [1, 2, 3]
    assert Ticket.objects.count() == 0


def test_checks_say_nothing() -> None:
    """Serializers add nothing to the models."""
    assert messages_of_ours() == []


def test_makemigrations(tmp_path: Path) -> None:
    """The migration that is written for the models is complete."""
    assert_migrations_settle("serializers", tmp_path)
