"""Accessibility of each page: dark mode, small screens, screen readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

PAGES = (
    f"{COUNTERS}/",
    f"{COUNTERS}/invoices/change/",
    f"{COUNTERS}/invoices/set/",
    f"{COUNTERS}/invoices/rename/",
    f"{COUNTERS}/invoices/delete/",
    "/admin/sequences_contrib/void/",
    f"{AUDIT}/",
    f"{AUDIT}/books.Invoice.number/",
    f"{AUDIT}/books.Invoice.number/?issued_on=2025-26",
    f"{AUDIT}/books.Invoice.number/drafts/",
)
CONFIRMATIONS: dict[str, dict[str, object]] = {
    f"{COUNTERS}/invoices/set/": {"value": 7},
    f"{COUNTERS}/invoices/rename/": {"new_name": "bills"},
}


def test_everybody_can_read_the_pages(browser: Browser, log_in: Callable[..., Any]) -> None:
    """The rules of WCAG hold in both color schemes, and no page scrolls horizontally."""
    log_in()
    problems: list[tuple[object, ...]] = []
    for page in PAGES:
        browser.open(page)
        problems += found_on(browser)
    for page, values in CONFIRMATIONS.items():
        browser.open(page)
        browser.fill(**values)
        browser.follow("Continue")
        problems += found_on(browser)
    assert problems == []


def test_a_long_name_fits_a_phone(browser: Browser, log_in: Callable[..., Any]) -> None:
    """Though it is a single word."""
    name = "special_invoices_of_the_whole_world_and_of_all_its_companies"
    Counter.objects.create(name=name, last=MAX_VALUE)
    log_in()
    for page in ("change", "set", "rename", "delete"):
        browser.open(f"{COUNTERS}/{quote(name)}/{page}/")
        browser.screen(PHONE)
        assert browser.overflow() == 0, page


def found_on(browser: Browser) -> Iterator[tuple[object, ...]]:
    """Return the problems of a page, with their positions."""
    for scheme in ("light", "dark"):
        for size in (SCREEN, PHONE):
            browser.screen(size, scheme)
            for violation in browser.violations():
                yield browser.path, scheme, size, violation
            if overflow := browser.overflow():
                yield browser.path, size, f"{overflow} pixels wider than the screen"
