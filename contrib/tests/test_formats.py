"""How numbers are written and read, in Python and in the databases."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connections, models
from django.db.models import F
from django.test.utils import isolate_apps
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sequences_contrib.formats import NumberFormat
from sequences_contrib.periods import Day, FiscalYear, IsoWeek, Month, Quarter, Year

from tests.numbered.blocks import model_with, rolled_back, tables
from tests.numbered.models import Company

APPS = ["tests.numbered"]

YEAR_ENDS = [
    date(year, month, day) for year in range(1999, 2031) for month, day in ((1, 1), (12, 31))
]
EDGES = [
    *YEAR_ENDS,
    *(day + timedelta(days=step) for day in YEAR_ENDS for step in (-3, -2, -1, 1, 2, 3)),
    date(2024, 2, 29),
    date(2024, 3, 1),
    date(2023, 2, 28),
    date(1000, 1, 1),
    date(9999, 3, 31),
    *(date(2026, month, day) for month in range(1, 13) for day in (1, 28)),
    *(date(2026, month, day) for month in (3, 4) for day in (5, 6, 30)),
]
NUMBERS = [0, 1, 9, 10, 9_999, 10_000, 99_999, 100_000, 2**31, 2**63 - 1]

FORMATS = [
    NumberFormat("INV-{issued_on:%Y}-{number:05d}"),
    NumberFormat("{number}"),
    NumberFormat("{issued_on:%y%m%d}{number:04d}é%"),
    NumberFormat("{number:03d}/{issued_on:Q%q}/{issued_on:%Y}"),
    NumberFormat("{issued_on:%G-W%V}-{number:02d}"),
    NumberFormat("{company.name}-{branch}-{number:05d}"),
    NumberFormat("{branch:03d} {note}#{number:05d}"),
    NumberFormat("{year}-{number}", year=FiscalYear("issued_on", (4, 1))),
    NumberFormat("{year}-{number}", year=FiscalYear("issued_on", (4, 6), named="end")),
    NumberFormat("{year}-{number}", year=FiscalYear("issued_on", (12, 31), named="both")),
    NumberFormat("{year}{number:09d}", year=FiscalYear("issued_on", (1, 1), named="both")),
    NumberFormat(
        "{a} {b} {c} {d} {e} {number:09d}",
        a=Year("issued_on"),
        b=Quarter("issued_on"),
        c=Month("issued_on"),
        d=IsoWeek("issued_on"),
        e=Day("issued_on"),
    ),
]


def bill_model() -> Any:
    with isolate_apps("tests.numbered"):
        return model_with(
            issued_on=models.DateField(null=True),
            company=models.ForeignKey(Company, models.CASCADE, null=True, related_name="+"),
            branch=models.PositiveIntegerField(default=7),
            note=models.CharField(max_length=20, default="n"),
            number=models.BigIntegerField(null=True),
            text=models.CharField(max_length=100, null=True),
        )


@pytest.fixture
def bills(using: str) -> Any:
    model = bill_model()
    with tables(using, model):
        yield model.objects.using(using)


def assert_alike(rows: Any, written: NumberFormat) -> None:
    """SELECT and UPDATE write what Python writes, which can be read again."""
    affixes = written.affixes(found := list(rows.all()), connections[rows.db])
    expected = {
        row.pk: written.text(each, row.number) for row, each in zip(found, affixes, strict=True)
    }
    texts = rows.annotate(found=written.expression()).values_list("pk", "found")
    assert dict(texts) == expected
    rows.update(text=written.expression(F("number")))
    assert dict(rows.values_list("pk", "text")) == expected
    for row in found:
        text = expected[row.pk]
        parsed = written.parse(text, rows.model)
        assert parsed.number == row.number
        if "note" in parsed.parts:
            assert parsed.parts["note"] == row.note
        if "{issued_on:%Y}" in written.template:
            assert parsed.parts["issued_on:%Y"] == f"{row.issued_on:%Y}"


def test_sql_on_edges(bills: Any, using: str) -> None:
    """Ends of years, ISO week 53, leap days, and numbers up to the highest."""
    company = Company.objects.using(using).create(name="Ä-1")
    bills.bulk_create(
        bills.model(issued_on=day, number=number, company=company, note="x", branch=number % 5000)
        for day in EDGES
        for number in (NUMBERS if day.year == 2026 else NUMBERS[:1])
    )
    for written in FORMATS:
        assert_alike(bills, written)


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "issued_on": st.one_of(
                st.dates(date(1000, 1, 1), date(9998, 12, 31)), st.sampled_from(EDGES)
            ),
            "number": st.one_of(st.integers(0, 2**63 - 1), st.sampled_from(NUMBERS)),
            "branch": st.integers(0, 2**31 - 1),
            "note": st.text(
                st.characters(codec="utf-8", exclude_characters="\0"),
                min_size=1,
                max_size=20,
            ),
        }
    ),
    min_size=1,
    max_size=20,
)


@given(values=ROWS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_sql_and_parse(bills: Any, using: str, values: list[dict[str, Any]]) -> None:
    """Whatever the fields hold, SQL writes it as Python does, and parse() reads it again."""
    with rolled_back(using):
        company = Company.objects.using(using).create(name=values[0]["note"])
        bills.bulk_create(bills.model(company=company, **row) for row in values)
        for written in FORMATS:
            assert_alike(bills, written)
