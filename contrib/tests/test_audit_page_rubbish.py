"""The audit pages beside what nobody should have: rubbish in addresses, names and tables."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from urllib.parse import quote

import pytest
from django.db import models
from django.http import QueryDict
from django.test import Client
from django.test.utils import isolate_apps
from sequences_contrib.admin.drafts import DraftsPage
from sequences_contrib.admin.overview import Overview
from sequences_contrib.audit import audit
from sequences_contrib.fields import SequenceField
from sequences_contrib.periods import Month
from sequences_contrib.posting import assign_numbers

from sequences_core import delete, set_last_value
from tests.numbered.blocks import letters, model_with, tables
from tests.numbered.models import Company, Project, Voucher
from tests.numbered.pages import APPS as APPS
from tests.numbered.pages import PAGES, ToUsing, client_with, text_of, vouchers
from tests.numbered.pages import to_using as to_using

FIELD = f"{PAGES}numbered.Voucher.number/"


@pytest.fixture
def client(using: str) -> Client:
    """The browser of an accountant, who finds three vouchers of a company in April."""
    vouchers(Company.objects.create(name="Acme"), 4, 3)
    return client_with(using, "numbered.view_voucher")


RUBBISH = ["x", "\0", "²", "٣-٣", "-1", "0-0", "1e400", "9" * 30, "9" * 30 + "-01", "9" * 5000]


@pytest.mark.parametrize("text", RUBBISH, ids=lambda text: ascii(text[:40]))
def test_rubbish_in_an_address(client: Client, text: str) -> None:
    """Every query string returns a page, if only one without matching counters."""
    for key in ("company", "issued_on", "_dates", "_show", "_page", "_counter"):
        for page in ("", "csv/"):
            assert client.get(f"{FIELD}{page}?{key}={quote(text)}").status_code == 200


@pytest.mark.parametrize("text", RUBBISH[2:-1], ids=ascii)
def test_rubbish_in_names(client: Client, text: str) -> None:
    """A name that nobody made for the field is shown as it is."""
    for name in (f"vouchers.{text}.2026-04", f"vouchers.1.{text}", "vouchers.%00.2026-04"):
        set_last_value(1, name)
    assert text in text_of(client, FIELD)


def test_rows_without_a_counter_are_a_finding(using: str, client: Client) -> None:
    """The page doesn't say that nothing is missing, nor that there are no numbers."""
    Voucher.objects.update(company=None)
    (company,) = Company.objects.all()
    delete(f"vouchers.{company.pk}.2026-04")
    assert "No numbers yet." not in (page := text_of(client, FIELD))
    assert "Some numbers need an explanation." in page
    vouchers(company, 4, 1)
    assert "Nothing is missing: every number" not in text_of(client, FIELD)


def test_only_findings_are_findings(using: str) -> None:
    """The filter doesn't show counters only because their summary proves nothing."""
    with isolate_apps("tests.numbered"):
        made = [
            model_with(
                name,
                day=models.DateField(default=date(2026, 1, 1)),
                kind=models.CharField(max_length=9),
                number=SequenceField("shared", scope="kind"),
            )
            for name in ("Sold", "Sent")
        ]
    with tables(using, *made):
        for model in made:
            model._default_manager.bulk_create(model(kind=kind) for kind in ("a", "b", "c"))
        made[0]._default_manager.get(kind="b").delete()
        for query in ("_show=findings", "_show=findings&_dates=day"):
            overview = Overview(made[0]._meta.get_field("number"), QueryDict(query))
            assert [row.labels for row in overview.rows] == [["b"]]


def test_names_that_say_too_little(using: str, client: Client) -> None:
    """Companies with the same name, or without one, are shown with their keys."""
    keys = [Company.objects.create(name=name).pk for name in ("Same", "Same", " ")]
    for company in Company.objects.filter(pk__in=keys):
        vouchers(company, 4, 1)
    page = text_of(client, FIELD)
    assert f">Same ({keys[0]})</a>" in page
    assert f">Same ({keys[1]})</a>" in page
    assert f">({keys[2]})</a>" in page
    assert ">Acme</a>" in page


def test_companies_of_another_database(using: str, settings: Any) -> None:
    """Names are read from the router's database; such a scope needs no table of companies."""
    read: list[Any] = []

    class Elsewhere(ToUsing):
        def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
            return hints.get("model_name") != "company"

        def db_for_read(self, model: Any, **hints: Any) -> str:
            if model is Company:
                read.append(model)
            return self.using

    company = Company.objects.create(name="Acme")
    settings.DATABASE_ROUTERS = [Elsewhere(using)]
    vouchers(company, 4, 1)
    read.clear()
    (row,) = Overview(Voucher._meta.get_field("number"), QueryDict()).rows
    assert row.title == "Acme · April 2026"
    assert read


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_moments_without_use_tz(using: str, settings: Any, zone: str) -> None:
    """A period in another zone than that of the settings is audited row by row."""
    settings.USE_TZ = False
    settings.TIME_ZONE = "UTC"
    at = models.DateTimeField()
    number = SequenceField("letters", scope=Month("at", tz=zone))
    with letters(using, at=at, number=number) as rows:
        for hour in (22, 23):
            rows.create(at=datetime(2026, 1, 31, hour, 30))
        results = audit(rows.model, using=using)
        assert sum(each.rows for each in results) == 2
        assert all(each.is_clean for each in results)
        assert len(results) == (2 if zone == "Europe/Berlin" else 1)


def test_a_draft_whose_parent_is_gone_stops_no_other(using: str) -> None:
    """The draft has no counter, as if its scope were null; the others are numbered."""
    project = models.ForeignKey(Project, models.DO_NOTHING, db_constraint=False)
    posted = models.BooleanField(default=True)
    number = SequenceField("post", scope="project__code", when="posted")
    with letters(using, project=project, posted=posted, number=number) as rows:
        for code in ("a", "b"):
            rows.create(project=Project.objects.create(code=code))
        rows.update(number=None)
        Project.objects.using(using).filter(code="a").delete()
        drafts = DraftsPage(rows.model._meta.get_field("number"))
        assert (drafts.total, drafts.can_be_numbered, drafts.without_counter) == (2, 1, 1)
        assert assign_numbers(rows.all()).rows == 1
