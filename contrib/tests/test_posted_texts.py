"""Periods and text numbers of documents that are numbered when they are posted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from django.db import IntegrityError, connections, models
from django.test.utils import isolate_apps
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.periods import FiscalYear, Year
from sequences_contrib.posting import Assigned, assign_numbers
from sequences_contrib.texts import FormattedNumberField

from sequences_core import get_last_value
from tests.numbered.blocks import MODES, atomic_if, letters, rolled_back, tables
from tests.numbered.models import Company

APPS = ["tests.numbered"]

modes = pytest.mark.parametrize("atomic", MODES.values(), ids=MODES)

YEAR = FiscalYear("issued_on", start=(4, 1))


@pytest.fixture
def rows(using: str) -> Iterator[Any]:
    """Invoices by company and fiscal year, written with both."""
    written = NumberFormat("{company.name}-{year}-{number:03d}", year=YEAR)
    with letters(
        using,
        company=models.ForeignKey(Company, on_delete=models.CASCADE, related_name="+"),
        issued_on=models.DateField(null=True, default=date(2026, 1, 1)),
        posted=models.BooleanField(default=False),
        note=models.CharField(max_length=9, null=True, unique=True),
        number=SequenceField("s", scope=["company", YEAR], when="posted"),
        text=FormattedNumberField(written, max_length=99, null=True),
    ) as found:
        yield found


def company(using: str, name: str = "A") -> Company:
    return Company.objects.using(using).create(name=name)


@modes
def test_the_save_that_posts(atomic: bool, rows: Any, using: str) -> None:
    """The text is set with the number, and both are kept by what comes later."""
    a = company(using)
    draft, stale = rows.create(company=a), rows.model(company=a)
    assert (draft.number, draft.text) == (None, None)
    stale = rows.get(pk=draft.pk)
    draft.posted = True
    with atomic_if(atomic, using):
        draft.save(update_fields=["posted"])
    assert (draft.number, draft.text) == (1, "A-2025-001")
    stale.note = "x"
    stale.save()
    assert rows.get(pk=draft.pk).text == "A-2025-001"
    stale.posted = True
    stale.save()
    assert (stale.number, stale.text) == (1, "A-2025-001")
    a.name = "B"
    a.save()
    draft.save()
    assert rows.get(pk=draft.pk).text == draft.text == "A-2025-001"
    assert rows.create(company=a, posted=True).text == "B-2025-002"


@modes
def test_failed_rolled_back_and_copied(atomic: bool, rows: Any, using: str) -> None:
    """The text comes and goes with the number."""
    a = company(using)
    rows.create(company=a, note="taken")
    draft = rows.create(company=a)
    draft.posted, draft.note = True, "taken"
    with pytest.raises(IntegrityError), atomic_if(atomic, using):
        draft.save()
    assert (draft.number, draft.text) == (None, None)
    draft.note = None
    with rolled_back(using):
        draft.save()
    assert rows.create(company=a, posted=True).text == "A-2025-001"
    draft.save()
    assert draft.text == rows.get(pk=draft.pk).text == "A-2025-002"
    for posted, expected in ((False, None), (True, "A-2025-003")):
        draft.pk, draft._state.adding, draft.posted = None, True, posted
        draft.save()
        assert draft.text == expected


def test_explicit_numbers(rows: Any, using: str) -> None:
    """An explicit number of an update is written; an explicit text with it is kept."""
    a = company(using)
    row = rows.create(company=a, posted=True)
    row.number = 7
    row.save()
    assert row.text == rows.get(pk=row.pk).text == "A-2025-007"
    rows.create(company=a, note="taken")
    row.number, row.note = 9, "taken"
    with pytest.raises(IntegrityError):
        row.save()
    assert (row.number, row.text) == (9, "A-2025-007")
    row.note = None
    row.number, row.text = 8, "eight"
    row.save()
    assert rows.get(pk=row.pk).text == "eight"
    row.text = "acht"
    row.save(update_fields=["text"])
    assert (rows.get(pk=row.pk).text, rows.get(pk=row.pk).number) == ("acht", 8)


def test_all_at_once(rows: Any, using: str) -> None:
    """The UPDATE of assign_numbers() writes the texts, each in the period of its date."""
    one, two = company(using), company(using, "B")
    for owner, day in (
        (one, date(2026, 3, 31)),
        (two, date(2026, 4, 1)),
        (one, date(2026, 4, 1)),
        (one, None),
        (one, date(2025, 4, 1)),
    ):
        rows.create(company=owner, issued_on=day)
    rows.update(posted=True)
    done = assign_numbers(rows.all(), order_by=("issued_on", "pk"))
    assert list(rows.order_by("pk").values_list("number", "text")) == [
        (2, "A-2025-002"),
        (1, "B-2026-001"),
        (1, "A-2026-001"),
        (None, None),
        (1, "A-2025-001"),
    ]
    names = {f"s.{one.pk}.2025": (1, 2), f"s.{one.pk}.2026": (1, 1), f"s.{two.pk}.2026": (1, 1)}
    assert done == Assigned(names, 4, 0)
    row = rows.create(company=one, issued_on=date(2026, 2, 1))
    row.posted = True
    row.save()
    assert row.text == "A-2025-003"


@pytest.mark.parametrize("options", [{}, {"reuse": "gaps"}], ids=["statement", "one by one"])
def test_a_text_that_cannot_be_written(options: dict[str, Any], using: str) -> None:
    """A row with a null in its text waits until it is filled in; the others are numbered."""
    with letters(
        using,
        kind=models.CharField(max_length=9, null=True),
        posted=models.BooleanField(default=False),
        number=SequenceField("s", when="posted", **options),
        text=FormattedNumberField(NumberFormat("{kind}-{number:02d}"), max_length=99, null=True),
    ) as rows:
        for kind in ("a", None, "b"):
            rows.create(kind=kind)
        rows.update(posted=True)
        assert assign_numbers(rows.all(), batch_size=1) == Assigned({"s": (1, 2)}, 2, 1)
        texts = rows.order_by("pk").values_list("text", flat=True)
        assert list(texts) == ["a-01", None, "b-02"]
        assert get_last_value("s", using=using) == 2
        rows.filter(kind=None).update(kind="c")
        assert assign_numbers(rows.all()).rows == 1
        assert list(texts.all()) == ["a-01", "c-03", "b-02"]


def test_fields_of_parents(using: str) -> None:
    """The rows of parents are looked up by the UPDATE, also through a proxy."""
    written = NumberFormat("{issued_on:%Y}-{branch}-{number}")
    with isolate_apps("tests.numbered"):

        class Paper(models.Model):
            issued_on = models.DateField()

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return f"{self.issued_on}"

        class Branched(Paper):
            branch = models.CharField(max_length=9, default="a")

            class Meta:
                app_label = "numbered"

        class Contract(Branched):
            posted = models.BooleanField(default=False)
            number = SequenceField("s", scope=[Year("issued_on"), "branch"], when="posted")
            text = FormattedNumberField(written, max_length=99, null=True)

            class Meta:
                app_label = "numbered"

        class Archived(Contract):
            class Meta:
                app_label = "numbered"
                proxy = True

    with tables(using, Paper, Branched, Contract):
        rows: Any = models.QuerySet(Contract, using=using)
        for year in (99, 2026, 99):
            rows.create(issued_on=date(year, 1, 1))
        rows.create(issued_on=date(2026, 2, 1), posted=True)
        rows.update(posted=True)
        assert assign_numbers(models.QuerySet(Archived, using=using)).rows == 3
        found = list(rows.order_by("pk").values_list("text", flat=True))
        assert found == ["0099-a-1", "2026-a-2", "0099-a-2", "2026-a-1"]
        selected = rows.annotate(selected=written.expression()).order_by("pk")
        assert list(selected.values_list("selected", flat=True)) == found


def test_dates_that_another_program_has_written(using: str) -> None:
    """SQLite stores any text: what Django reads is a date, and what it doesn't gets no number."""
    if connections[using].vendor != "sqlite":
        pytest.skip("the database stores dates only")
    with letters(
        using,
        day=models.DateField(),
        number=SequenceField("s", null=True),
        text=FormattedNumberField(NumberFormat("{day:%Y%m}-{number}"), max_length=99, null=True),
    ) as rows:
        for written in ("2026-1-5", "soon", "2026-01-05"):
            with connections[using].cursor() as cursor:
                table = rows.model._meta.db_table
                cursor.execute(f"INSERT INTO {table} (day) VALUES (%s)", [written])
        done = assign_numbers(rows.all())
        assert (done.rows, done.skipped) == (2, 1)
        found = list(rows.order_by("pk").values_list("text", flat=True))
        assert found == ["202601-1", None, "202601-2"]


def test_a_time_zone_that_is_not_in_the_servers_table(
    using: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MySQL's table has zones, but not this one, and null is its date: no number without a text."""
    features: Any = connections[using].features
    if connections[using].vendor != "mysql" or features.has_zoneinfo_database:
        pytest.skip("the database knows the zone")
    monkeypatch.setattr(features, "has_zoneinfo_database", True)
    written = NumberFormat("{at:%Y}-{number}", tz="Pacific/Auckland")
    with letters(
        using,
        at=models.DateTimeField(),
        number=SequenceField("s", null=True),
        text=FormattedNumberField(written, max_length=99, null=True),
    ) as rows:
        with connections[using].cursor() as cursor:
            table = rows.model._meta.db_table
            cursor.execute(f"INSERT INTO {table} (at) VALUES ('2026-12-31 23:30')")
        assert assign_numbers(rows.all()) == Assigned({}, 0, 1)
        assert rows.get().number is None
