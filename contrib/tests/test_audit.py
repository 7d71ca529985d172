"""The findings of the audit, and what it must not report."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import count
from typing import Any

import pytest
from django.db import connections, models, transaction
from django.db.models import F, Value
from django.test.utils import isolate_apps
from sequences_contrib.audit import CounterAudit, EarlyDate, Missing, audit
from sequences_contrib.fields import SequenceField
from sequences_contrib.periods import FiscalYear, Month, Year
from sequences_contrib.voids import record_void

from sequences_core import set_last_value
from sequences_core.models import Counter
from tests.numbered.blocks import letters, model_with, rolled_back, tables, together
from tests.numbered.models import (
    Company,
    Document,
    Invoice,
    Project,
    Receipt,
    Seat,
    SpecialInvoice,
    Ticket,
)

APPS = ["sequences_contrib", "tests.numbered"]


def run_sql(using: str, statement: str) -> None:
    """Change rows with SQL, without the library."""
    with connections[using].cursor() as cursor:
        cursor.execute(statement)


def only(found: list[CounterAudit]) -> CounterAudit:
    (result,) = found
    return result


def test_an_exact_table_is_clean(using: str) -> None:
    """The result has the first and last number, the rows and the counter, but no findings."""
    Invoice.objects.using(using).bulk_create([Invoice() for _ in range(5)])
    result = only(audit(Invoice, using=using))
    assert result == CounterAudit("invoices", ("numbered.Invoice.number",), 5, 1, 5, 5, 0)
    assert result.is_clean
    assert result.ahead == 0


def test_an_empty_table_has_nothing_to_audit(using: str) -> None:
    """Without counter and rows, there is no result; an unused counter has no findings."""
    assert audit(Invoice, using=using) == []
    set_last_value(0, "invoices", using=using)
    assert only(audit(Invoice, using=using)).is_clean


def test_holes_are_ranges(using: str) -> None:
    """Rows deleted by SQL leave ranges, at the beginning, in the middle and at the end."""
    Invoice.objects.using(using).bulk_create([Invoice() for _ in range(12)])
    run_sql(using, "DELETE FROM numbered_invoice WHERE number IN (1, 4, 5, 6, 8, 12)")
    result = only(audit(Invoice, using=using))
    ranges = [(missing.first, missing.last) for missing in result.missing]
    assert ranges == [(1, 1), (4, 6), (8, 8), (12, 12)]
    assert (result.rows, result.first, result.last, result.ahead) == (6, 2, 11, 1)
    assert not result.is_clean


def test_a_counter_without_rows_misses_all(using: str) -> None:
    """Numbers that the counter has given are missing if all rows are deleted."""
    Invoice.objects.using(using).bulk_create([Invoice() for _ in range(3)])
    run_sql(using, "DELETE FROM numbered_invoice")
    result = only(audit(Invoice, using=using))
    assert result.missing == (Missing(1, 3),)
    assert (result.first, result.last, result.at) == (None, None, 3)


def test_voids_explain_holes(using: str) -> None:
    """A void explains a missing number; it can explain only a part of a range."""
    Invoice.objects.using(using).bulk_create([Invoice() for _ in range(9)])
    run_sql(using, "DELETE FROM numbered_invoice WHERE number IN (2, 4, 5, 6, 7, 9)")
    for number in (2, 5, 6, 9):
        record_void("invoices", number, using=using)
    result = only(audit(Invoice, using=using))
    assert result.missing == (
        Missing(2, 2, "void"),
        Missing(4, 4),
        Missing(5, 6, "void"),
        Missing(7, 7),
        Missing(9, 9, "void"),
    )
    assert result.unexplained == (Missing(4, 4), Missing(7, 7))
    record_void("invoices", 4, using=using)
    record_void("invoices", 7, using=using)
    assert only(audit(Invoice, using=using)).is_clean


def test_without_the_register_nothing_explains(using: str, settings: Any) -> None:
    """The audit works without the app in INSTALLED_APPS."""
    Invoice.objects.using(using).bulk_create([Invoice() for _ in range(3)])
    run_sql(using, "DELETE FROM numbered_invoice WHERE number = 2")
    apps = [app for app in settings.INSTALLED_APPS if app != "sequences_contrib"]
    settings.INSTALLED_APPS = apps
    assert only(audit(Invoice, using=using)).missing == (Missing(2, 2),)


def test_a_counter_behind_its_rows(using: str) -> None:
    """After a restore, for example: the audit reports how far it is behind, and no false gaps."""
    Invoice.objects.using(using).bulk_create([Invoice() for _ in range(9)])
    run_sql(using, "DELETE FROM numbered_invoice WHERE number = 8")
    set_last_value(4, "invoices", force=True, using=using)
    result = only(audit(Invoice, using=using))
    assert (result.at, result.behind, result.missing) == (4, 5, (Missing(8, 8),))
    Counter.objects.using(using).all().delete()
    result = only(audit(Invoice, using=using))
    assert (result.at, result.behind, result.missing) == (None, 9, (Missing(8, 8),))


def test_a_counter_behind_its_voids(using: str) -> None:
    """The numbers below a void count as taken, even if the counter has no rows."""
    set_last_value(5, "invoices", using=using)
    record_void("invoices", 5, using=using)
    set_last_value(0, "invoices", force=True, using=using)
    result = only(audit(Invoice, using=using))
    assert result.behind == 5
    assert result.missing == (Missing(1, 4), Missing(5, 5, "void"))


def test_duplicates(using: str) -> None:
    """Without a unique constraint, a duplicate is found even if a gap keeps the count right."""
    with letters(using, number=SequenceField("letters")) as rows:
        for number in (1, 2, 2, 4, 5, 5, 5):
            rows.create(number=number)
        result = only(audit(rows.model, using=using))
    assert result.duplicates == (2, 5)
    assert result.missing == (Missing(3, 3),)
    assert (result.rows, result.last) == (7, 5)


def test_each_scope_is_audited_by_itself(using: str) -> None:
    """A scope of a column, one of a path with a constant, and one of a function."""
    companies = [Company.objects.using(using).create(name=name) for name in "ab"]
    for company in companies:
        for _ in range(2):
            project = Project.objects.using(using).create(company=company, code="x")
            for _ in range(3):
                Ticket.objects.using(using).create(project=project)
                Receipt.objects.using(using).create(project=project)
                Document.objects.using(using).create(kind=f"k{company.pk}")
    Receipt.objects.using(using).create(project=None)  # no number
    for model in (Ticket, Receipt, Document):
        assert all(result.is_clean for result in audit(model, using=using))
    hole = Ticket.objects.using(using).order_by("pk").first()
    assert hole is not None
    for model, number in ((Ticket, 2), (Receipt, 4), (Document, 102)):
        table = model._meta.db_table
        run_sql(
            using,
            f"DELETE FROM {table} WHERE id IN (SELECT * FROM (SELECT MIN(id) FROM "
            f"{table} WHERE number = {number}) AS chosen)",
        )
    tickets = {result.counter: result for result in audit(Ticket, using=using)}
    holed = tickets.pop(f"numbered_ticket.number.{hole.project_id}")
    assert (holed.rows, holed.missing) == (2, (Missing(2, 2),))
    assert [(result.rows, result.is_clean) for result in tickets.values()] == [(3, True)] * 3
    receipts = {result.counter: result.missing for result in audit(Receipt, using=using)}
    first, second = (company.pk for company in companies)
    assert receipts == {f"receipts.r.{first}": (Missing(4, 4),), f"receipts.r.{second}": ()}
    documents = {r.counter: (r.first, r.missing) for r in audit(Document, "number", using=using)}
    assert documents == {
        f"numbered_document.number.k{first}.x": (100, (Missing(102, 102),)),
        f"numbered_document.number.k{second}.x": (100, ()),
    }


def test_one_counter_of_many(using: str) -> None:
    """With counter=…, only the counter of this name is audited."""
    for _ in range(3):
        project = Project.objects.using(using).create()
        Ticket.objects.using(using).create(project=project)
    name = f"numbered_ticket.number.{project.pk}"
    assert only(audit(Ticket, counter=name, using=using)).counter == name
    assert audit(Ticket, counter="no such", using=using) == []


def test_drafts_are_counted(using: str) -> None:
    """Rows of a scope that have no number wait for one; rows without a scope don't."""
    with letters(
        using,
        kind=models.CharField(max_length=9, null=True),
        number=SequenceField("letters", scope="kind", null=True),
    ) as rows:
        rows.bulk_create([rows.model(kind="a") for _ in range(3)])
        rows.create(kind=None)
        rows.create(kind="b")
        rows.filter(number__lte=1).update(number=None)
        results = audit(rows.model, using=using)
        assert [(r.counter, r.rows, r.drafts) for r in results] == [
            ("letters.a", 2, 1),
            ("letters.b", 0, 1),
        ]
        assert [r.missing for r in results] == [(Missing(1, 1),), (Missing(1, 1),)]


def test_soft_deleted_rows_count(using: str) -> None:
    """Rows that the model's managers exclude are audited, too."""

    class Visible(models.Manager[Any]):
        def get_queryset(self) -> Any:
            return super().get_queryset().filter(hidden=False)

    with letters(
        using,
        hidden=models.BooleanField(default=False),
        number=SequenceField("letters", unique=True),
    ) as rows:
        model = rows.model
        rows.create(hidden=True)
        rows.create()
        model.add_to_class("visible", Visible())
        model._meta.default_manager_name = "visible"
        model._meta.base_manager_name = "visible"
        model._meta._expire_cache()
        assert model._base_manager.using(using).count() == 1
        result = only(audit(model, using=using))
        assert (result.rows, result.is_clean) == (2, True)


def test_models_that_share_a_counter_are_one(using: str) -> None:
    """Only both models together are complete, and a gap is reported once for both."""
    with isolate_apps("tests.numbered"):
        made = [model_with(name, number=SequenceField("shared")) for name in ("Sold", "Sent")]
        sold, sent = made
        with tables(using, sold, sent):
            for model in (sold, sent, sent, sold, sent):
                model._default_manager.using(using).create()
            result = only(audit(sold, using=using))
            assert result.is_clean
            assert set(result.fields) == {"numbered.Sold.number", "numbered.Sent.number"}
            assert (result.rows, result.first, result.last) == (5, 1, 5)
            run_sql(using, "DELETE FROM numbered_sent WHERE number = 3")
            assert only(audit(sent, using=using)).missing == (Missing(3, 3),)
            run_sql(using, "UPDATE numbered_sold SET number = 2 WHERE number = 4")
            result = only(audit(sold, using=using))
            assert result.duplicates == (2,)
            assert result.missing == (Missing(3, 4),)


def test_multi_table_inheritance(using: str) -> None:
    """A child's audit has the numbers of its parent's table, which all children share."""
    SpecialInvoice.objects.using(using).create()
    Invoice.objects.using(using).create()
    results = audit(SpecialInvoice, using=using)
    assert [(r.counter, r.rows, r.is_clean) for r in results] == [
        ("invoices", 2, True),
        ("numbered_specialinvoice.own", 1, True),
    ]


def test_dates_in_order(using: str) -> None:
    """With date=…, a date before that of a lower number is reported; equal dates are not."""
    with letters(
        using,
        kind=models.CharField(max_length=9),
        day=models.DateField(null=True),
        number=SequenceField("letters", scope="kind"),
    ) as rows:
        days = [date(2026, 1, day) for day in (1, 3, 3, 2, 4)]
        for kind in "ab":
            for day in sorted(days) if kind == "a" else days:
                rows.create(kind=kind, day=day)
        rows.create(kind="a", day=None)
        good, bad = audit(rows.model, date="day", using=using)
        assert good.is_clean
        assert bad.early_dates == (EarlyDate(4, date(2026, 1, 2), date(2026, 1, 3)),)
        assert not bad.is_clean
        assert all(result.is_clean for result in audit(rows.model, using=using))
        with pytest.raises(ValueError, match="no date 'dya'"):
            audit(rows.model, date="dya", using=using)


def test_a_later_start_is_no_hole(using: str) -> None:
    """The initial value is where the numbers begin; a callable one is taken from the rows."""
    with letters(using, number=SequenceField("letters", initial_value=1000)) as rows:
        rows.create()
        assert only(audit(rows.model, using=using)).is_clean
        rows.create()
        rows.filter(number=1000).delete()
        assert only(audit(rows.model, using=using)).missing == (Missing(1000, 1000),)


def test_numbers_that_loop_prove_nothing(using: str) -> None:
    """With a reset_value, duplicates and gaps are not findings."""
    for _ in range(5):
        Document.objects.using(using).create()
    result = only(audit(Document, "page", using=using))
    assert (result.rows, result.is_clean) == (5, True)


def test_reuse_explains_holes(using: str) -> None:
    """Numbers that will be assigned again are missing, but are not a finding."""
    for _ in range(5):
        Seat.objects.using(using).create(room="r")
    run_sql(using, "DELETE FROM numbered_seat WHERE number IN (1, 4)")  # labels 2 and 5
    numbers, labels = audit(Seat, using=using)
    assert numbers.counter == "numbered_seat.number.r"
    assert numbers.missing == (Missing(1, 1, "reuse"), Missing(4, 4, "reuse"))
    assert numbers.is_clean
    assert labels.missing == (Missing(2, 2), Missing(5, 5, "reuse"))
    assert labels.unexplained == (Missing(2, 2),)


def test_skipped_numbers_are_yet_to_come(using: str) -> None:
    """With skip_used, a counter below its rows is no finding, because it skips their numbers."""
    with letters(using, number=SequenceField("letters", skip_used=True)) as rows:
        rows.bulk_create([rows.model() for _ in range(3)])
        rows.filter(number=3).update(number=7)
        set_last_value(2, "letters", force=True, using=using)
        result = only(audit(rows.model, using=using))
        assert (result.is_clean, result.behind, result.last) == (True, 0, 7)


def test_scopes_of_other_texts(using: str) -> None:
    """Values that need escaping, and paths that end in text, lead to the counters of inserts."""
    with letters(
        using,
        project=models.ForeignKey(Project, models.CASCADE),
        day=models.DateField(default=date(2026, 1, 1)),
        number=SequenceField(
            "post", scope=[F("project__code"), "day", Value("x.y"), "project__pk"]
        ),
    ) as rows:
        for code in ("a.b", "a%", "É"):
            project = Project.objects.using(using).create(code=code)
            rows.create(project=project)
            rows.create(project=project)
        results = audit(rows.model, using=using)
        assert len(results) == 3
        assert all(result.is_clean and result.rows == 2 for result in results)
        run_sql(using, "DELETE FROM numbered_letter WHERE number = 1")
        assert all(r.missing == (Missing(1, 1),) for r in audit(rows.model, using=using))


def odd_or_even(day: date) -> str:
    return "odd" if day.year % 2 else "even"


PERIODS: dict[str, tuple[Any, list[str]]] = {
    "year": (Year("day"), ["2026", "2027"]),
    "fiscal": (FiscalYear("day", start=(4, 1), named="both"), ["2025-26", "2026-27"]),
    "function": (FiscalYear("day", by=odd_or_even), ["even", "odd"]),
    "month of a moment": (Month("moment", tz="Pacific/Auckland"), ["2026-02", "2027-01"]),
}


@pytest.mark.parametrize("period", PERIODS)
def test_periods_are_counters(period: str, using: str) -> None:
    """Each period of a date, or of a datetime in its time zone, is audited separately."""
    part, texts = PERIODS[period]
    fields: dict[str, models.Field[Any, Any]] = {
        "kind": models.CharField(max_length=9),
        "day": models.DateField(null=True),
        "moment": models.DateTimeField(null=True),
        "number": SequenceField("post", scope=["kind", part], null=True),
    }
    with letters(using, **fields) as rows:
        for day, moment in (
            (date(2026, 2, 28), datetime(2026, 2, 1, tzinfo=UTC)),
            (date(2026, 3, 1), datetime(2026, 2, 27, tzinfo=UTC)),
            (date(2027, 1, 5), datetime(2026, 12, 31, 23, 30, tzinfo=UTC)),
            (date(2026, 1, 31), datetime(2026, 2, 2, tzinfo=UTC)),
        ):
            rows.create(kind="a", day=day, moment=moment)
        rows.create(kind="a")
        results = audit(rows.model, using=using)
        assert [(r.counter, r.rows, r.is_clean) for r in results] == [
            (f"post.a.{texts[0]}", 3, True),
            (f"post.a.{texts[1]}", 1, True),
        ]
        run_sql(using, "DELETE FROM numbered_letter WHERE number = 2")
        assert audit(rows.model, using=using)[0].missing == (Missing(2, 2),)


BAD: list[tuple[tuple[Any, ...], type[Exception], str]] = [
    ((Company,), ValueError, "numbered.Company has no SequenceField"),
    ((Invoice, "note"), ValueError, "its numbered fields: number"),
    ((Invoice, "nothing"), ValueError, "numbered.Invoice.nothing is not a SequenceField"),
    (("numbered.Invoice",), TypeError, "must be a model with a table"),
    ((object,), TypeError, "must be a model with a table"),
]


@pytest.mark.django_db
def test_dates_need_a_scope_that_sql_can_group_by() -> None:
    """With a function as the scope, dates can't be compared."""
    with pytest.raises(ValueError, match="can't group by"):
        audit(Document, "number", date="pk")


@pytest.mark.parametrize(("arguments", "error", "text"), BAD)
def test_bad_arguments(arguments: Any, error: type[Exception], text: str) -> None:
    """Invalid arguments raise the same error on every database, without a query."""
    with pytest.raises(error, match=text):
        audit(*arguments)


@pytest.mark.parametrize(
    "options",
    [{"field": ["number"]}, {"counter": 5}, {"date": date(2026, 1, 1)}, {"date": "note"}],
    ids=str,
)
def test_bad_options(options: Any) -> None:
    """Names are texts, and the order of numbers is compared with dates or integers only."""
    with pytest.raises(TypeError, match=r"must be a str|must be a field of dates"):
        audit(Invoice, **options)


def audited_beside(
    write: Callable[[int], None], *audited: type[models.Model], writers: int, using: str
) -> list[CounterAudit]:
    """Return what audits found while each of the writers called ``write(0)``, ``write(1)``, ….

    They go on until there were enough audits, on however slow a machine.
    """
    stop = threading.Event()
    audits: list[CounterAudit] = []

    def write_on() -> None:
        for i in count():
            if stop.is_set() or (i >= 60 and len(audits) > 10):
                break
            write(i)
        stop.set()

    def look() -> None:
        try:
            while not stop.is_set():
                for model in audited:
                    audits.extend(audit(model, using=using))
        finally:
            stop.set()

    together([*[write_on] * writers, look], using)
    assert len(audits) > 10
    return audits


def test_no_false_alarm_beside_writers(using: str) -> None:
    """While rows are inserted, rolled back, and deleted with a void, every audit is clean."""
    project = Project.objects.using(using).create(code="x")
    tickets = Ticket.objects.using(using)
    invoices = Invoice.objects.using(using)

    def write(i: int) -> None:
        with transaction.atomic(using=using):
            invoices.create()
            tickets.create(project=project)
            with rolled_back(using):
                tickets.create(project=project)
        tickets.bulk_create([Ticket(project=project) for _ in range(3)])
        if i % 10 == 0:
            with transaction.atomic(using=using):
                ticket = tickets.create(project=project)
                ticket.delete()
                name = f"numbered_ticket.number.{project.pk}"
                record_void(name, ticket.number, using=using)

    audits = audited_beside(write, Ticket, Invoice, writers=3, using=using)
    assert [result for result in audits if not result.is_clean] == []
    final = only(audit(Ticket, using=using))
    assert final.is_clean
    assert final.at == final.last or final.missing
    assert only(audit(Invoice, using=using)).rows == invoices.count() >= 60


def test_no_false_alarm_where_models_share_a_counter(using: str) -> None:
    """Numbers taken between the queries for two models are not reported as missing."""
    with isolate_apps("tests.numbered"):
        made = [
            model_with(name, number=SequenceField("shared", unique=True))
            for name in ("Sold", "Sent")
        ]

    def write(i: int) -> None:
        made[i % 2]._default_manager.using(using).create()

    with tables(using, *made):
        audits = audited_beside(write, made[0], writers=2, using=using)
        rows = sum(model._default_manager.using(using).count() for model in made)
        assert only(audit(made[1], using=using)).rows == rows >= 60
    assert [result for result in audits if not result.is_clean] == []


def test_it_reads_in_few_statements(using: str, django_assert_max_num_queries: Any) -> None:
    """The number of queries is fixed; the register is read only if numbers are missing."""
    projects = [Project(code=str(i)) for i in range(50)]
    Project.objects.using(using).bulk_create(projects)
    projects = list(Project.objects.using(using).all())
    Ticket.objects.using(using).bulk_create([Ticket(project=p) for p in projects * 2])
    with django_assert_max_num_queries(3, connection=connections[using]):
        assert len(audit(Ticket, using=using)) == 50
