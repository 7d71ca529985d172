"""Numbers that ascend with the dates of their documents."""

from __future__ import annotations

import itertools
import pickle
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import (
    IntegrityError,
    NotSupportedError,
    OperationalError,
    connections,
    models,
    transaction,
)
from django.db.models import Value
from django.test.utils import CaptureQueriesContext, isolate_apps
from sequences_contrib.exceptions import OutOfOrder
from sequences_contrib.fields import SequenceField
from sequences_contrib.periods import Year
from sequences_contrib.posting import assign_numbers

from sequences_core import SequencesError, get_allocator, get_last_value, set_last_value
from tests.numbered.blocks import MODES, PATIENCE, atomic_if, letters, model_with, together
from tests.snapshots import finds_what_it_does_not_see

APPS = ["tests.numbered"]

Days = Callable[[int], date]


def day(number: int) -> date:
    return date(2026, 1, 1) + timedelta(days=number)


@pytest.fixture
def rows(using: str) -> Iterator[Any]:
    """Rows of two companies, numbered in the order of their dates."""
    company = models.CharField(max_length=9, default="a")
    number = SequenceField("ordered", unique_with="company", ascending="issued_on", null=True)
    with letters(using, company=company, issued_on=models.DateField(null=True), number=number) as r:
        yield r


def numbers(rows: Any, company: str = "a") -> list[tuple[int, int]]:
    """The numbers of a company, with the days of their dates."""
    stored = rows.filter(company=company).order_by("number").values_list("number", "issued_on")
    return [(number, (date - day(0)).days) for number, date in stored]


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
def test_an_earlier_date_is_refused(in_transaction: bool, using: str, rows: Any) -> None:
    """Dates may be equal or later; an earlier one is refused, and no number is lost."""
    with atomic_if(in_transaction, using):
        for n in (3, 3, 5):
            rows.create(issued_on=day(n))
    late = rows.model(issued_on=day(4))
    with pytest.raises(OutOfOrder) as caught, atomic_if(in_transaction, using):
        late.save(using=using)
    error = caught.value
    assert (error.counter, error.date, error.last) == ("ordered.a", day(4), day(5))
    assert error.row is late
    assert late.number is None
    assert "2026-01-05" in str(error)
    assert "2026-01-06" in str(error)
    assert not hasattr(error, "__notes__")
    assert rows.create(issued_on=day(1), company="b").number == 1
    assert rows.create(issued_on="2026-01-06").number == 4
    assert numbers(rows) == [(1, 3), (2, 3), (3, 5), (4, 5)]
    assert get_last_value("ordered.a", using=using) == 4


@pytest.mark.parametrize("batch_size", [2, 9])
@pytest.mark.parametrize("descending", [False, True])
def test_dates_of_other_programs_are_ordered_as_dates(
    descending: bool, batch_size: int, using: str, rows: Any
) -> None:
    """SQLite stores 2026-1-5 as text, which comes after 2026-01-31."""
    if connections[using].vendor != "sqlite":
        pytest.skip("the database stores dates only")
    days = ["2026-01-31", "2026-1-5", "2026-2-1", "2026-10-1", None, "2025-12-31", "2026-1-6"]
    with connections[using].cursor() as cursor:
        insert = "INSERT INTO numbered_letter (company, issued_on) VALUES ('a', %s)"
        cursor.executemany(insert, [(day,) for day in days])
    field = rows.model._meta.get_field("number")
    field.ascending = None if descending else "issued_on"
    order = ("-issued_on", "pk") if descending else ("issued_on", "pk")
    chosen = rows.exclude(issued_on=None)
    done = assign_numbers(chosen, order_by=order, batch_size=batch_size, locked="wait")
    assert done.rows == 6
    found = list(chosen.order_by("number").values_list("issued_on", flat=True))
    assert found == sorted(found, reverse=descending)


def test_what_the_error_is() -> None:
    """OutOfOrder is caught as an IntegrityError, and passes from one process to another."""
    error = OutOfOrder("late", counter="c", date=day(1), last=day(2), row=None)
    again = pickle.loads(pickle.dumps(error))
    assert issubclass(OutOfOrder, IntegrityError)
    assert issubclass(OutOfOrder, SequencesError)
    assert (str(again), again.counter, again.date, again.last) == ("late", "c", day(1), day(2))


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
def test_a_bulk_is_numbered_as_it_is_given(in_transaction: bool, using: str, rows: Any) -> None:
    """A bulk that is out of order, in itself or after what is stored, is refused as a whole."""

    def bulk(*days: int) -> list[Any]:
        with atomic_if(in_transaction, using):
            return rows.bulk_create([rows.model(issued_on=day(n)) for n in days])  # type: ignore[no-any-return]

    bulk(1, 2, 2)
    for days, late in (((5, 4, 6), 4), ((1, 5), 1)):
        with pytest.raises(OutOfOrder) as caught:
            bulk(*days)
        assert caught.value.row.issued_on == caught.value.date == day(late)
    two = [rows.model(issued_on=day(9)), rows.model(issued_on=day(1), company="b")]
    with atomic_if(in_transaction, using):
        rows.bulk_create(two)
    assert [row.number for row in two] == [4, 1]
    assert numbers(rows) == [(1, 1), (2, 2), (3, 2), (4, 9)]


@pytest.mark.parametrize("save", ["create", "bulk_create"])
def test_a_date_is_needed(save: str, using: str, rows: Any) -> None:
    """A row whose date is unknown can't be numbered, and nothing is stored."""
    for value, error in ((None, "null"), (models.Value(day(1)), "known")):
        some = [rows.model(issued_on=day(1)), rows.model(issued_on=value)]
        saves = {
            "create": partial(some[1].save, using=using),
            "bulk_create": partial(rows.bulk_create, some),
        }
        expected = pytest.raises(ValueError, match=f"issued_on.*{error}")
        with CaptureQueriesContext(connections[using]) as queries, expected:
            saves[save]()
        # bulk_create() of Django's begins a transaction by itself.
        assert {query["sql"] for query in queries} <= {"BEGIN", "BEGIN IMMEDIATE", "ROLLBACK"}
    assert get_last_value("ordered.a", using=using) is None
    assert rows.create(issued_on=None, company="").number is None


@pytest.mark.parametrize("save", ["create", "bulk_create"])
@pytest.mark.parametrize(
    ("number", "days", "fits"),
    [
        (6, 5, True),
        (6, 4, False),
        (3, 3, True),
        (3, 1, False),
        (3, 6, False),
        (0, 1, True),
        (0, 2, False),
    ],
)
def test_an_explicit_number_fits_between_its_neighbours(
    save: str, number: int, days: int, fits: bool, using: str, rows: Any
) -> None:
    """A number that you set, of a hole or an import, keeps the order on both sides."""
    for n in (1, 2, 3, 4, 5):
        rows.create(issued_on=day(n))
    rows.filter(number=3).delete()
    explicit = rows.model(number=number, issued_on=day(days))

    def store() -> None:
        if save == "create":
            explicit.save(using=using)
        else:
            rows.bulk_create([explicit])

    if fits:
        store()
    else:
        with pytest.raises(OutOfOrder):
            store()
    assert rows.filter(number=number).exists() == fits
    assert rows.create(issued_on=day(9)).number == (7 if fits and number == 6 else 6)


def test_a_changed_number_is_compared_with_other_rows(using: str, rows: Any) -> None:
    """The row's own old date isn't that of a neighbour; the error names the instance itself."""
    rows.create(issued_on=day(1))
    row = rows.create(issued_on=day(5))
    row.number, row.issued_on = 3, day(3)
    row.save()
    assert numbers(rows) == [(1, 1), (3, 3)]
    row.number, row.issued_on = 4, day(0)
    with pytest.raises(OutOfOrder) as caught:
        row.save()
    assert caught.value.row is row
    assert numbers(rows) == [(1, 1), (3, 3)]
    assert get_last_value("ordered.a", using=using) == 3


def test_a_bulk_of_explicit_numbers(using: str, rows: Any) -> None:
    """An import may have any order of rows, if the dates ascend with the numbers."""
    rows.create(number=5, issued_on=day(5))
    given = [(9, 9), (2, 2), (7, 6)]
    rows.bulk_create([rows.model(number=n, issued_on=day(d)) for n, d in given])
    for given in ([(3, 2), (6, 7)], [(1, 1), (6, 4)], [(3, 4), (4, 3)]):
        with pytest.raises(OutOfOrder):
            rows.bulk_create([rows.model(number=n, issued_on=day(d)) for n, d in given])
    both = [rows.model(issued_on=day(9)), rows.model(number=12, issued_on=day(9))]
    rows.bulk_create(both)
    assert numbers(rows) == [(2, 2), (5, 5), (7, 6), (9, 9), (12, 9), (13, 9)]


@pytest.mark.parametrize("start", ["no counter", "counter"])
def test_an_explicit_number_below_the_counter_locks_it(start: str, using: str, rows: Any) -> None:
    """It may become the last number, so the next row must wait for its date."""
    if start == "counter":
        rows.create(issued_on=day(1))
        rows.all().delete()
    refused: list[OutOfOrder] = []

    def save() -> None:
        try:
            rows.create(issued_on=day(3))
        except OutOfOrder as error:
            refused.append(error)
        finally:
            connections[using].close()

    other = threading.Thread(target=save)
    with transaction.atomic(using=using):
        rows.create(number=0, issued_on=day(5))
        other.start()
        other.join(0.3)
        assert other.is_alive()
    other.join(PATIENCE)
    assert [error.last for error in refused] == [day(5)]
    assert numbers(rows) == [(0, 5)]
    assert rows.create(issued_on=day(5)).number == (2 if start == "counter" else 1)


def test_conflicts_are_refused(using: str, rows: Any) -> None:
    """A bulk that doesn't say which rows it inserts can't be in order."""
    explicit = [rows.model(number=5, issued_on=day(1))]
    with pytest.raises(NotSupportedError, match="ascend"):
        rows.bulk_create(explicit, ignore_conflicts=True)
    assert not rows.exists()


def test_moments_and_integers(using: str) -> None:
    """Datetimes are compared as moments, whatever their zone, and integers as they are."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    fields: dict[str, Any] = {
        "at": models.DateTimeField(),
        "year": models.IntegerField(),
        "number": SequenceField(ascending="at"),
        "other": SequenceField(ascending="year"),
    }
    with letters(using, **fields) as rows:
        rows.create(at=noon, year="9")
        rows.create(at="2026-03-01T13:30:00.000001+01:30", year=10)
        with pytest.raises(OutOfOrder, match="at"):
            rows.create(at=noon, year=11)
        with pytest.raises(OutOfOrder, match="year"):
            rows.create(at=noon + timedelta(hours=1), year=9)
        assert rows.create(at=noon + timedelta(hours=1), year=10).other == 3


def test_numbers_ascend_under_concurrency(using: str, rows: Any) -> None:
    """Eight writers with dates from one calendar: what is stored is exact, and in order."""
    calendar = itertools.count()
    refused: list[OutOfOrder] = []

    def work() -> None:
        for i in range(12):
            # The date is chosen before the counter is locked, so some come too late.
            some = [rows.model(issued_on=day(next(calendar) // 2)) for _ in range(1 + i % 2)]
            try:
                if i % 3:
                    rows.bulk_create(some)
                else:
                    with transaction.atomic(using=using):
                        some[0].save(using=using)
                        with transaction.atomic(using=using):
                            rows.model(issued_on=day(10**5)).save(using=using)
                            transaction.set_rollback(True, using=using)
            except OutOfOrder as error:
                refused.append(error)

    together([work] * 8, using)
    stored = numbers(rows)
    assert [number for number, _ in stored] == list(range(1, len(stored) + 1))
    assert [days for _, days in stored] == sorted(days for _, days in stored)
    assert get_last_value("ordered.a", using=using) == len(stored)
    assert all(error.date < error.last for error in refused)


def test_an_old_snapshot_does_not_hide_the_last_date(using: str, rows: Any) -> None:
    """At REPEATABLE READ a row that was committed after the snapshot is seen, or conflicts."""
    connection = connections[using]
    rows.create(issued_on=day(1))

    def later() -> None:
        try:
            rows.create(issued_on=day(5))
        finally:
            connections[using].close()

    def save() -> None:
        with transaction.atomic(using=using):
            assert rows.count() == 1
            if connection.vendor != "sqlite":  # whose transaction has the lock already
                other = threading.Thread(target=later)
                other.start()
                other.join(PATIENCE)
            else:
                rows.create(issued_on=day(5))
            rows.create(issued_on=day(3))

    if connection.vendor != "sqlite":
        session = "SESSION" if connection.vendor == "mysql" else "SESSION CHARACTERISTICS AS"
        with connection.cursor() as cursor:
            cursor.execute(f"SET {session} TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    try:
        with pytest.raises((OutOfOrder, OperationalError)) as caught:
            save()
        error = caught.value
        assert isinstance(error, OutOfOrder) or get_allocator(connection).is_retryable(error)
        if finds_what_it_does_not_see(connection):
            assert isinstance(error, OutOfOrder)
            assert error.last == day(5)
    finally:
        connection.close()


def test_one_look_at_the_last_row(using: str, rows: Any) -> None:
    """The order costs one query, of one row by the index."""
    rows.create(issued_on=day(1))
    with CaptureQueriesContext(connections[using]) as queries, transaction.atomic(using=using):
        rows.create(issued_on=day(1))
    assert sum(query["sql"].startswith("SELECT") for query in queries) == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"ascending": ""}, TypeError),
        ({"ascending": 5}, TypeError),
        ({"ascending": "day", "reuse": "gaps"}, ValueError),
        ({"ascending": "day", "reset_value": 5}, ValueError),
        ({"ascending": "day", "scope": lambda row: 1}, ValueError),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], error: type[Exception]) -> None:
    """Invalid options are refused where the field is declared."""
    with pytest.raises(error):
        SequenceField(**options)


def ids(**fields: Any) -> list[str]:
    """What the checks say of a model with these fields."""
    with isolate_apps("tests.numbered"):
        found = model_with(**fields).check()
    return [each.id for each in found if each.id.startswith("sequences_contrib")]


def test_checks_of_the_date() -> None:
    """The field must have dates or integers, in the same table, known before the INSERT."""
    number = partial(SequenceField, unique=True)
    assert ids(day=models.DateField(), number=number(ascending="day")) == []
    assert ids(day=models.PositiveIntegerField(), number=number(ascending="day")) == []
    e050 = ["sequences_contrib.E050"]
    assert ids(number=number(ascending="day")) == e050
    assert ids(day=models.CharField(max_length=9), number=number(ascending="day")) == e050
    assert ids(number=number(ascending="id")) == ["sequences_contrib.E051"]
    for day in (models.DateTimeField(auto_now=True), models.DateTimeField(auto_now_add=True)):
        assert ids(day=day, number=number(ascending="day")) == ["sequences_contrib.E051"]
    parents: Any = {"day": models.DateField(), "number": SequenceField("p")}
    with isolate_apps("tests.numbered"):
        parent = model_with(**parents)
        meta = type("Meta", (), {"app_label": "numbered"})
        own = {"own": number("c", ascending="day"), "__module__": __name__, "Meta": meta}
        child: Any = type("Child", (parent,), own)
        assert "sequences_contrib.E050" in [each.id for each in child.check()]


def test_check_of_the_index() -> None:
    """Without a suitable index, the check warns that each INSERT reads the whole scope."""
    fields: dict[str, Any] = {"day": models.DateField(), "kind": models.IntegerField()}
    w051 = ["sequences_contrib.W051"]
    assert ids(**fields, number=SequenceField(ascending="day")) == w051
    assert ids(**fields, number=SequenceField(ascending="day", db_index=True)) == []
    assert ids(**fields, number=SequenceField(ascending="day", unique_with="kind")) == []
    scoped = partial(SequenceField, "s", scope=["kind", Value("x")], ascending="day")
    assert ids(**fields, number=scoped(unique=True)) == ["sequences_contrib.W003", *w051]
    for index, found in (
        (("kind", "number"), []),
        (("kind", "-number", "day"), []),
        (("number",), w051),
    ):
        with isolate_apps("tests.numbered"):
            model = model_with(**fields, number=scoped())
            model._meta.indexes = [models.Index(fields=index, name="letters")]
            ours = [each.id for each in model.check() if "contrib" in each.id]
        assert ours == found
    yearly = partial(SequenceField, "y", scope=["kind", Year("day")], ascending="day")
    for names, expected in ((("kind", "number"), []), (("kind", "day", "number"), w051)):
        with isolate_apps("tests.numbered"):
            model = model_with(**fields, number=yearly())
            model._meta.indexes = [models.Index(fields=names, name="letters")]
            ours = [each.id for each in model.check() if "contrib" in each.id]
        assert ours == expected


def test_check_of_a_shared_counter() -> None:
    """A field with ascending can't share its counter with another field."""
    fields: dict[str, Any] = {"day": models.DateField(), "other": SequenceField("s", unique=True)}
    found = ids(**fields, number=SequenceField("s", unique=True, ascending="day"))
    assert found.count("sequences_contrib.E004") == 2


def test_numbers_between_others(using: str) -> None:
    """A field that skips used numbers fills a hole above its counter only if the date fits."""
    fields: dict[str, Any] = {
        "issued_on": models.DateField(),
        "number": SequenceField("s", unique=True, skip_used=True, ascending="issued_on"),
    }
    with letters(using, **fields) as rows:
        for number, month in ((1, 1), (2, 2), (4, 4)):
            rows.create(issued_on=date(2026, month, 1), number=number)
        set_last_value(2, "s", force=True, using=using)
        with pytest.raises(OutOfOrder, match="that of the next number"):
            rows.create(issued_on=date(2026, 5, 1))
        assert rows.create(issued_on=date(2026, 3, 1)).number == 3
        assert rows.create(issued_on=date(2026, 5, 1)).number == 5
