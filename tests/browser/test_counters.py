"""The admin's pages of the sequences, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from sequences_core import set_last_value
from tests.browser.browser import Browser

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

PAGES = "/admin/sequences_core/counter/"


@pytest.fixture(autouse=True)
def _counters() -> None:
    for name, last in {"invoices": 1234, "orders": 88, "receipts": 312}.items():
        set_last_value(last, name)


def test_log_in_and_search(browser: Browser) -> None:
    """From the form of the login to the one sequence that is looked for."""
    User.objects.create_superuser("ada", password="lovelace")
    browser.open("/admin/")
    browser.fill(username="ada", password="lovelace")
    browser.follow("Log in")
    browser.follow("Counters")
    assert all(name in browser.text for name in ("invoices", "orders", "receipts"))
    browser.fill(q="ord")
    browser.follow("Search")
    assert "orders" in browser.text
    assert "88" in browser.text
    assert "invoices" not in browser.one("#result_list").text


def test_accessible(browser: Browser, log_in: Callable[..., User]) -> None:
    log_in()
    browser.open(PAGES)
    assert browser.violations() == []
