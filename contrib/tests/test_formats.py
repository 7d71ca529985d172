"""How numbers are written and read, in Python and in the databases."""

from __future__ import annotations

import functools
import itertools
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import NotSupportedError, connections, models
from django.db.models import F
from django.test.utils import isolate_apps
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from sequences_contrib import languages
from sequences_contrib.affixes import affixes_of
from sequences_contrib.formats import NumberFormat
from sequences_contrib.periods import Day, FiscalYear, IsoWeek, Month, Quarter, Year

from tests.numbered.blocks import letters, model_with, rolled_back, tables
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
    affixes = affixes_of(written.pieces, found := list(rows.all()), connections[rows.db])
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
@example(values=[{"issued_on": EDGES[0], "number": 0, "branch": 0, "note": "\x1f"}])
@example(values=[{"issued_on": EDGES[0], "number": 0, "branch": 0, "note": "  "}])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_sql_and_parse(bills: Any, using: str, values: list[dict[str, Any]]) -> None:
    """For all values, SQL gives the same text as Python, and parse() reads it."""
    with rolled_back(using):
        company = Company.objects.using(using).create(name=values[0]["note"])
        bills.bulk_create(bills.model(company=company, **row) for row in values)
        for written in FORMATS:
            assert_alike(bills, written)


@pytest.mark.parametrize(
    ("template", "options", "error"),
    [
        (7, {}, TypeError),
        ("{number}", {"year": "issued_on"}, TypeError),
        ("{number}", {"tz": "Nowhere"}, ValueError),
        ("", {}, ValueError),
        ("INV", {}, ValueError),
        ("a\0-{number}", {}, ValueError),
        ("{number}\ud800", {}, ValueError),
        ("{number}-{number}", {}, ValueError),
        ("{number", {}, ValueError),
        ("number}", {}, ValueError),
        ("{}-{number}", {}, ValueError),
        ("{0}-{number}", {}, ValueError),
        ("{a[0]}-{number}", {}, ValueError),
        ("{a.}-{number}", {}, ValueError),
        ("{a b}-{number}", {}, ValueError),
        ("{number!r}", {}, ValueError),
        ("{number:5d}", {}, ValueError),
        ("{number:,}", {}, ValueError),
        ("{number:0100d}", {}, ValueError),
        ("{number:%Y}", {}, ValueError),
        ("{number:{width}}", {}, ValueError),
        ("{number:x}", {}, ValueError),
        ("{code:>5}-{number}", {}, ValueError),
        ("{day:%A}-{number}", {}, ValueError),
        ("{day:%H}-{number}", {}, ValueError),
        ("{day:%%}-{number}", {}, ValueError),
        ("{day:%Y%}-{number}", {}, ValueError),
        ("{year:%y}-{number}", {"year": Year("day")}, ValueError),
        ("{number}", {"year": Year("day")}, ValueError),
        ("{number}", {"number": Year("day")}, ValueError),
        ("{branch}{number}", {}, ValueError),
        ("{branch}0{number}", {}, ValueError),
        ("{number:05d}{branch:03d}", {}, ValueError),
        ("{branch}{day:%Y}{number:02d}", {}, ValueError),
    ],
)
def test_refused(template: Any, options: Any, error: type[Exception]) -> None:
    """A format that is invalid for every model is refused by its constructor."""
    with pytest.raises(error):
        NumberFormat(template, **options)


@pytest.mark.parametrize(
    "template",
    [
        "{number}{day:%Y}",
        "{day:%Y}{number}",
        "{branch}-{number:05d}x",
        "{{{number}}}",
        "{number:d}",
    ],
)
def test_accepted(template: str) -> None:
    """Pieces of a known length need nothing between them."""
    assert NumberFormat(template).template == template


@pytest.mark.parametrize(
    "text",
    [
        "",
        "INV-2026-",
        "INV-2026-0042",
        "INV-2026-000042",
        "INV-26-00042",
        "inv-2026-00042",
        "INV-2026-00042 ",
        " INV-2026-00042",
        "INV-2026-00042\n",
        "INV-2026-\u0660\u0660\u0660\u0660\u0661",
        "INV-2026--0042",
        f"INV-2026-{2**63}",
        "INV-2026-" + "9" * 30,
    ],
)
def test_text_of_another_format(text: str) -> None:
    """parse() refuses texts that the format can't produce."""
    with pytest.raises(ValueError, match="is not a number of the format"):
        NumberFormat("INV-{issued_on:%Y}-{number:05d}").parse(text)


@pytest.mark.parametrize("digits", [20, 100, 5000])
def test_parse_of_too_many_digits(digits: int) -> None:
    """However long the text is, the error is of one kind, and short."""
    with pytest.raises(ValueError, match="is not a number of the format") as caught:
        NumberFormat("INV-{number}").parse("INV-" + "9" * digits)
    assert len(str(caught.value)) < 200


def test_parse_needs_the_model() -> None:
    """If only the model shows that a field has no separator, parse() needs the model."""
    written = NumberFormat("{branch}-{note}-{number}")
    with pytest.raises(ValueError, match="without the model"):
        written.parse("1-A-B-3")
    parsed = written.parse("1-A-B-3", bill_model())
    assert parsed == (3, {"branch": "1", "note": "A-B"})


@pytest.mark.parametrize(
    ("written", "row"),
    [
        ("{issued_on:%Y}-{number}", {"issued_on": None}),
        ("{note}-{number}", {"note": ""}),
        ("{company.name}-{number}", {}),
        ("{branch:03d}-{number}", {"branch": None}),
    ],
)
def test_null(bills: Any, using: str, written: str, row: Any) -> None:
    """A null or empty field raises an error in Python, and gives null in SQL."""
    bill = bills.model(number=1, **row)
    if row.get("branch", 0) is not None:
        bill.save(using=using)
        assert bills.annotate(found=NumberFormat(written).expression()).get().found is None
    with pytest.raises(ValueError, match="null or empty"):
        NumberFormat(written).format(bill, using=using)


@pytest.mark.parametrize("number", [None, "1", 1.0, True])
def test_no_number(number: Any) -> None:
    """format() takes an int, as all functions do."""
    with pytest.raises(TypeError):
        NumberFormat("{number}").format(bill_model()(number=number))


def test_negative() -> None:
    """Negative numbers can't be padded with zeros."""
    row = bill_model()(number=-1, branch=-1)
    for written in ("{number:05d}", "{branch:02d}-{number}"):
        with pytest.raises(ValueError, match=r"negative|between 0"):
            NumberFormat(written).format(row)


def test_negative_in_sql(bills: Any) -> None:
    """The expression is null where format() raises an error because the number is negative."""
    for number in (-1, 0):
        bills.create(number=number)
    for template, text in (("N-{number}", "N-0"), ("N-{number:03d}", "N-000")):
        found = bills.order_by("pk").annotate(found=NumberFormat(template).expression())
        assert list(found.values_list("found", flat=True)) == [None, text]


def test_function_in_sql(bills: Any) -> None:
    """A period defined by a Python function has no database expression."""
    year = FiscalYear("issued_on", by=lambda day: "Y1")
    written = NumberFormat("{year}-{number}", year=year)
    assert written.format(bills.model(issued_on=EDGES[0], number=3)) == "Y1-3"
    with pytest.raises(NotSupportedError, match="can't call"):
        list(bills.annotate(found=written.expression()))


def test_moments_in_sql(using: str) -> None:
    """A moment's date is that in the zone of the format, where the database knows the zone."""
    fields: dict[str, Any] = {"at": models.DateTimeField(), "number": models.BigIntegerField()}
    knows = connections[using].features.has_zoneinfo_database
    with letters(using, **fields) as rows:
        row = rows.create(at=datetime(2026, 12, 31, 23, 30, tzinfo=UTC), number=1)
        for tz, text in (("UTC", "2026-12"), ("Pacific/Auckland", "2027-01")):
            written = NumberFormat("{at:%Y-%m}-{m}-{at:%y}-{number}", tz=tz, m=Month("at", tz=tz))
            expected = f"{text}-{text}-{text[2:4]}-1"
            assert written.format(row) == expected
            if tz == "UTC" or knows:
                assert rows.annotate(found=written.expression()).get().found == expected
            else:
                with pytest.raises(NotSupportedError, match="mysql_tzinfo_to_sql"):
                    list(rows.annotate(found=written.expression()))


ATOMS = st.builds(
    languages.Atom,
    st.sampled_from([frozenset("0"), frozenset("1"), frozenset("01"), None]),
    st.booleans(),
)
WORDS = st.lists(ATOMS, min_size=1, max_size=2).map(tuple)


def readings(pieces: Any, text: str) -> int:
    """Return in how many ways a text can be split into the pieces."""
    if not pieces:
        return not text
    (word, *_), *rest = pieces
    cuts = range(1, len(text) + 1)
    whole = compiled(word)
    return sum(readings(rest, text[cut:]) for cut in cuts if whole.fullmatch(text[:cut]))


@functools.cache
def compiled(word: Any) -> re.Pattern[str]:
    return re.compile(languages.pattern((word,)))


@given(pieces=st.lists(WORDS, min_size=1, max_size=2))
@settings(max_examples=150, deadline=None)
def test_ambiguity(pieces: Any) -> None:
    """is_ambiguous() is what trying all texts of two characters, up to eight of them, finds."""
    alone = [any(runs(word, text) > 1 for text in TEXTS) for word in pieces]
    assume(not any(alone))  # a word that can be read in two ways by itself is no piece
    expected = any(readings([(word,) for word in pieces], text) > 1 for text in TEXTS)
    assert languages.is_ambiguous([(word,) for word in pieces]) == expected


TEXTS = ["".join(each) for n in range(1, 9) for each in itertools.product("01", repeat=n)]


def runs(word: Any, text: str) -> int:
    """Return in how many ways the atoms of a word match the text."""
    return readings([((atom,),) for atom in word], text)
