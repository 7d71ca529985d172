"""Documents that are posted in order, with a text for their number, and protected from then on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connections, models
from django.test.utils import isolate_apps
from sequences_contrib.afterwards import renumber, void
from sequences_contrib.exceptions import NumberProtected, OutOfOrder
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.models import Void
from sequences_contrib.periods import Year
from sequences_contrib.posting import assign_numbers
from sequences_contrib.protection import ProtectNumbered
from sequences_contrib.texts import FormattedNumberField

from sequences_core import SequenceExhausted, get_last_value
from tests.numbered.blocks import MODES, atomic_if, tables, together

APPS = ["tests.numbered", "sequences_contrib"]

ORDER = ("issued_on", "pk")


def day(number: int) -> date:
    return date(2026, 1, 1) + timedelta(days=number)


def six(row: Any) -> int:
    return 6


@pytest.fixture(params=[6, six], ids=["fixed", "function"])
def maximum(request: pytest.FixtureRequest) -> Any:
    """The last number of each year."""
    return request.param


@pytest.fixture
def papers(using: str, maximum: Any) -> Iterator[Any]:
    """Papers that are numbered by year, in the order of their dates, when they are posted."""
    yearly = [Year("issued_on")]
    with isolate_apps("tests.numbered"):

        class Paper(ProtectNumbered):
            issued_on = models.DateField(null=True)
            posted = models.BooleanField(default=False)
            note = models.CharField(max_length=9, default="")
            number = SequenceField(
                "papers", scope=yearly, ascending="issued_on", when="posted", maximum=maximum
            )
            text = FormattedNumberField(
                NumberFormat("P-{issued_on:%Y}-{number}"), max_length=40, null=True
            )

            class Meta:
                app_label = "numbered"
                indexes = [models.Index(fields=["number", "issued_on"], name="papers")]

            def __str__(self) -> str:
                return f"{self.text}"

    with tables(using, Paper):
        yield Paper.objects.using(using)


def draft(papers: Any, days: int, **values: Any) -> Any:
    return papers.create(issued_on=day(days), **values)


def post(papers: Any, row: Any) -> None:
    row.posted = True
    row.save(using=papers.db)


def stored(papers: Any) -> list[tuple[str, int]]:
    rows = papers.exclude(number=None).order_by("issued_on", "number")
    return [(row.text, (row.issued_on - day(0)).days) for row in rows]


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
def test_posting_in_order(in_transaction: bool, papers: Any, using: str) -> None:
    """The date is checked when the number is taken, separately for each year."""
    late, first, last, next_year = (draft(papers, days) for days in (2, 1, 3, 370))
    with atomic_if(in_transaction, using):
        for row in (first, last, next_year):
            post(papers, row)
    with pytest.raises(OutOfOrder) as caught, atomic_if(in_transaction, using):
        post(papers, late)
    assert caught.value.last == day(3)
    assert (late.number, late.text) == (None, None)
    assert not papers.get(pk=late.pk).posted
    late.issued_on = day(3)
    post(papers, late)
    assert stored(papers) == [("P-2026-1", 1), ("P-2026-2", 3), ("P-2026-3", 3), ("P-2027-1", 370)]


def test_a_batch_in_order(papers: Any, using: str) -> None:
    """assign_numbers() keeps to the dates; one that is too early is named, and blocks its batch."""
    for days in (5, 2, 370, 4):
        draft(papers, days)
    papers.update(posted=True)
    waiting = papers.filter(number=None)
    assert assign_numbers(waiting, order_by=ORDER, locked="wait", batch_size=2).rows == 4
    assert stored(papers) == [("P-2026-1", 2), ("P-2026-2", 4), ("P-2026-3", 5), ("P-2027-1", 370)]
    early, _ = draft(papers, 3), draft(papers, 6)
    papers.filter(number=None).update(posted=True)
    with pytest.raises(OutOfOrder, match="2026-01-04") as caught:
        assign_numbers(papers.all(), order_by=ORDER, locked="wait")
    assert caught.value.row.pk == early.pk
    assert get_last_value("papers.2026", using=using) == 3
    assert len(stored(papers)) == 4
    papers.filter(pk=early.pk).delete()
    assert assign_numbers(papers.all(), order_by=ORDER, locked="wait").rows == 1


def test_the_order_has_to_agree(papers: Any) -> None:
    """Another order, or skipping locked rows, could break the order of dates, so it is refused."""
    for order in (("pk",), ("-issued_on", "pk"), ("posted", "issued_on", "pk")):
        with pytest.raises(ValueError, match="order_by must begin with 'issued_on'"):
            assign_numbers(papers.all(), order_by=order, locked="wait")
    with pytest.raises(ValueError, match="locked='wait'"):
        assign_numbers(papers.all(), order_by=ORDER)


def test_the_end_of_a_range(papers: Any, using: str) -> None:
    """A batch that would pass the maximum is not numbered; earlier batches are."""
    for days in range(9):
        draft(papers, days)
    papers.update(posted=True)
    with pytest.raises(SequenceExhausted, match="maximum 6"):
        assign_numbers(papers.all(), order_by=ORDER, locked="wait", batch_size=4)
    assert len(stored(papers)) == get_last_value("papers.2026", using=using) == 4
    rest = papers.filter(number=None).order_by("pk")
    for row in rest[:2]:
        post(papers, row)
    with pytest.raises(SequenceExhausted, match="would pass"):
        rest[0].__class__.number.preview(rest[0], using)
    with pytest.raises(SequenceExhausted, match="maximum 6"):
        post(papers, rest[0])


def test_a_text_goes_with_its_number(papers: Any, using: str) -> None:
    """A row that moves has the text of its new number; the old one is in the register."""
    row, _, gone = (draft(papers, days, posted=True) for days in (1, 366, 2))
    row.issued_on = day(370)
    assert renumber(row)
    assert (row.number, row.text) == (2, "P-2027-2")
    row.refresh_from_db()
    assert (row.number, row.text) == (2, "P-2027-2")
    void(gone, reason="", delete=True)
    traces = Void.objects.using(using).order_by("number").values_list("counter", "number", "text")
    assert list(traces) == [("papers.2026", 1, "P-2026-1"), ("papers.2026", 2, "P-2026-2")]
    draft(papers, -300, posted=True)
    row.issued_on = day(-301)
    with pytest.raises(OutOfOrder):
        renumber(row)
    assert (row.number, row.text) == (2, "P-2027-2")


def test_the_text_is_protected(papers: Any, using: str) -> None:
    """A posted document keeps its number and its text."""
    row = draft(papers, 1, posted=True)
    row.text = "P-2026-9"
    with pytest.raises(NumberProtected, match="text"):
        row.save(using=using)
    with pytest.raises(NumberProtected, match="text"):
        papers.update(text="")
    papers.update(note="x")
    row.refresh_from_db()
    row.posted = False  # the number is given all the same
    row.save(using=using)
    assert papers.get().text == "P-2026-1"


def test_posters_and_a_strict_worker(papers: Any, using: str) -> None:
    """People who post and edit single documents, and a worker that waits for them: no deadlock."""
    writers, each = 4, 6
    papers.model.number.field.maximum = None

    def people() -> None:
        for i in range(each):
            row = draft(papers, 0)
            if i % 2:
                post(papers, row)
            else:
                row.note = "edited"
                row.save(using=using)
                row.posted = True
                papers.filter(pk=row.pk).update(posted=True)
                row.save(using=using, update_fields=["note", "posted"])

    def worker() -> None:
        for _ in range(each):
            assign_numbers(papers.all(), order_by=ORDER, locked="wait", batch_size=3)

    together([people] * writers + [worker] * 2, using)
    assign_numbers(papers.all(), order_by=ORDER, locked="wait")
    numbers = sorted(papers.values_list("number", flat=True))
    assert numbers == list(range(1, writers * each + 1))
    assert get_last_value("papers.2026", using=using) == writers * each


def test_nobody_reads_before_the_lock(papers: Any, using: str) -> None:
    """A transaction of SQLite that begins with a read, and writes later, would fail under load."""
    row = draft(papers, 0)
    papers.model.number.field.maximum = None

    def work() -> None:
        connection: Any = connections[using]
        if connection.vendor == "sqlite":
            connection.close()
            connection.transaction_mode = "DEFERRED"
        for _ in range(10):
            mine = papers.get(pk=row.pk)
            mine.note = "edited"
            mine.save(using=using)
            other = draft(papers, 0)
            post(papers, other)
            other.issued_on = day(400)
            renumber(other)
            void(other, reason="", delete=True)

    try:
        together([work] * 4, using)
    finally:
        connections[using].close()
    assert Void.objects.using(using).count() == 80
    assert get_last_value("papers.2026", using=using) == 40
    assert get_last_value("papers.2027", using=using) == 40
