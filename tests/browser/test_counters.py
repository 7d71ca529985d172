"""The admin of sequences in a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from sequences_core import get_last_value
from tests.browser.browser import Browser

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    pytest.mark.usefixtures("sequences"),
]

PAGES = "/admin/sequences_core/counter/"


def test_log_in_and_search(browser: Browser, picture: Callable[[str], None]) -> None:
    """From the form of the login to the one sequence that is looked for."""
    User.objects.create_superuser("ada", password="lovelace")
    browser.open("/admin/")
    browser.fill(username="ada", password="lovelace")
    browser.follow("Log in")
    browser.open(PAGES)
    names = [cell.text for cell in browser.all(".field-name")]
    assert names == sorted(names)
    assert {"invoices", "orders", "deliveries"} <= set(names)
    assert "numbered.Invoice.number" in browser.text
    picture("admin-list")
    browser.fill(q="ord")
    browser.follow("Search")
    assert [cell.text for cell in browser.all(".field-name")] == ["orders"]
    assert "88" in browser.text


def test_set(browser: Browser, log_in: Callable[..., Any], picture: Callable[[str], None]) -> None:
    """The confirmation lists the numbers that will be missing, and the history has the user."""
    log_in()
    browser.open(PAGES)
    browser.follow("invoices")
    browser.follow("Set the last number")
    browser.fill(value=1300)
    browser.follow("Continue")
    assert "66 numbers" in browser.text
    assert get_last_value("invoices") == 1234
    picture("admin-set")
    browser.follow("Set the last number")
    assert "1300" in browser.one(".messagelist").text
    assert get_last_value("invoices") == 1300
    browser.follow("History")
    assert "ada" in browser.one("#change-history").text
    assert "1300" in browser.one("#change-history").text


def test_a_number_is_lowered_only_by_who_says_so(
    browser: Browser, log_in: Callable[..., Any], picture: Callable[[str], None]
) -> None:
    """Without the tick nothing is changed; the numbers that would be given again are named."""
    log_in()
    browser.open(f"{PAGES}invoices/set/")
    browser.fill(value=1200)
    browser.follow("Continue")
    assert "The 34 numbers from 1201 to 1234 will be given a second time." in browser.text
    browser.follow("Set the last number")
    assert "Tick this box" in browser.one(".errorlist").text
    picture("admin-refused")
    assert get_last_value("invoices") == 1234
    browser.one("[name=again]").click()
    browser.follow("Set the last number")
    assert get_last_value("invoices") == 1200


def test_rename_and_delete_warn_of_the_fields(browser: Browser, log_in: Callable[..., Any]) -> None:
    """A field that goes on with the old name would give its numbers again."""
    log_in()
    browser.open(f"{PAGES}invoices/change/")
    browser.follow("Rename the sequence")
    browser.fill(new_name="bills of 2026")
    browser.follow("Continue")
    assert "numbered.Invoice.number" in browser.text
    browser.follow("Rename the sequence")
    assert (get_last_value("invoices"), get_last_value("bills of 2026")) == (None, 1234)

    browser.open(f"{PAGES}deliveries/change/")
    browser.follow("Delete")
    assert "numbered.Delivery.number" in browser.text
    browser.follow("Delete the sequence")
    assert get_last_value("deliveries") is None


def test_who_may_only_look_finds_no_button(browser: Browser, log_in: Callable[..., Any]) -> None:
    """The page shows the sequence, and the pages that change it are forbidden."""
    log_in("sequences_core.view_counter")
    browser.open(f"{PAGES}invoices/change/")
    assert "1234" in browser.text
    for words in ("Set", "Rename", "Delete"):
        assert words not in browser.one("#content").text
    for page in ("set", "rename", "delete"):
        browser.open(f"{PAGES}invoices/{page}/")
        assert "403" in browser.text
        assert "403 (Forbidden)" in browser.messages()[0]


def test_set_with_the_keyboard_alone(browser: Browser, log_in: Callable[..., Any]) -> None:
    """From the list to the changed number by Tab and Enter, with the focus in sight."""
    log_in()
    browser.open(PAGES)
    browser.tab_to(browser.link("orders"))
    browser.enter()
    browser.tab_to(browser.link("Set the last number"))
    browser.enter()
    browser.tab_to(browser.one("[name=value]"))
    browser.press("90")
    browser.enter()
    browser.tab_to(browser.link("Set the last number"))
    browser.enter()
    assert get_last_value("orders") == 90
