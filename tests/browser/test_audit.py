"""The audit and the drafts in the admin, as an accountant uses them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from tests.books.models import Invoice
from tests.browser.browser import PHONE, Browser

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    pytest.mark.usefixtures("ledger"),
]

PAGE = "/admin/sequences_contrib/audit/books.Invoice.number/"


def test_a_hole_and_a_void(
    browser: Browser, log_in: Callable[..., Any], picture: Callable[[str], None]
) -> None:
    """The missing number is shown, and the void with its reason and person."""
    log_in()
    browser.open("/admin/")
    browser.follow("Audit of numbers")
    row = next(row for row in browser.all("tbody tr") if row.text.startswith("Invoices"))
    assert "fiscal year" in row.text
    browser.open(PAGE)
    lines = [row.text for row in browser.all("tbody tr")]
    (acme,) = (line for line in lines if line.startswith("ACM") and "2025" in line)
    assert "1 number is missing without an explanation: 9." in acme
    assert "1 number is void: 4." in acme
    assert sum("Nothing is missing." in line for line in lines) == 2
    (void,) = (line for line in lines if "Printed twice" in line)
    assert "Grace Hopper" in void
    for scheme in ("light", "dark"):
        browser.screen(scheme=scheme)
        picture(f"audit-{scheme}")
    browser.screen(PHONE)
    picture("audit-narrow")


def test_one_counter(
    browser: Browser, log_in: Callable[..., Any], picture: Callable[[str], None]
) -> None:
    """A click leaves one counter, with a chart of its numbers over time."""
    log_in()
    browser.open(f"{PAGE}?issued_on=2025-26")
    browser.follow("ACM")
    assert "GLX" not in [cell.text for cell in browser.all("tbody th")]
    chart = browser.one("svg[role=img]")
    description = chart.find_element(By.TAG_NAME, "desc").get_attribute("textContent")
    assert description
    assert "1 to 12" in description
    picture("audit-chart")


def test_export(browser: Browser, log_in: Callable[..., Any]) -> None:
    """The file has the counters of the page."""
    log_in()
    browser.open(PAGE)
    rows = list(csv.DictReader(browser.download("Export as CSV").splitlines()))
    assert len(rows) == 3
    assert rows[0]["counter"].startswith("invoices.")


def test_assign_numbers(
    browser: Browser, log_in: Callable[..., Any], picture: Callable[[str], None]
) -> None:
    """Drafts get their numbers in the order of their dates, and the page says which."""
    log_in()
    browser.open(PAGE)
    browser.follow("Drafts")
    assert "3 rows" in browser.text
    picture("drafts")
    browser.follow("Assign numbers")
    assert "3 rows were numbered." in browser.one(".messagelist").text
    assert "No row waits for a number." in browser.text
    drafts = Invoice.objects.filter(company__code="ACM", issued_on__gte="2026-06-01")
    assert list(drafts.order_by("issued_on").values_list("number", flat=True)) == [6, 7, 8]


def test_assign_numbers_with_the_keyboard_alone(
    browser: Browser, log_in: Callable[..., Any]
) -> None:
    """From the page of the audit by Tab and Enter, with the focus in sight."""
    log_in()
    browser.open(PAGE)
    browser.tab_to(browser.link("Drafts"))
    browser.enter()
    browser.tab_to(browser.link("Assign numbers"))
    browser.enter()
    assert not Invoice.objects.filter(number=None)


def test_who_may_only_look_assigns_nothing(browser: Browser, log_in: Callable[..., Any]) -> None:
    """Without the permission to change, there is no button; without that to view, no audit."""
    log_in("books.view_invoice", name="vera")
    browser.open(f"{PAGE}drafts/")
    assert "3 rows" in browser.text
    assert "Assign" not in browser.text
    log_in("sequences_core.view_counter", name="carl")
    browser.open(PAGE)
    assert "403" in browser.text
    assert "403 (Forbidden)" in browser.messages()[0]
