"""The admin shows the counters, and is no way around the functions that change them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sequences_core.models import Counter

pytestmark = pytest.mark.django_db

PAGES = "/admin/sequences_core/counter/"


@pytest.fixture
def client() -> Client:
    """A client of somebody who may do everything, with one counter to look at."""
    Counter.objects.create(name="invoices", last=1234)
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_the_list_shows_names_and_last_numbers(client: Client) -> None:
    """The list is found by the index, and can be searched by name."""
    assert PAGES in client.get("/admin/").content.decode()
    for query in ("", "?q=voice"):
        page = client.get(PAGES + query)
        assert page.status_code == 200
        assert "invoices" in page.content.decode()
        assert "1234" in page.content.decode()
    assert "invoices" not in client.get(PAGES + "?q=refunds").content.decode()


def test_a_counter_can_be_looked_at(client: Client) -> None:
    """Its page has no field to fill in."""
    page = client.get(f"{PAGES}invoices/change/").content.decode()
    assert "1234" in page
    assert 'name="last"' not in page


@pytest.mark.parametrize("page", ["add/", "invoices/delete/"])
def test_nothing_is_added_or_deleted(client: Client, page: str) -> None:
    """Even to a superuser those pages are forbidden."""
    assert client.get(PAGES + page).status_code == 403
    answer = client.post(PAGES + page, {"name": "refunds", "last": 1, "post": "yes"})
    assert answer.status_code == 403
    assert list(Counter.objects.values_list("name", "last")) == [("invoices", 1234)]


def test_nothing_is_changed(client: Client) -> None:
    """Neither by the form nor by an action of the list."""
    answer = client.post(f"{PAGES}invoices/change/", {"name": "invoices", "last": 1})
    assert answer.status_code == 403
    client.post(PAGES, {"action": "delete_selected", "_selected_action": "invoices", "post": "y"})
    assert list(Counter.objects.values_list("name", "last")) == [("invoices", 1234)]
