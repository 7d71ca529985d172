"""The text of a number is set together with it, on every path."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.core import serializers
from django.db import IntegrityError, models, transaction
from django.db.models import F, Value, signals
from django.test.utils import isolate_apps
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.texts import FormattedNumberField

from sequences_core import NextValue, get_last_value
from tests.numbered.blocks import (
    MODES,
    atomic_if,
    letters,
    model_with,
    rolled_back,
    statements,
    tables,
    together,
)
from tests.numbered.models import Bill, Company, Dispatch

APPS = ["tests.numbered"]

SPRING, WINTER = date(2026, 4, 1), date(2026, 3, 31)
"""The first day of a fiscal year, and the last of the one before."""


@pytest.fixture
def company(using: str) -> Company:
    return Company.objects.using(using).create(pk=7, name="acme")


@pytest.fixture
def bills(using: str) -> Any:
    return Bill.objects.using(using)


def stored(bills: Any) -> list[tuple[Any, Any]]:
    """What the database has: numbers and texts."""
    return sorted(bills.values_list("number", "text"), key=str)


@pytest.mark.parametrize("mode", MODES)
def test_create(bills: Any, company: Company, using: str, mode: str) -> None:
    """The INSERT stores both, and the instance has both."""
    with atomic_if(MODES[mode], using):
        made = [bills.create(company=company, issued_on=day) for day in (SPRING, WINTER, SPRING)]
    assert [bill.text for bill in made] == ["B7/2026-0001", "B7/2025-0001", "B7/2026-0002"]
    for bill in made:
        assert bills.get(pk=bill.pk).text == bill.text
        assert bill.number == Bill._meta.get_field("text").parse(bill.text).number


def test_text_before_number(using: str) -> None:
    """The order of the columns doesn't matter, and the year is the one in Auckland."""
    sent = Dispatch.objects.using(using).create(sent_at=datetime(2026, 12, 31, 23, 30, tzinfo=UTC))
    sent.refresh_from_db()
    assert (sent.no, sent.ref) == (1, "D2027-00001")


def test_bulk_create(bills: Any, company: Company, using: str) -> None:
    """Rows of several counters and an explicit number, in two batches."""
    days = [SPRING, WINTER, SPRING, WINTER, SPRING]
    made = [Bill(company=company, issued_on=day) for day in days]
    made[2].number = 5
    bills.bulk_create(made, batch_size=2)
    assert [bill.text for bill in made] == [
        "B7/2026-0006", "B7/2025-0001", "B7/2026-0005", "B7/2025-0002", "B7/2026-0007",
    ]  # fmt: skip
    assert stored(bills) == sorted(((bill.number, bill.text) for bill in made), key=str)


def test_no_number_no_text(bills: Any, company: Company) -> None:
    """A null in the scope is "no number", and so no text, alone and among others."""
    assert bills.create(issued_on=SPRING).text is None
    drafts = [Bill(issued_on=SPRING), Bill(issued_on=SPRING, company=company)]
    bills.bulk_create(drafts)
    assert [bill.text for bill in drafts] == [None, "B7/2026-0001"]
    assert stored(bills) == [(1, "B7/2026-0001"), (None, None), (None, None)]


def test_explicit(bills: Any, company: Company) -> None:
    """An explicit number has its text; an explicit text is kept, if it comes with a number."""
    assert bills.create(issued_on=SPRING, company=company, number="12345").text == "B7/2026-12345"
    old = bills.create(issued_on=SPRING, company=company, number=3, text="OLD-3")
    assert bills.get(pk=old.pk).text == "OLD-3"
    with pytest.raises(ValueError, match="has no number"):
        bills.create(issued_on=SPRING, company=company, text="OLD-4")
    assert bills.count() == 2


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"number": 1}, "null or empty"),
        ({"number": -1, "company_id": 7}, "negative"),
        ({"number": NextValue("x"), "company_id": 7}, "only the database knows"),
        ({"company_id": 7, "issued_on": Value(SPRING)}, "must be known before"),
    ],
)
def test_refused(
    bills: Any, company: Company, using: str, values: dict[str, Any], match: str
) -> None:
    """What can't be written is refused before anything is taken or stored."""
    bad = Bill(**{"issued_on": SPRING, **values})
    for save in (lambda: bad.save(using=using), lambda: bills.bulk_create([bad])):
        with pytest.raises(ValueError, match=match), statements(using, {"": 0}):
            save()
        assert bad.text is None
    assert stored(bills) == []
    assert get_last_value("bills.7.2026", using=using) is None


@pytest.mark.parametrize("mode", MODES)
def test_taken_back(bills: Any, company: Company, using: str, mode: str) -> None:
    """A save that fails takes the text back with the number."""
    bills.create(issued_on=SPRING, company=company, sheet=1)
    one, two = (Bill(issued_on=SPRING, company=company, sheet=1) for _ in range(2))
    with atomic_if(MODES[mode], using):
        with pytest.raises(IntegrityError), transaction.atomic(using=using, savepoint=True):
            one.save(using=using)
        with pytest.raises(IntegrityError), transaction.atomic(using=using, savepoint=True):
            bills.bulk_create([two])
    assert [(bill.number, bill.text) for bill in (one, two)] == [(None, None)] * 2
    one.sheet = 2
    one.save(using=using)
    assert one.text == "B7/2026-0002"


@pytest.mark.parametrize("how", ["loaded", "saved", "copied"])
def test_copies(bills: Any, company: Company, using: str, how: str) -> None:
    """A copy gets a number of its own, and the text of that."""
    bill = bills.create(issued_on=SPRING, company=company)
    if how == "loaded":
        bill = bills.get(pk=bill.pk)
    if how == "copied":
        bill = copy.copy(bill)
    bill.pk, bill._state.adding = None, True
    bill.save(using=using)
    assert (bill.number, bill.text) == (2, "B7/2026-0002")
    bill.pk, bill._state.adding, bill.number = None, True, 9
    bills.bulk_create([bill])
    assert (bill.number, bill.text) == (9, "B7/2026-0009")
    bill.pk, bill._state.adding, bill.company = None, True, None
    bill.save(using=using)
    assert (bill.number, bill.text) == (None, None)


def test_the_same_row_again(bills: Any, company: Company, using: str) -> None:
    """A loaded row that was deleted meanwhile keeps number and text."""
    bills.create(issued_on=SPRING, company=company, number=3, text="OLD-3")
    loaded = bills.get(text="OLD-3")
    bills.filter(pk=loaded.pk).delete()
    loaded.save(using=using)
    assert stored(bills) == [(3, "OLD-3")]


def test_saved_again(bills: Any, company: Company, using: str) -> None:
    """An update leaves the text as it was issued, and another format changes no row."""
    bills.create(issued_on=SPRING, company=company, number=3, text="OLD-3")
    for bill in (bills.get(), bills.only("sheet").get(), bills.defer("text").get()):
        bill.issued_on, bill.sheet = WINTER, 1
        bill.save()
        assert stored(bills) == [(3, "OLD-3")]


@pytest.mark.parametrize("model", [Bill, Dispatch])
def test_number_changed_by_hand(model: Any, company: Company, using: str) -> None:
    """The text follows a number that an update changes, whichever column comes first."""
    if model is Bill:
        row: Any = Bill(issued_on=SPRING, company=company)
        number, text = "number", "text"
        expected = "B7/2026-{:04d}"
    else:
        row = Dispatch(sent_at=datetime(2026, 1, 5, tzinfo=UTC))
        number, text = "no", "ref"
        expected = "D2026-{:05d}"
    row.save(using=using)
    for value in (8, "9", 10):
        setattr(row, number, value)
        row.save()
        assert getattr(row, text) == expected.format(int(value))
        row = model.objects.using(using).get(pk=row.pk)
        assert getattr(row, text) == expected.format(int(value))
    setattr(row, text, "by hand")
    setattr(row, number, 11)
    row.save()
    assert getattr(model.objects.using(using).get(), text) == "by hand"
    if model is Bill:
        row.number = None
        row.save()
        row.text = None
        row.save()
        row.number = 12
        row.save()
        assert stored(model.objects.using(using)) == [(12, "B7/2026-0012")]
        row.number = F("number") + 1
        with pytest.raises(ValueError, match="only the database knows"):
            row.save()


@pytest.mark.parametrize("mode", MODES)
def test_an_update_that_fails(using: str, mode: str) -> None:
    """The text is as before, and the explicit number counts as explicit in the next save."""
    with letters(
        using,
        kind=models.CharField(max_length=9),
        number=SequenceField("s", scope="kind"),
        text=FormattedNumberField(NumberFormat("{kind}-{number}"), max_length=99),
    ) as rows:
        rows.create(kind="a")
        row = rows.create(kind="a")
        row.number = 1
        with pytest.raises(IntegrityError), atomic_if(MODES[mode], using):
            row.save()
        assert (row.number, row.text) == (1, "a-2")
        row.kind = "b"
        row.save()
        assert (row.number, row.text) == (1, "b-1")


def test_row_that_exists_made_by_hand(bills: Any, company: Company, using: str) -> None:
    """An UPDATE by an instance that was never loaded writes the text as well."""
    bill = bills.create(issued_on=SPRING, company=company)
    again = Bill(pk=bill.pk, issued_on=SPRING, company=company, number=4)
    again.save(using=using)
    assert stored(bills) == [(4, "B7/2026-0004")]
    new = Bill(pk=bill.pk + 1, issued_on=SPRING, company=company, number=5)
    new.save(using=using)
    assert (new.text, bills.get(pk=new.pk).text) == ("B7/2026-0005",) * 2


def test_loaddata(bills: Any, company: Company, using: str) -> None:
    """A fixture is stored as it is."""
    fixture = serializers.serialize("json", [Bill(pk=1, issued_on=SPRING, number=4, text="X")])
    for loaded in serializers.deserialize("json", fixture, using=using):
        loaded.save(using=using)
    assert stored(bills) == [(4, "X")]


def test_path_in_the_text(using: str, company: Company) -> None:
    """The end of a path is looked up, by one query for all rows; no cached relation counts."""
    other = Company.objects.using(using).create(pk=8, name="other")
    written = NumberFormat("{company.name}-{number}")
    fields: dict[str, Any] = {
        "company": models.ForeignKey(Company, models.CASCADE, related_name="+"),
        "number": SequenceField("s"),
        "text": FormattedNumberField(written, max_length=80),
    }
    with letters(using, **fields) as rows:
        company.name = "not saved"
        assert rows.create(company=company).text == "acme-1"
        made = [rows.model(company=each) for each in (company, other, company)]
        with statements(using, {"": 5}):
            rows.bulk_create(made)
        assert [row.text for row in made] == ["acme-2", "other-3", "acme-4"]


def test_too_long_for_the_column(using: str) -> None:
    """A text that the column can't hold is an error before the INSERT, on every database."""
    fields: dict[str, Any] = {
        "number": SequenceField("s"),
        "text": FormattedNumberField(NumberFormat("{number:04d}"), max_length=5),
    }
    with letters(using, **fields) as rows:
        assert rows.create(number=99999).text == "99999"
        with pytest.raises(ValueError, match="5 characters"):
            rows.create()
        assert get_last_value("s", using=using) == 99999
        assert rows.create(number=7).text == "0007"


def test_preview(bills: Any, company: Company, using: str) -> None:
    """What would be next, and that of the instance itself if it has one; nothing is taken."""
    number: Any = Bill.number
    text: Any = Bill.text
    draft = Bill(issued_on=SPRING, company=company)
    assert (number.preview(draft, using), text.preview(draft, using)) == (1, "B7/2026-0001")
    bill = bills.create(issued_on=SPRING, company=company)
    assert (number.preview(draft, using), text.preview(draft, using)) == (2, "B7/2026-0002")
    assert (number.preview(bill), text.preview(bill)) == (1, "B7/2026-0001")
    assert Bill._meta.get_field("text").preview(draft, using) == "B7/2026-0002"
    bill.pk, bill._state.adding = None, True
    assert (number.preview(bill), text.preview(bill)) == (2, "B7/2026-0002")
    draft.company = None
    assert (number.preview(draft, using), text.preview(draft, using)) == (None, None)
    draft.company, draft.number = company, 9
    assert (number.preview(draft, using), text.preview(draft, using)) == (9, "B7/2026-0009")
    assert get_last_value("bills.7.2026", using=using) == 1
    with pytest.raises(TypeError, match="not an instance of the model"):
        number.preview(company, using)
    assert draft.text is None


@pytest.mark.parametrize("bulk", [False, True])
def test_at_once(bills: Any, company: Company, using: str, bulk: bool) -> None:
    """Writers of two counters at once: each row has the text of its number, 1 to n, none twice."""
    days = (SPRING, WINTER)

    def write() -> None:
        for turn in range(10):
            made = [Bill(issued_on=day, company=company) for day in (days[turn % 2], *days)]
            if bulk:
                bills.bulk_create(made)
            else:
                for bill in made:
                    bill.save(using=using)

    together([write] * 4, using)
    for day, year in zip(days, (2026, 2025), strict=True):
        rows = bills.filter(issued_on=day).values_list("number", "text").order_by("number")
        assert list(rows) == [(n, f"B7/{year}-{n:04d}") for n in range(1, 61)]
        assert get_last_value(f"bills.7.{year}", using=using) == 60


def test_history(using: str) -> None:
    """A copy of the field, as packages that keep history have it, stores what it is given."""
    number: Any = copy.copy(Bill._meta.get_field("number"))
    text: Any = copy.copy(Bill._meta.get_field("text"))
    text._unique = False
    for field in (number, text):  # packages copy fields before anybody has used them
        vars(field).pop("cached_col", None)
    with letters(using, number=number, text=text) as rows:
        rows.create(number=5, text="old")
        rows.bulk_create([rows.model(number=5, text="old"), rows.model()])
        changed = rows.filter(number=5).first()
        changed.number = 6
        changed.save()
        found = sorted(rows.values_list("number", "text"), key=str)
        assert found == [(5, "old"), (6, "old"), (None, None)]
        assert rows.model.check() == []


def test_rollback_of_the_transaction(bills: Any, company: Company, using: str) -> None:
    """What was rolled back is numbered and written anew, and the text is that of the number."""
    bill = Bill(issued_on=SPRING, company=company)
    with rolled_back(using):
        bill.save(using=using)
    bills.create(issued_on=SPRING, company=company)
    bill.pk, bill._state.adding = None, True
    bill.save(using=using)
    assert stored(bills) == [(1, "B7/2026-0001"), (2, "B7/2026-0002")]


@pytest.mark.parametrize("attname", [False, True])
def test_an_update_of_the_number_alone(
    attname: bool, bills: Any, company: Company, using: str
) -> None:
    """save(update_fields=["number"]) stores the text of a changed number, and no other field."""
    bills.create(issued_on=SPRING, company=company)
    row = bills.get()
    bills.update(text="by hand")
    row.number, row.issued_on = 1, WINTER
    row.save(update_fields=["number"])  # not changed
    assert stored(bills) == [(1, "by hand")]
    row.number = 8
    row.save(update_fields=["number"] if attname else iter({"number"}))
    assert stored(bills) == [(8, row.text)]
    assert row.text == "B7/2026-0008"  # of the date that is stored
    assert bills.get().issued_on == SPRING
    only = bills.only("number").get()
    only.number = 9
    only.save()
    assert stored(bills) == [(9, "B7/2026-0009")]
    only.number, only.text = 10, "ten"
    only.save(update_fields=["number"])
    assert stored(bills) == [(10, "ten")]


def refuse(**kwargs: Any) -> None:
    raise RuntimeError("no paper")


@pytest.mark.parametrize("inherited", [False, True])
def test_a_handler_that_fails_after_an_update(inherited: bool, using: str) -> None:
    """What a post_save handler raises comes after the commit: the instance has what is stored."""
    with isolate_apps("tests.numbered"):
        fields: dict[str, Any] = {
            "posted": models.BooleanField(default=False),
            "number": SequenceField("s"),
            "text": FormattedNumberField(NumberFormat("N{number}"), max_length=99),
            "no": SequenceField("t", when="posted", unique=True),
        }
        models_ = [model_with(**fields)]
        if inherited:
            meta = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "numbered"})}
            models_.append(type("Child", (models_[0],), meta))
    with tables(using, *models_):
        rows = models_[-1].objects.using(using)
        signals.post_save.connect(refuse, sender=models_[-1])
        try:
            row = models_[-1](posted=True)
            with pytest.raises(RuntimeError, match="no paper"):
                row.save(using=using)
            assert (row.number, row.text, row.no) == (1, "N1", 1)
            row = models_[-1]()
            with pytest.raises(RuntimeError, match="no paper"):
                row.save(using=using)
            row.number, row.posted = 7, True
            with pytest.raises(RuntimeError, match="no paper"):
                row.save()
            assert (row.number, row.text, row.no) == (7, "N7", 2)
            assert list(rows.filter(pk=row.pk).values_list("number", "text", "no")) == [
                (7, "N7", 2)
            ]
        finally:
            signals.post_save.disconnect(refuse, sender=models_[-1])


@pytest.mark.parametrize("signal", ["pre_save", "post_save"])
def test_a_handler_that_saves_the_instance_again(signal: str, using: str) -> None:
    """It saves the number and the text as they are then; a failure undoes the text alone."""
    with letters(
        using,
        kind=models.CharField(max_length=9, default="a"),
        note=models.CharField(max_length=9, null=True, unique=True),
        number=SequenceField("s", scope="kind"),
        text=FormattedNumberField(NumberFormat("{kind}-{number}"), max_length=99),
    ) as rows:
        rows.create(note="taken")
        row = rows.create()

        def again(instance: Any, update_fields: Any, **kwargs: Any) -> None:
            if update_fields is None:
                instance.save(update_fields=["kind"])

        getattr(signals, signal).connect(again, sender=rows.model)
        try:
            row.number, row.note = 8, "taken"
            with pytest.raises(IntegrityError):
                row.save()
            assert (row.number, row.text) == (8, "a-2")
            row.note = None
            row.save()
            assert row.text == "a-8"
            assert (8, "a-8") in stored(rows)
        finally:
            getattr(signals, signal).disconnect(again, sender=rows.model)
