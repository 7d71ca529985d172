"""Each page can be read by everybody: in the dark, on a phone, by a screen reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.utils import quote

from sequences_core.arguments import MAX_VALUE
from sequences_core.models import Counter
from tests.browser.browser import PHONE, SCREEN, Browser

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    pytest.mark.usefixtures("sequences", "ledger"),
]

COUNTERS = "/admin/sequences_core/counter"
AUDIT = "/admin/sequences_contrib/audit"

PAGES = {
    "list": f"{COUNTERS}/",
    "sequence": f"{COUNTERS}/invoices/change/",
    "set": f"{COUNTERS}/invoices/set/",
    "rename": f"{COUNTERS}/invoices/rename/",
    "delete": f"{COUNTERS}/invoices/delete/",
    "voids": "/admin/sequences_contrib/void/",
    "numbered fields": f"{AUDIT}/",
    "audit": f"{AUDIT}/books.Invoice.number/",
    "audit of one counter": f"{AUDIT}/books.Invoice.number/?company=1",
    "drafts": f"{AUDIT}/books.Invoice.number/drafts/",
}


@pytest.mark.parametrize("page", PAGES)
def test_everybody_can_read_the_page(
    browser: Browser, log_in: Callable[..., Any], page: str
) -> None:
    """The rules of WCAG hold in both schemes, and nobody has to move the page to and fro."""
    log_in()
    browser.open(PAGES[page])
    check(browser)


@pytest.mark.parametrize(("page", "values"), [("set", {"value": 7}), ("rename", {"new_name": "x"})])
def test_everybody_can_read_what_is_confirmed(
    browser: Browser, log_in: Callable[..., Any], page: str, values: dict[str, Any]
) -> None:
    """The same of the page that asks to confirm a change."""
    log_in()
    browser.open(PAGES[page])
    browser.fill(**values)
    browser.follow("Continue")
    check(browser)


@pytest.mark.parametrize("page", ["change", "set", "rename", "delete"])
def test_a_long_name_fits_a_phone(browser: Browser, log_in: Callable[..., Any], page: str) -> None:
    """Though it is a single word."""
    name = "special_invoices_of_the_whole_world_and_of_all_its_companies"
    Counter.objects.create(name=name, last=MAX_VALUE)
    log_in()
    browser.open(f"{COUNTERS}/{quote(name)}/{page}/")
    browser.screen(PHONE, "light")
    assert browser.overflow() == 0


def check(browser: Browser) -> None:
    for scheme in ("light", "dark"):
        for size in (SCREEN, PHONE):
            browser.screen(size, scheme)
            assert browser.violations() == [], (scheme, size)
            assert browser.overflow() == 0, (scheme, size)
