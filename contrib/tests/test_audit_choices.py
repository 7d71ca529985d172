"""Auditing some of the counters: by period; and reading the numbers of many counters at once."""

from __future__ import annotations

import io
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import models
from django.test.utils import isolate_apps
from pytest_django.asserts import assertNumQueries
from sequences_contrib import findings
from sequences_contrib.audit import EarlyDate, Missing, audit, texts_of_parts
from sequences_contrib.commands import write_csv
from sequences_contrib.fields import SequenceField
from sequences_contrib.identity import counter_name, texts_of_name
from sequences_contrib.series import series_of
from sequences_contrib.upkeep import prune, sync
from sequences_contrib.voids import record_void

from sequences_core import set_last_value
from tests.numbered.blocks import letters, model_with, tables
from tests.numbered.models import Bill, Company, Invoice, Ticket, Voucher

APPS = ["sequences_contrib", "tests.numbered"]


def vouchers(using: str, company: Company, months: int, count: int) -> None:
    rows = [
        Voucher(company=company, issued_on=date(2026, month, day), posted=True)
        for month in range(1, months + 1)
        for day in range(1, count + 1)
    ]
    Voucher.objects.using(using).bulk_create(rows)


@pytest.mark.parametrize(
    ("period", "months"),
    [("2026", ["01", "02", "03"]), ("2026-02", ["02"]), ("2026-0", []), ("2025", []), ("", [])],
)
def test_a_period_chooses_counters(using: str, period: str, months: list[str]) -> None:
    """The counters of the period and of periods in it are audited."""
    company = Company.objects.using(using).create(name="Acme")
    vouchers(using, company, 3, 2)
    found = audit(Voucher, period=period, using=using)
    assert [result.counter for result in found] == [
        f"vouchers.{company.pk}.2026-{month}" for month in months
    ]


@pytest.mark.parametrize("by_function", [False, True])
def test_numbers_without_a_counter(using: str, by_function: bool) -> None:
    """Rows whose scope has become null have numbers that no counter gave: the audit says so."""
    scope: Any = (lambda row: row.kind) if by_function else "kind"
    fields: dict[str, Any] = {
        "kind": models.CharField(max_length=9, null=True),
        "number": SequenceField("strays", scope=scope, null=True),
    }
    with letters(using, **fields) as rows:
        rows.bulk_create(rows.model(kind=kind) for kind in ("a", "a", "a", None))
        assert [(found.counter, found.drafts) for found in audit(rows.model, using=using)] == [
            ("strays.a", 0)
        ]
        rows.filter(number__gt=1).update(kind=None)
        counter, strays = audit(rows.model, using=using)
        assert (counter.counter, counter.missing) == ("strays.a", (Missing(2, 3),))
        assert (strays.counter, strays.at, strays.first, strays.last) == ("", None, 2, 3)
        assert (strays.rows, strays.fields, strays.is_clean) == (
            2,
            ("numbered.Letter.number",),
            False,
        )
        assert audit(rows.model, counter="strays.a", using=using) == [counter]


def test_the_command_tells_of_numbers_without_a_counter(using: str) -> None:
    """With a remedy; where one counter or one period is asked for, they are none of it."""
    company = Company.objects.using(using).create(name="Acme")
    vouchers(using, company, 1, 2)
    Voucher.objects.using(using).filter(number=2).update(company=None)
    set_last_value(1, counter := f"vouchers.{company.pk}.2026-01", force=True, using=using)
    out = io.StringIO()
    options: dict[str, Any] = {"database": using, "stdout": out, "no_color": True}
    with pytest.raises(CommandError, match="1 counter with unexplained findings"):
        call_command("sequences", "audit", "numbered.Voucher", **options)
    assert "no counter, because a part of the scope is empty or deleted: cor" in out.getvalue()
    call_command("sequences", "audit", "numbered.Voucher", counter=counter, **options)
    call_command("sequences", "audit", "numbered.Voucher", period="2026", **options)


def test_a_period_is_of_its_own_part(using: str) -> None:
    """A company whose key looks like a year is none; fiscal years are found by their names."""
    company = Company.objects.using(using).create(pk=2026, name="Acme")
    vouchers(using, company, 1, 2)
    assert audit(Voucher, period="2026-01-", using=using) == []
    for day in (date(2026, 3, 31), date(2026, 4, 1)):
        Bill.objects.using(using).create(company=company, issued_on=day)
    (found,) = audit(Bill, period="2025", using=using)
    assert found.counter == "bills.2026.2025"


@pytest.mark.parametrize(
    ("period", "model", "error"),
    [(2026, Voucher, TypeError), ("2026", Ticket, ValueError), ("2026", Invoice, ValueError)],
)
def test_bad_periods(period: Any, model: Any, error: type[Exception]) -> None:
    """A period that isn't text, or a scope without a period, is refused without a query."""
    with pytest.raises(error, match="period"):
        audit(model, period=period)


def test_the_command_has_periods(using: str) -> None:
    """The command fails if there is no counter of the period."""
    company = Company.objects.using(using).create(name="Acme")
    vouchers(using, company, 3, 2)
    out = io.StringIO()
    options: dict[str, Any] = {"database": using, "stdout": out, "format": "csv"}
    call_command("sequences", "audit", "numbered.Voucher", period="2026-02", **options)
    assert len(out.getvalue().splitlines()) == 2
    with pytest.raises(CommandError, match="no counter of the period '1999'"):
        call_command("sequences", "audit", "numbered.Voucher", period="1999", **options)


def test_a_spreadsheet_takes_no_name_for_a_formula(using: str) -> None:
    """Names are escaped in CSV, but not in the other formats."""
    with isolate_apps("tests.numbered"):
        model = model_with(number=SequenceField("=HYPERLINK(1)", unique=True))
    with tables(using, model):
        model.objects.using(using).create()
        (result,) = audit(model, using=using)
    out = io.StringIO()
    write_csv([result], out)
    assert out.getvalue().splitlines()[1] == "'=HYPERLINK(1),1,1,1,1,0,ok"


@pytest.mark.parametrize("texts", [("a",), ("a.b", "c%"), (" é ", "\0.."), ("1", "2026-Q1")])
def test_a_name_tells_its_texts(texts: tuple[str, ...]) -> None:
    """The texts of a scope can be parsed from the name, including separators and white space."""
    name = counter_name("base", texts, ".")
    assert texts_of_name(name, "base", ".") == texts
    assert texts_of_name(name, "bas", ".") is None
    assert texts_of_name("base", "base", ".") == ()


def test_names_of_another_shape_have_no_parts() -> None:
    """Names with too many or too few texts for the scope have no parts."""
    field = Voucher._meta.get_field("number")
    assert texts_of_parts(field, "vouchers.1.2026-01") == ["1", "2026-01"]
    for name in ("vouchers.1", "vouchers.1.2.3", "vouchers", "others.1.2026-01"):
        assert texts_of_parts(field, name) is None


@pytest.mark.parametrize("page", [7, 5000], ids=["many", "one"])
def test_read_together_or_alone(using: str, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holes, voids and dates are found of each counter alike, in however many queries."""
    monkeypatch.setattr(findings, "PAGE", page)
    company = Company.objects.using(using).create(name="Acme")
    vouchers(using, company, 6, 5)
    rows = Voucher.objects.using(using)
    rows.filter(number=2).delete()
    rows.filter(number=4, issued_on__month=3).delete()
    rows.filter(number=1, issued_on__month=5).update(issued_on=date(2026, 5, 30))
    record_void(f"vouchers.{company.pk}.2026-06", 2, using=using)
    found = audit(Voucher, date="issued_on", using=using)
    missing = [result.missing for result in found]
    hole = Missing(2, 2)
    assert missing == [
        (hole,),
        (hole,),
        (hole, Missing(4, 4)),
        (hole,),
        (hole,),
        (Missing(2, 2, "void"),),
    ]
    early = date(2026, 5, 3)
    assert [result.early_dates for result in found if result.early_dates] == [
        tuple(
            EarlyDate(number, early + timedelta(days=number - 3), date(2026, 5, 30))
            for number in (3, 4, 5)
        )
    ]


def test_many_small_counters_are_one_query(using: str) -> None:
    """Many counters with a gap are read by one query."""
    projects = Company.objects.using(using).bulk_create([Company(name=str(n)) for n in range(90)])
    for company in Company.objects.using(using).order_by("-pk")[: len(projects)]:
        vouchers(using, company, 1, 3)
    Voucher.objects.using(using).filter(number=2).delete()
    # The counters, the rows, the highest voids, the numbers, and the voids of those.
    with assertNumQueries(5, using=using):
        found = audit(Voucher, using=using)
    assert len(found) == 90
    assert all(result.missing == (Missing(2, 2),) for result in found)


def test_one_counter_and_those_of_a_scope(using: str) -> None:
    """A sequence and a scope of the same name have no counter in common, so no audit either."""
    company = Company.objects.using(using).create(name="Acme")
    vouchers(using, company, 1, 2)
    set_last_value(3, "vouchers", using=using)  # no voucher's
    assert [result.counter for result in audit(Voucher, using=using)] == [
        f"vouchers.{company.pk}.2026-01"
    ]
    with isolate_apps("tests.numbered"):
        alone = model_with(number=SequenceField("vouchers", unique=True))
    assert series_of(alone._meta.get_field("number"), using) == [alone._meta.get_field("number")]
    assert prune(Voucher, using=using) == []
    assert sync(Voucher, using=using) == []
