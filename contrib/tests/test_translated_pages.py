"""The audit and drafts pages in other languages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.utils.translation import override
from sequences_contrib.voids import record_void

from tests.numbered.models import Company, Voucher
from tests.numbered.pages import APPS as APPS
from tests.numbered.pages import PAGES, client_with, text_of, vouchers
from tests.numbered.pages import to_using as to_using

PAGE = f"{PAGES}numbered.Voucher.number/"


@pytest.fixture
def company(using: str, settings: Any) -> Iterator[Company]:
    """The site speaks what the browser asks for."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    with override("en-us"):  # the middleware leaves the language as it is for what comes after
        yield Company.objects.create(name="Acme")


def client_who_reads(using: str, language: str) -> Client:
    permissions = ("numbered.change_voucher", "numbered.view_voucher")
    return client_with(using, *permissions, headers={"accept-language": language})


def delete(using: str, *numbers: int) -> None:
    """Delete rows as nothing in Django does: without a trace."""
    with connections[using].cursor() as cursor:
        listed = ", ".join(map(str, numbers))
        cursor.execute(f"DELETE FROM numbered_voucher WHERE number IN ({listed})")


def test_the_audit_in_german(using: str, company: Company) -> None:
    """Headings, findings, periods and the verdict are German, with the admin around them."""
    vouchers(company, 4, 9)
    delete(using, 2, 5, 6)
    record_void(f"vouchers.{company.pk}.2026-04", 2, text="V-2", reason="<torn>", user="anna")
    page = text_of(client_who_reads(using, "de"), PAGE)
    for text in (
        '<html lang="de"',
        "Einige Nummern sind erklärungsbedürftig.",
        "2 Nummern fehlen ohne Erklärung: 5–6.",  # noqa: RUF001
        "1 Nummer ist annulliert: 2.",
        "Fehlend und annulliert: Acme · April 2026",
        "Keine: Niemand hat einen Grund angegeben",
        "Zählerstand",
        "Date of issue: Monat",  # the project's own name, and ours for the period
        "Als CSV exportieren",
    ):
        assert text in page


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        ([3], "Brakuje bez wyjaśnienia 1 numeru: 3."),
        ([3, 4], "Brakuje bez wyjaśnienia 2 numerów: 3–4."),  # noqa: RUF001
        ([28], "Licznik wyprzedza dokumenty o 1 numer:"),
        ([27, 28], "Licznik wyprzedza dokumenty o 2 numery:"),
        ([24, 25, 26, 27, 28], "Licznik wyprzedza dokumenty o 5 numerów:"),
        ([*range(7, 29)], "Licznik wyprzedza dokumenty o 22 numery:"),
    ],
)
def test_the_audit_in_polish(using: str, company: Company, gone: list[int], sentence: str) -> None:
    """Polish has three forms: for one, for two to four, and for more, but 22 is like two."""
    vouchers(company, 4, 28)
    delete(using, *gone)
    page = text_of(client_who_reads(using, "pl"), PAGE)
    assert sentence in page
    assert "kwiecień 2026" in page.lower()


def test_the_drafts_in_polish(using: str, company: Company) -> None:
    """The button numbers them, and the message has the form for more than four."""
    vouchers(company, 4, 5, posted=False)
    Voucher.objects.update(posted=True)
    client = client_who_reads(using, "pl")
    page = f"{PAGE}drafts/"
    assert "5 dokumentów jest zaksięgowanych i nie ma jeszcze numeru." in text_of(client, page)
    answer = client.post(page, {"order": "issued_on"}, follow=True).content.decode()
    assert "Ponumerowano 5 dokumentów." in answer
    assert "Żaden dokument nie czeka na numer." in answer


@pytest.mark.parametrize(
    ("language", "heading"),
    [
        ("de", "Nummernprüfung"),
        ("es-mx", "Control de la numeración"),
        ("fr", "Contrôle des numéros"),
        ("it", "Controllo dei numeri"),
        ("nl", "Controle van de nummers"),
        ("pl", "Kontrola numeracji"),
        ("pt-br", "Auditoria da numeração"),
        ("ja", "Audit of numbers"),
    ],
)
def test_the_list_of_fields(using: str, company: Company, language: str, heading: str) -> None:
    """A regional variant reads its language; what isn't translated is English."""
    assert f"<h1>{heading}</h1>" in text_of(client_who_reads(using, language), PAGES)
