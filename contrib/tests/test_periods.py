"""Periods: their texts and days, and the counters that they lead to on every path."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connections, models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from sequences_contrib.dates import CODES, DateText, texts_of_days
from sequences_contrib.expressions import Joined
from sequences_contrib.fields import SequenceField
from sequences_contrib.periods import (
    Day,
    FiscalYear,
    IsoWeek,
    Month,
    Period,
    Quarter,
    Year,
)
from sequences_contrib.posting import assign_numbers

from sequences_core import get_last_value
from tests.numbered.blocks import letters
from tests.numbered.models import Bill, Company, Dispatch

APPS = ["tests.numbered"]


def thirteen(day: date) -> str | None:
    """Years of 13 times 28 days from 2024-01-01 on."""
    days = (day - date(2024, 1, 1)).days
    return f"Y{days // 364 + 1}" if days >= 0 else None


BOTH = FiscalYear("d", (4, 6), named="both")

PERIODS = [
    Year("d"),
    Quarter("d"),
    Month("d"),
    IsoWeek("d"),
    Day("d"),
    FiscalYear("d", (4, 1)),
    FiscalYear("d", (4, 6), named="end"),
    FiscalYear("d", (7, 1), named="both"),
    FiscalYear("d", (12, 31)),
]


@pytest.mark.parametrize(
    ("period", "day", "text", "first", "following"),
    [
        (Year("d"), (2024, 2, 29), "2024", (2024, 1, 1), (2025, 1, 1)),
        (Year("d"), (999, 1, 1), "0999", (999, 1, 1), (1000, 1, 1)),
        (Quarter("d"), (2026, 3, 31), "2026-Q1", (2026, 1, 1), (2026, 4, 1)),
        (Quarter("d"), (2026, 12, 31), "2026-Q4", (2026, 10, 1), (2027, 1, 1)),
        (Month("d"), (2024, 2, 29), "2024-02", (2024, 2, 1), (2024, 3, 1)),
        (IsoWeek("d"), (2027, 1, 1), "2026-W53", (2026, 12, 28), (2027, 1, 4)),
        (IsoWeek("d"), (2024, 12, 30), "2025-W01", (2024, 12, 30), (2025, 1, 6)),
        (Day("d"), (2026, 4, 1), "2026-04-01", (2026, 4, 1), (2026, 4, 2)),
        (FiscalYear("d", (4, 1)), (2026, 3, 31), "2025", (2025, 4, 1), (2026, 4, 1)),
        (FiscalYear("d", (4, 1)), (2026, 4, 1), "2026", (2026, 4, 1), (2027, 4, 1)),
        (FiscalYear("d", (4, 6), named="end"), (2026, 4, 6), "2027", (2026, 4, 6), (2027, 4, 6)),
        (BOTH, (2099, 5, 6), "2099-00", (2099, 4, 6), (2100, 4, 6)),
        (FiscalYear("d", (1, 1), named="end"), (2026, 4, 6), "2026", (2026, 1, 1), (2027, 1, 1)),
        (FiscalYear("d", by=thirteen), (2024, 12, 29), "Y1", (2024, 1, 1), (2024, 12, 30)),
        (FiscalYear("d", by=thirteen), (2024, 12, 30), "Y2", (2024, 12, 30), (2025, 12, 29)),
        (FiscalYear("d", by=thirteen), (2023, 12, 31), None, (1, 1, 1), (2024, 1, 1)),
        (Month("d"), (9999, 12, 31), "9999-12", (9999, 12, 1), None),
        (FiscalYear("d", (4, 1)), (1, 1, 1), "0000", (1, 1, 1), (1, 4, 1)),
        (FiscalYear("d", (4, 1)), (9999, 12, 1), "9999", (9999, 4, 1), None),
    ],
)  # fmt: skip
def test_days(period: Period, day: Any, text: str | None, first: Any, following: Any) -> None:
    """Each period has one text, a first day, and the first day of the next period."""
    assert period.text(date(*day)) == text
    assert period.range(date(*day)) == (date(*first), following and date(*following))


@pytest.mark.parametrize(
    "period", [*PERIODS, pytest.param(FiscalYear("d", by=thirteen), id="thirteen")], ids=repr
)
@given(day=st.dates(date(1, 1, 2), date(9999, 12, 30)))
def test_a_period_is_its_days(period: Period, day: date) -> None:
    """The days of a range are those that have the same text, and no others."""
    first, following = period.range(day)
    assert first <= day < (following or date.max)
    texts = {period.text(each) for each in (first, day)}
    if following:
        texts.add(period.text(following - timedelta(days=1)))
        assert period.text(following) not in texts
    assert len(texts) == 1
    if first != date.min:
        assert period.text(first - timedelta(days=1)) not in texts


@pytest.mark.parametrize(
    ("kind", "args", "options", "error"),
    [
        (Year, [""], {}, TypeError),
        (Year, [F("d")], {}, TypeError),
        (Year, ["d"], {"tz": "Nowhere"}, ValueError),
        (Year, ["d"], {"tz": "../x"}, ValueError),
        (Year, ["d"], {"tz": ""}, ValueError),
        (Year, ["d"], {"tz": timedelta(0)}, TypeError),
        (FiscalYear, ["d"], {}, TypeError),
        (FiscalYear, ["d", (2, 29)], {}, ValueError),
        (FiscalYear, ["d", (13, 1)], {}, ValueError),
        (FiscalYear, ["d", 4], {}, TypeError),
        (FiscalYear, ["d", ("4", "1")], {}, TypeError),
        (FiscalYear, ["d", (True, 1)], {}, TypeError),
        (FiscalYear, ["d", (10**30, 1)], {}, ValueError),
        (FiscalYear, ["d", (4, 1)], {"named": "last"}, ValueError),
        (FiscalYear, ["d", (4, 1)], {"by": thirteen}, TypeError),
        (FiscalYear, ["d"], {"by": "thirteen"}, TypeError),
        (FiscalYear, ["d"], {"by": thirteen, "named": "end"}, TypeError),
    ],
)
def test_refused(kind: Any, args: Any, options: Any, error: type[Exception]) -> None:
    """Periods that make no sense are refused where they are declared."""
    with pytest.raises(error):
        kind(*args, **options)


YEARS = (1, 4, 400, 999, 1000, 1900, 2000, *range(2024, 2029), 9998, 9999)


def test_databases_know_the_periods(using: str) -> None:
    """Each day of all kinds of years has the period, and the parts, that it has in Python."""
    days = [
        date(year, 1, 1) + timedelta(days=step)
        for year in YEARS
        for step in range(366)
        if (year, step) < (9999, 365)
    ]
    kinds: list[DateText] = [
        *PERIODS,
        *(FiscalYear("d", start) for start in ((1, 1), (1, 2), (1, 31), (2, 28), (3, 1), (3, 31))),
        FiscalYear("d", (1, 1), named="both"),
        FiscalYear("d", (12, 31), named="end"),
        *(DateText("d", f"%{code}") for code in CODES),
    ]
    with letters(using, d=models.DateField()) as rows:
        rows.bulk_create((rows.model(d=day) for day in days), batch_size=1000)
        for kind in kinds:
            written = Joined(*kind.expressions(F("d"), zoned=False))
            found = rows.annotate(text=written).values_list("d", "text")
            assert not [(day, text) for day, text in found if text != kind.text(day)], kind


def test_sqlite_calls_no_function_of_python_for_a_date(using: str) -> None:
    """It computes the periods by itself; an audit of many rows would take several times as long."""
    if connections[using].vendor != "sqlite":
        return
    calls: list[Any] = []
    with letters(using, d=models.DateField(null=True)) as rows:
        rows.bulk_create([rows.model(d=date(2026, 3, 31)), rows.model(d=date(2027, 1, 1))])
        connection = connections[using]
        connection.connection.create_function(
            "django_date_extract", 2, lambda *args: calls.append(args)
        )
        try:
            for kind in (Quarter("d"), IsoWeek("d"), BOTH, FiscalYear("d", (4, 1))):
                written = Joined(*kind.expressions(F("d"), zoned=False))
                texts = rows.order_by("d").values_list(written, flat=True)
                assert list(texts) == [kind.text(date(2026, 3, 31)), kind.text(date(2027, 1, 1))]
            assert calls == []
        finally:
            connection.close()


@pytest.mark.parametrize("stored", ["now", "12:00", "2460000.5", "2026-04-01 12:00:00", "2026-4-1"])
def test_what_other_programs_store_on_sqlite(using: str, stored: str) -> None:
    """It is a date where Django reads one, or else null; not the day of the audit."""
    if connections[using].vendor != "sqlite":
        return
    with letters(using, d=models.DateField()) as rows:
        with connections[using].cursor() as cursor:
            cursor.execute(f"INSERT INTO {rows.model._meta.db_table} (d) VALUES (%s)", [stored])
        for kind in (Year("d"), IsoWeek("d"), FiscalYear("d", (4, 1))):
            written = Joined(*kind.expressions(F("d"), zoned=False))
            (text,) = rows.values_list(written, flat=True)
            assert text == (kind.text(date(2026, 4, 1)) if "-" in stored else None)


@pytest.mark.parametrize("period", [Year("d"), IsoWeek("d"), BOTH, FiscalYear("d", by=thirteen)])
@pytest.mark.parametrize(
    "day", [datetime(2026, 4, 1), datetime(2026, 4, 1, tzinfo=UTC), "2026-04-01", None]
)
def test_moments_are_no_days(period: Period, day: Any) -> None:
    """The day of a moment depends on the time zone, so it isn't guessed."""
    for of in (period.text, period.range):
        with pytest.raises(TypeError, match="must be a date"):
            of(day)


def test_refused_in_a_field() -> None:
    """A constraint can't be of a period."""
    with pytest.raises(TypeError, match="put periods into scope"):
        SequenceField(unique_with=[Year("d")])


def test_names_that_are_no_text() -> None:
    """A function names years by text."""
    with pytest.raises(TypeError, match="name of a year"):
        FiscalYear("d", by=lambda day: day.year).text(date(2026, 1, 1))  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("value", [date(2026, 4, 1), "2026-04-01", "2026-4-1"])
def test_one_counter(value: Any, using: str) -> None:
    """A date as text leads to the counter of the date, on every path; what is read back, too."""
    company = Company.objects.using(using).create(pk=7)
    bills = Bill.objects.using(using)
    bills.create(issued_on=date(2027, 3, 31), company=company)
    assert bills.create(issued_on=value, company=company).number == 2
    (bulk,) = bills.bulk_create([Bill(issued_on=value, company=company)])
    assert bulk.number == 3
    read: Any = bills.order_by("number").last()
    assert bills.create(issued_on=read.issued_on, company=company).number == 4
    assert get_last_value("bills.7.2026", using=using) == 4
    assert set(bills.values_list("issued_on", flat=True)) == {date(2026, 4, 1), date(2027, 3, 31)}


def test_only_a_period(using: str) -> None:
    """A scope that is one period, by date, and nothing else."""
    fields: dict[str, Any] = {
        "d": models.DateField(null=True),
        "number": SequenceField("s", scope=IsoWeek("d"), null=True),
    }
    with letters(using, **fields) as rows:
        days = [date(2027, 1, 3), "2027-01-01", date(2027, 1, 4), None]
        assert [rows.create(d=day).number for day in days] == [1, 2, 1, None]
        assert [row.number for row in rows.bulk_create(rows.model(d=day) for day in days)] == [
            3, 4, 2, None,
        ]  # fmt: skip
        with pytest.raises(ValueError, match="must be known before the INSERT"):
            rows.create(d=Now())


def test_moments(using: str) -> None:
    """The year of a moment is the one in the zone that was declared, however the moment is said."""
    dispatches = Dispatch.objects.using(using)
    new_year = datetime(2026, 12, 31, 11, 0, tzinfo=UTC)  # in Auckland
    moments: list[Any] = [
        new_year - timedelta(microseconds=1),
        new_year,
        new_year.astimezone(ZoneInfo("America/New_York")),
        "2026-12-31T23:30:00Z",
        "2027-01-01 00:30:00+13:00",
    ]
    made = [dispatches.create(sent_at=moment) for moment in moments]
    assert [row.ref for row in made] == [
        "D2026-00001", "D2027-00001", "D2027-00002", "D2027-00003", "D2027-00004",
    ]  # fmt: skip
    bulk = dispatches.bulk_create(Dispatch(sent_at=moment) for moment in moments)
    assert [row.no for row in bulk] == [2, 5, 6, 7, 8]
    with timezone.override("Asia/Tokyo"):
        assert dispatches.create(sent_at=dispatches.get(no=1, ref__contains="2026").sent_at).no == 3


@pytest.mark.parametrize(
    "moment", [datetime(2026, 12, 31, 23, 30), "2026-12-31 23:30", date(2026, 12, 31), "2026-12-31"]
)
def test_naive_moments(using: str, moment: Any) -> None:
    """A moment without a zone, whose year could be either, is refused before anything is taken."""
    dispatches = Dispatch.objects.using(using)
    for save in (
        lambda: dispatches.create(sent_at=moment),
        lambda: dispatches.bulk_create([Dispatch(sent_at=moment)]),
    ):
        with pytest.raises(ValueError, match="without a time zone"):
            save()
    assert not dispatches.exists()
    assert get_last_value("dispatches.2026", using=using) is None


@pytest.mark.parametrize("reuse", ["gaps", "last"])
@pytest.mark.parametrize("moments", [False, True])
def test_reuse(using: str, reuse: str, moments: bool) -> None:
    """The rows of a counter are those of its period, found by a range of the column."""
    tz = "America/New_York" if moments else None
    fields: dict[str, Any] = {
        "d": models.DateTimeField() if moments else models.DateField(),
        "number": SequenceField("s", scope=Year("d", tz=tz), reuse=reuse),
    }
    last, first = date(2026, 12, 31), date(2027, 1, 1)
    if moments:
        last = datetime(2027, 1, 1, 4, 59, 59, tzinfo=UTC)
        first = datetime(2027, 1, 1, 5, tzinfo=UTC)
    with letters(using, **fields) as rows:
        made = [rows.create(d=day) for day in (last, first, last, first, last)]
        assert [row.number for row in made] == [1, 1, 2, 2, 3]
        made[2].delete()
        made[3].delete()
        field: Any = rows.model._meta.get_field("number")
        alike = field.rows_of(made[0], using)
        assert set(alike.values_list("pk", flat=True)) == {made[0].pk, made[4].pk}
        expected = [2, 4] if reuse == "gaps" else [4, 5]
        assert [rows.create(d=last).number for _ in range(2)] == expected
        assert rows.create(d=first).number == 2
        assert field.preview(rows.model(d=first), using) == 3


def test_skip_used(using: str) -> None:
    """Numbers of rows of the same period only are skipped."""
    fields: dict[str, Any] = {
        "d": models.DateField(),
        "number": SequenceField("s", scope=Month("d"), skip_used=True),
    }
    with letters(using, **fields) as rows:
        rows.create(d="2026-01-31")
        rows.create(d="2026-02-01")
        rows.filter(d="2026-01-31").update(number=2)
        assert rows.create(d="2026-01-01").number == 3
        assert rows.create(d="2026-02-28").number == 2


def april(day: date) -> str:
    return f"{day.year - (day < date(day.year, 4, 1))}"


ODD = ["2026-1-5", "2026-1-05", "2026-01-5", "2026-01-05", "2026-1-31", "2026-2-1", "2026-04-1"]
ODD += ["2026-4-10", "2026-10-1", "2026-12-31", "2025-12-9", "2025-1-5", "2027-1-1", "9999-12-9"]
"""Dates as other programs write them to SQLite; Django reads all of them."""

ODD_SCOPES = [
    *("d", Day("d"), IsoWeek("d"), Month("d"), Quarter("d"), Year("d")),
    *(FiscalYear("d", (4, 1)), pytest.param(FiscalYear("d", by=april), id="april")),
]


@pytest.mark.parametrize("options", [{}, {"reuse": "gaps"}], ids=str)
@pytest.mark.parametrize("scope", ODD_SCOPES, ids=repr)
def test_rows_with_dates_of_other_programs(scope: Any, options: dict[str, Any], using: str) -> None:
    """They belong to the counter of the date, are numbered, and are found by reuse and others."""
    if connections[using].vendor != "sqlite":
        return
    number = SequenceField("s", scope=scope, null=True, **options)
    with letters(using, d=models.DateField(), number=number) as rows:
        with connections[using].cursor() as cursor:
            for stored in ODD:
                cursor.execute("INSERT INTO numbered_letter (d) VALUES (%s)", [stored])
        done = assign_numbers(rows.all())
        assert (done.rows, done.skipped) == (len(ODD), 0)
        alike: dict[Any, list[Any]] = {}
        for row in rows.order_by("number"):
            alike.setdefault(number.counter_of(row, using), []).append(row)
        for together in alike.values():
            assert [row.number for row in together] == list(range(1, len(together) + 1))
            for row in together:
                assert list(number.rows_of(row, using).order_by("number")) == together
            assert rows.create(d=together[0].d).number == len(together) + 1


def texts_for(day: date) -> set[str]:
    """All texts that Django reads as this day."""
    months, days = ({f"{n:02d}", f"{n}"} for n in (day.month, day.day))
    return {f"{day.year:04d}-{month}-{of_month}" for month in months for of_month in days}


FOUR_YEARS = st.dates(date(2025, 1, 1), date(2028, 12, 31))


@given(FOUR_YEARS, FOUR_YEARS, st.booleans())
def test_texts_of_days(one: date, other: date, whole: bool) -> None:
    """They are the texts of all days from the first to the last, and of no others."""
    first, last = sorted((one, other))
    if whole:  # months
        first, last = first.replace(day=1), last.replace(day=1) + timedelta(31)
        last = last.replace(day=1) - timedelta(1)
    ranges, texts = texts_of_days(first, last)
    for n in range(4 * 366):
        for text in texts_for(day := date(2025, 1, 1) + timedelta(n)):
            found = text in texts or any(start <= text < end for start, end in ranges)
            assert found == (first <= day <= last), text


def test_a_path_to_a_date_of_another_program(using: str) -> None:
    """The date of a related row is found as well."""
    if connections[using].vendor != "sqlite":
        return
    company = Company.objects.using(using).create()
    bills = [
        Bill.objects.using(using).create(company=company, issued_on=day)
        for day in ("2026-01-05", "2026-01-20")
    ]
    with connections[using].cursor() as cursor:
        cursor.execute(
            "UPDATE numbered_bill SET issued_on = '2026-1-5' WHERE id = %s", [bills[0].pk]
        )
    fields: dict[str, Any] = {
        "bill": models.ForeignKey(Bill, models.CASCADE, related_name="+"),
        "number": SequenceField("s", scope=Month("bill__issued_on"), reuse="gaps"),
    }
    with letters(using, **fields) as rows:
        assert [rows.create(bill=bill).number for bill in bills] == [1, 2]


def test_period_of_a_path(using: str) -> None:
    """The date can be another row's; it is looked up, and so are the rows of the period."""
    company = Company.objects.using(using).create()
    bills = [
        Bill.objects.using(using).create(company=company, issued_on=day)
        for day in ("2026-01-01", "2026-12-31", "2027-01-01")
    ]
    fields: dict[str, Any] = {
        "bill": models.ForeignKey(Bill, models.CASCADE, related_name="+"),
        "number": SequenceField("s", scope=Year("bill__issued_on"), reuse="gaps"),
    }
    with letters(using, **fields) as rows:
        assert [rows.create(bill=bill).number for bill in bills] == [1, 2, 1]
        rows.filter(bill=bills[0]).delete()
        bills[1].issued_on = date(2030, 1, 1)  # not saved
        assert rows.create(bill=bills[1]).number == 1


def test_range_as_condition(using: str) -> None:
    """The lookups of a period choose its rows in any query."""
    company = Company.objects.using(using).create()
    days = [date(2026, 3, 31), date(2026, 4, 1), date(2027, 3, 31), date(2027, 4, 1)]
    bills = Bill.objects.using(using)
    bills.bulk_create(Bill(issued_on=day, company=company) for day in days)
    year = FiscalYear("issued_on", (4, 1))
    found = bills.filter(Q(**year.rows_alike("2026-12-01", "issued_on")))
    assert sorted(found.values_list("issued_on", flat=True)) == days[1:3]
    last = bills.filter(**Year("issued_on").rows_alike("9999-12-31", "issued_on"))
    assert not last.exists()


@pytest.mark.parametrize(
    "zone",
    ["Pacific/Auckland", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Asia/Kathmandu"],
)
@given(moment=st.datetimes(datetime(1985, 1, 1), datetime(2035, 1, 1)), hours=st.integers(-50, 50))
def test_range_of_moments(zone: str, moment: datetime, hours: int) -> None:
    """The range has the moments of the same text, also where midnight or a whole day is missing."""
    one = moment.replace(tzinfo=UTC)
    other = one + timedelta(hours=hours)
    for period in (Day("d", tz=zone), IsoWeek("d", tz=zone), Year("d", tz=zone)):
        bounds = period.rows_alike(str(one), "d")
        within = bounds["d__gte"] <= other < bounds["d__lt"]
        alike = period.text_of_stored(str(other)) == period.text_of_stored(str(one))
        assert within == alike


def test_without_time_zones(settings: Any) -> None:
    """Without USE_TZ, datetimes are in the time zone of the settings."""
    settings.USE_TZ = False
    settings.TIME_ZONE = "UTC"
    year = Year("d", tz="Pacific/Auckland")
    assert year.text_of_stored("2026-12-31 23:30:00") == "2027"
    bounds = year.rows_alike("2026-12-31 23:30:00", "d")
    assert bounds == {"d__gte": datetime(2026, 12, 31, 11), "d__lt": datetime(2027, 12, 31, 11)}
