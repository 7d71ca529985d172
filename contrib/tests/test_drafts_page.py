"""The drafts page of the admin: what waits for a number, and the button that numbers it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connections
from django.test import Client
from django.utils import translation

from sequences_core import set_last_value
from tests.numbered.models import Company, Voucher
from tests.numbered.pages import APPS as APPS
from tests.numbered.pages import PAGES, client_with, text_of, vouchers
from tests.numbered.pages import to_using as to_using

PAGE = f"{PAGES}numbered.Voucher.number/drafts/"

BUTTON = 'value="Assign numbers"'


@pytest.fixture
def client(using: str) -> Client:
    """The browser of somebody who may change vouchers."""
    return client_with(using, "numbered.change_voucher")


@pytest.fixture
def company(using: str) -> Company:
    """A company with two numbered vouchers in April, three that wait and one that isn't posted."""
    company = Company.objects.create(name="Acme")
    vouchers(company, 4, 2)
    vouchers(company, 4, 4, posted=False)
    Voucher.objects.filter(number=None, issued_on__day__lt=4).update(posted=True)
    return company


def numbers() -> list[int | None]:
    return list(Voucher.objects.order_by("number").values_list("number", flat=True))


def test_drafts_are_counted_and_numbered(using: str, client: Client, company: Company) -> None:
    """The page says how many wait, the button numbers those, and the history says which."""
    page = text_of(client, PAGE)
    assert "3 rows are posted and have no number yet." in page
    assert ">Acme</th><td>April 2026</td>" in page
    assert BUTTON in page
    answer = client.post(PAGE, {"order": "issued_on"}, follow=True)
    page = " ".join(answer.content.decode().split())
    assert "3 rows were numbered. Acme · April 2026: 3–5." in page  # noqa: RUF001
    assert "No row waits for a number." in page
    assert sorted(number or 0 for number in numbers()) == [0, 1, 2, 3, 4, 5]
    entry = LogEntry.objects.get()
    assert str(entry.content_type) == "Numbered | voucher"
    told = "Changed number for vouchers “3 rows were numbered. Acme · April 2026: 3–5”."  # noqa: RUF001
    assert entry.get_change_message() == told
    assert "No row was numbered." in client.post(PAGE, follow=True).content.decode()
    assert LogEntry.objects.count() == 1


def test_the_history_is_in_the_language_of_its_reader(
    using: str, client: Client, company: Company, settings: Any
) -> None:
    """Not in that of whoever has pressed the button, as with Django's own entries."""
    settings.LANGUAGE_CODE = "de"
    page = client.post(PAGE, follow=True).content.decode()
    assert "3 Belege wurden nummeriert" in page
    entry = LogEntry.objects.get()
    for language, told in (
        ("en", "Changed number for vouchers “3 rows were numbered. Acme · April 2026: 3–5”."),  # noqa: RUF001
        ("de", "Nummer für vouchers „3 rows were numbered. Acme · April 2026: 3–5“ geändert."),  # noqa: RUF001
    ):
        with translation.override(language):
            assert entry.get_change_message() == told


def test_who_may_only_view_sees_no_button(using: str, company: Company) -> None:
    """Without the permission to change rows, there is no button, and a POST is forbidden."""
    viewer = client_with(using, "numbered.view_voucher")
    page = text_of(viewer, PAGE)
    assert "3 rows are posted" in page
    assert BUTTON not in page
    assert viewer.post(PAGE).status_code == 403
    assert Voucher.objects.filter(number=None).count() == 4
    assert Client().post(PAGE).status_code == 302


def test_a_form_of_another_site_is_refused(using: str, company: Company) -> None:
    """The button is protected as all forms are."""
    strict = client_with(using, "numbered.change_voucher", enforce_csrf_checks=True)
    assert strict.post(PAGE).status_code == 403
    assert Voucher.objects.filter(number=None).count() == 4


def test_each_batch_is_committed_by_itself(
    using: str, client: Client, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This also works with ATOMIC_REQUESTS, which would wrap the view in a transaction."""
    monkeypatch.setitem(connections[using].settings_dict, "ATOMIC_REQUESTS", True)
    client.post(PAGE)
    assert Voucher.objects.filter(number=None).count() == 1


def test_what_stops_the_numbering_is_said(using: str, client: Client, company: Company) -> None:
    """Batches before are kept, and the history has them."""
    other = Company.objects.create(pk=9_999_999, name="Brandt")  # its counter's name is the last
    vouchers(other, 5, 1)
    vouchers(other, 5, 2, posted=False)
    Voucher.objects.filter(company=other).update(posted=True)
    set_last_value(2**63 - 1, f"vouchers.{other.pk}.2026-05")
    page = client.post(PAGE, follow=True).content.decode()
    assert "The numbering stopped after 3 rows" in page
    told = "Changed number for vouchers “3 rows were numbered”."
    assert LogEntry.objects.get().get_change_message() == told


def test_an_order_that_the_page_does_not_offer(
    using: str, client: Client, company: Company
) -> None:
    """An unknown order is refused before anything is written."""
    page = client.post(PAGE, {"order": "company__name"}, follow=True).content.decode()
    assert "can&#x27;t be numbered in this order" in page
    assert Voucher.objects.filter(number=None).count() == 4


def test_rows_without_a_scope_wait_for_ever(using: str, client: Client) -> None:
    """The page says how many of them there are, and why."""
    Voucher.objects.create(company=None, issued_on=date(2026, 4, 1), posted=True)
    page = text_of(client, PAGE)
    assert "1 of them can&#x27;t get one" in page or "1 of them can't get one" in page
    assert BUTTON not in page


def test_a_field_without_when_has_no_drafts(using: str) -> None:
    """There is neither a link nor a page."""
    accountant = client_with(using, "numbered.view_invoice")
    assert "numbered.Invoice.number/drafts/" not in text_of(accountant, PAGES)
    assert accountant.get(f"{PAGES}numbered.Invoice.number/drafts/").status_code == 404
