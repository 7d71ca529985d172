"""The audit pages of the admin: who may see them, what they say, and what they cost."""

from __future__ import annotations

import re
from datetime import date
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections, models
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.urls import path as urlpath
from pytest_django.asserts import assertNumQueries
from sequences_contrib.admin import AuditAdmin
from sequences_contrib.admin.overview import Overview
from sequences_contrib.fields import SequenceField
from sequences_contrib.models import Audit
from sequences_contrib.voids import record_void

from sequences_core import set_last_value
from sequences_core.models import Counter
from tests.numbered.blocks import tables
from tests.numbered.models import (
    Bill,
    Company,
    Document,
    Invoice,
    Project,
    Receipt,
    Seat,
    SpecialInvoice,
    Ticket,
    Voucher,
)
from tests.numbered.pages import APPS as APPS
from tests.numbered.pages import PAGES, client_with, text_of, vouchers
from tests.numbered.pages import to_using as to_using

FIELD = f"{PAGES}numbered.Voucher.number/"


@pytest.fixture
def client(using: str) -> Client:
    """The browser of an accountant who may view what the tests number, and change nothing."""
    return client_with(
        using, *(f"numbered.view_{name}" for name in ("invoice", "voucher", "receipt", "document"))
    )


def run_sql(using: str, statement: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(statement)


def test_the_index_lists_what_the_user_may_view(using: str, client: Client) -> None:
    """Each numbered field is listed once, and the index of the admin links to the page."""
    assert PAGES in client.get("/admin/").content.decode()
    page = text_of(client, PAGES)
    assert f"{PAGES}numbered.Invoice.number/" in page
    assert f"{PAGES}numbered.Voucher.number/drafts/" in page
    assert "Company, Date of issue: month" in page
    assert "numbered.Ticket.number" not in page
    assert "numbered.SpecialInvoice.own" not in page


@pytest.mark.parametrize("path", ["", "csv/", "drafts/"])
def test_without_permission_there_is_no_page(using: str, client: Client, path: str) -> None:
    """Without the permission to view a model, its audit is forbidden; an unknown field is a 404."""
    assert client.get(f"{PAGES}numbered.Ticket.number/{path}").status_code == 403
    assert client.get(f"{PAGES}numbered.Voucher.nothing/{path}").status_code == 404
    assert Client().get(f"{PAGES}numbered.Voucher.number/{path}").status_code == 302


def test_nobody_without_a_model_to_view_sees_the_index(using: str, client: Client) -> None:
    """Without any permission, neither the index nor the link to it is shown."""
    other = client_with(using, "numbered.view_company")
    assert other.get(PAGES).status_code == 403
    assert PAGES not in other.get("/admin/").content.decode()


def test_an_exact_counter(using: str, client: Client) -> None:
    """First, last and count, and in words that nothing is missing."""
    Invoice.objects.bulk_create([Invoice() for _ in range(12)])
    page = text_of(client, f"{PAGES}numbered.Invoice.number/")
    assert "Nothing is missing: every number from the first to the last has its row." in page
    for number in (1, 12):
        assert f'<td class="sequences-number">{number}</td>' in page


def test_holes_voids_duplicates_and_counters(using: str, client: Client) -> None:
    """Each kind of finding is described; voids are shown with text, reason and person."""
    acme, brandt = (Company.objects.create(name=name) for name in ("Acme", "Brandt & Co"))
    vouchers(acme, 4, 9)
    vouchers(brandt, 5, 3)
    run_sql(using, "DELETE FROM numbered_voucher WHERE number IN (2, 5, 6, 9)")
    record_void(f"vouchers.{acme.pk}.2026-04", 2, text="V-2", reason="<torn>", user="anna")
    set_last_value(1, f"vouchers.{brandt.pk}.2026-05", force=True)
    page = text_of(client, FIELD)
    assert "2 counters on this page need an explanation." in page
    assert "3 numbers are missing without an explanation: 5–6, 9." in page  # noqa: RUF001
    assert "1 number is void: 2." in page
    assert "The counter is ahead by 1 number" in page
    assert "The counter is behind by 2 numbers" in page
    assert "<td>V-2</td><td>&lt;torn&gt;</td><td>anna</td>" in page
    assert ">Brandt &amp; Co</a>" in page
    assert "April 2026" in page


def test_filters(using: str, client: Client) -> None:
    """A company and a period choose counters, by GET; so does one counter, with its chart."""
    acme, brandt = (Company.objects.create(name=name) for name in ("Acme", "Brandt"))
    for company in (acme, brandt):
        for month in (4, 5):
            vouchers(company, month, 3)
    assert "4 counters" in text_of(client, FIELD)
    assert "2 counters" in text_of(client, f"{FIELD}?company={acme.pk}")
    assert "2 counters" in text_of(client, f"{FIELD}?issued_on=2026-05")
    assert "4 counters" in text_of(client, f"{FIELD}?issued_on=2026")
    assert "No counter matches" in text_of(client, f"{FIELD}?issued_on=2027")
    assert "sequences-chart" not in text_of(client, FIELD)
    name = f"vouchers.{acme.pk}.2026-05"
    page = text_of(client, f"{FIELD}?_counter={quote(name)}")
    assert "1 counter<" in page
    assert '<svg viewBox="0 0 640 200" role="img"' in page
    assert "The numbers from 1 to 3 over Date of issue" in page


def test_dates_out_of_order(using: str, client: Client) -> None:
    """Dates are compared only on request, because not every number follows the order of a date."""
    acme = Company.objects.create(name="Acme")
    vouchers(acme, 4, 3)
    run_sql(using, "UPDATE numbered_voucher SET issued_on = '2026-04-30' WHERE number = 1")
    assert "lies before" not in text_of(client, FIELD)
    page = text_of(client, f"{FIELD}?_dates=issued_on")
    assert "The date of number 2, 04/02/2026, is before 04/30/2026." in page
    assert "lies before" not in text_of(client, f"{FIELD}?_dates=posted")


def test_a_parent_that_is_gone(using: str, client: Client) -> None:
    """Its key is shown; numbered rows without a scope are counted."""
    acme = Company.objects.create(name="Acme")
    vouchers(acme, 4, 2)
    key = acme.pk
    run_sql(using, "DELETE FROM numbered_company")
    assert f"{key} (deleted)" in text_of(client, FIELD)
    run_sql(using, "UPDATE numbered_voucher SET company_id = NULL")
    assert "2 rows have numbers but no counter" in text_of(client, FIELD)
    assert b"no counter, because" in client.get(f"{FIELD}csv/").content


def test_paths_constants_and_parents(using: str, client: Client) -> None:
    """A constant is no column; a child's numbers are its parent's."""
    company = Company.objects.create(name="Acme")
    project = Project.objects.create(company=company, code="x")
    Receipt.objects.bulk_create([Receipt(project=project), Receipt(project=None)])
    page = text_of(client, f"{PAGES}numbered.Receipt.number/")
    assert '<th scope="col">Company</th> <th scope="col">Result</th>' in page
    assert ">Acme</a>" in page
    SpecialInvoice.objects.create()
    assert "Nothing is missing" in text_of(client, f"{PAGES}numbered.Invoice.number/")


def test_a_scope_that_only_a_function_knows(using: str, client: Client) -> None:
    """What it returns is one column, though it be several values; there is no chart."""
    Document.objects.bulk_create([Document(kind=kind) for kind in ("a", "a", "b", "")])
    page = text_of(client, f"{PAGES}numbered.Document.number/")
    assert '<th scope="col">Scope</th>' in page
    assert ">a, x</a>" in page
    assert "2 counters" in page
    assert "sequences-chart" not in text_of(client, f"{PAGES}numbered.Document.number/?scope=b")
    page = text_of(client, f"{PAGES}numbered.Document.page/")
    assert "These numbers start again" in page


def test_a_name_that_no_field_made(using: str, client: Client) -> None:
    """A counter that somebody named by hand is shown by its name, and breaks nothing."""
    acme = Company.objects.create(name="Acme")
    vouchers(acme, 4, 2)
    for name in ("vouchers.x", "vouchers.x.2026-99", "vouchers.1.2.3", "vouchers.<b>.2026-01"):
        set_last_value(0, name)
    page = text_of(client, FIELD)
    for text in ("vouchers.x<", "x (deleted)", "2026-99", "vouchers.1.2.3", "&lt;b&gt; (deleted)"):
        assert text in page
    assert "5 counters" in page


def test_only_findings(using: str, client: Client) -> None:
    """The counters of which something is to be told can be shown without the others."""
    for name in ("Acme", "Brandt"):
        vouchers(Company.objects.create(name=name), 4, 3)
    assert "No counter matches" in text_of(client, f"{FIELD}?_show=findings")
    Voucher.objects.filter(company__name="Brandt", number=2).delete()
    page = text_of(client, f"{FIELD}?_show=findings")
    assert ">Brandt</a>" in page


def test_a_table_that_is_not_there(using: str, client: Client) -> None:
    """The page says what the database said, and how to mend it; so does that of the drafts."""
    table = connections[using].ops.quote_name(Counter._meta.db_table)
    run_sql(using, f"ALTER TABLE {table} RENAME TO sequences_elsewhere")
    try:
        for path in ("", "csv/"):
            answer = client.get(FIELD + path)
            assert answer.status_code == 500
            assert "manage.py migrate" in answer.content.decode()
    finally:
        run_sql(using, f"ALTER TABLE sequences_elsewhere RENAME TO {table}")


def test_what_is_free_is_no_fault(using: str) -> None:
    """Numbers that the next rows get, because the field says so, are told of as such."""
    accountant = client_with(using, "numbered.view_seat")
    for _ in range(4):
        Seat.objects.create(room="a")
    Seat.objects.filter(number=1).delete()
    page = text_of(accountant, f"{PAGES}numbered.Seat.number/")
    assert "1 number is free and will be assigned again: 1." in page
    assert "Each missing number is explained." in page


def test_the_printed_numbers(using: str) -> None:
    """A counter that is shown alone has its first and last number as they were printed."""
    accountant = client_with(using, "numbered.view_bill")
    acme = Company.objects.create(name="Acme")
    day = date(2026, 3, 31)
    Bill.objects.bulk_create([Bill(company=acme, issued_on=day) for _ in range(3)])
    page = text_of(accountant, f"{PAGES}numbered.Bill.number/")
    assert "2025 (April 2025 – March 2026)" in page  # noqa: RUF001
    for number in (1, 3):
        assert f"B{acme.pk}/2025-{number:04d}" in page


def test_fields_that_share_a_counter(using: str) -> None:
    """The page of each has the numbers of both, and names the other."""
    with isolate_apps("tests.numbered"):
        meta = {"app_label": "numbered"}
        made: list[Any] = [
            type(
                name,
                (models.Model,),
                {
                    "__module__": __name__,
                    "Meta": type("Meta", (), meta),
                    "number": SequenceField("shared", unique=True),
                },
            )
            for name in ("Sold", "Sent")
        ]
    sold, sent = made
    with tables(using, sold, sent):
        for model in (sold, sent, sold):
            model._default_manager.create()
        overview = Overview(sent._meta.get_field("number"), QueryDict())
        (row,) = overview.rows
        assert (row.result.first, row.result.last, row.result.rows) == (1, 3, 3)
        assert row.sentences == ["Nothing is missing."]
        assert overview.others == "Sold: number"
        assert overview.verdict[0] == "ok"


def test_another_site_and_its_model_admins(using: str, settings: Any) -> None:
    """The pages are about that site: the ModelAdmin of a model says who may view its rows."""
    office = AdminSite("office")

    class TicketAdmin(ModelAdmin):  # type: ignore[type-arg] # not generic at run time
        def has_view_permission(self, request: Any, obj: Any = None) -> bool:
            return bool(request.user.last_name == "Ticket")

    office.register(Ticket, TicketAdmin)
    office.register(Audit, AuditAdmin)
    urls = [urlpath("office/", office.urls)]
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": urls})
    viewer = client_with(using, "numbered.view_ticket")
    pages = PAGES.replace("admin", "office", 1)
    assert viewer.get(f"{pages}numbered.Ticket.number/").status_code == 403
    User.objects.update(last_name="Ticket")
    assert f'"{pages}numbered.Ticket.number/csv/' in text_of(
        viewer, f"{pages}numbered.Ticket.number/"
    )


def test_the_strictest_policy_is_kept(using: str, client: Client) -> None:
    """There are no inline scripts, styles or handlers: a strict Content-Security-Policy works."""
    vouchers(Company.objects.create(name="Acme"), 4, 3)
    for path in (PAGES, FIELD, f"{FIELD}?issued_on=2026-04", f"{FIELD}drafts/"):
        page = text_of(client, path)
        assert not re.findall(r"<style|\sstyle=|<script>|\son\w+=", page)


def test_numbers_have_no_separators(using: str, client: Client, settings: Any) -> None:
    """A number is a name: what is 1234 isn't written 1.234, as counts are where people want it."""
    settings.USE_THOUSAND_SEPARATOR = True
    settings.LANGUAGE_CODE = "de"
    set_last_value(1233, f"vouchers.{(acme := Company.objects.create(name='Acme')).pk}.2026-04")
    vouchers(acme, 4, 2)
    page = text_of(client, f"{FIELD}?issued_on=2026-04")
    assert "1234" in page
    assert "1235" in page
    assert not re.search(r"[ >]1\.23[45]\b", page)
    assert ">1235</text>" in page


def test_the_export_is_that_of_the_command(using: str, client: Client, capsys: Any) -> None:
    """The CSV has the lines of the command, after the UTF-8 byte order mark."""
    acme = Company.objects.create(name="Acme")
    vouchers(acme, 4, 3)
    vouchers(acme, 5, 3)
    call_command("sequences", "audit", "numbered.Voucher", "--format=csv", database=using)
    answer = client.get(f"{FIELD}csv/")
    assert answer.content.decode() == "\ufeff" + capsys.readouterr().out
    assert answer["Content-Disposition"].startswith("attachment")
    one = client.get(f"{FIELD}csv/?issued_on=2026-05")
    assert len(one.content.decode().splitlines()) == 2


def test_the_number_of_queries_is_fixed(using: str, client: Client) -> None:
    """It is the same for three and three hundred counters, with and without gaps and voids."""
    path = f"{FIELD}?_dates=issued_on"

    def more(companies: int) -> None:
        new = Company.objects.bulk_create([Company(name=f"C{n}") for n in range(companies)])
        known = Company.objects.order_by("-pk")[: len(new)]
        for company in known:
            vouchers(company, 4, 3)
        run_sql(using, "DELETE FROM numbered_voucher WHERE number = 2")
        for company in known:
            record_void(f"vouchers.{company.pk}.2026-04", 2)

    more(3)
    client.get(path)
    with CaptureQueriesContext(connections[using]) as few:
        client.get(path)
    more(57)
    with assertNumQueries(len(few), using=using):
        page = client.get(path)
    assert "Page 1 of 2" in page.content.decode()
