"""``assign_numbers``: many documents are numbered at once, in SQL."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connections, models, transaction
from django.db.models import F, Q, UniqueConstraint, Value
from django.test.utils import CaptureQueriesContext, isolate_apps
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.posting import Assigned, assign_numbers
from sequences_contrib.texts import FormattedNumberField

from sequences_core import SequenceExhausted, get_allocator, get_last_value, set_last_value
from sequences_core.testing.base import Elsewhere
from tests.numbered.blocks import letters, model_with, rolled_back, tables, together
from tests.numbered.models import Company, Invoice, Project

APPS = ["tests.numbered"]

DAY = date(2026, 1, 1)


def document(**options: Any) -> dict[str, models.Field[Any, Any]]:
    """The fields of a document that is numbered when it is posted."""
    return {
        "posted": models.BooleanField(default=True),
        "issued_on": models.DateField(null=True, default=DAY),
        "kind": models.CharField(max_length=9, default="a"),
        "number": SequenceField("s", when="posted", **options),
    }


@pytest.fixture
def rows(using: str) -> Iterator[Any]:
    """Documents of a counter for each kind; numbered rows of a kind differ in their numbers."""
    with letters(using, **document(unique_with="kind")) as found:
        yield found


def drafts(rows: Any, count: int, **values: Any) -> None:
    """Add documents that are posted and, as update() leaves them, not numbered."""
    made = [rows.model(posted=False, **values) for _ in range(count)]
    rows.bulk_create(made)
    rows.filter(number=None).update(posted=True)


def numbers(rows: Any, **values: Any) -> list[int | None]:
    return list(rows.filter(**values).order_by("pk").values_list("number", flat=True))


def last(using: str, name: str = "s.a") -> int | None:
    return get_last_value(name, using=using)


def test_numbers_follow_the_order(rows: Any, using: str) -> None:
    """Rows are numbered in the order given, after the numbers that were given before."""
    rows.create()
    drafts(rows, 5)
    for days, row in zip([3, 1, 2, 1, 0], rows.filter(number=None).order_by("pk"), strict=True):
        rows.filter(pk=row.pk).update(issued_on=DAY + timedelta(days))
    done = assign_numbers(rows.all(), "number", order_by=("issued_on", "pk"))
    assert numbers(rows) == [1, 6, 3, 5, 4, 2]
    assert done == Assigned(numbers={"s.a": (2, 6)}, rows=5, skipped=0)
    assert (done.counters, last(using)) == (1, 6)
    assert rows.create().number == 7


def test_again(rows: Any, using: str) -> None:
    """A second call finds nothing to do, and takes nothing."""
    drafts(rows, 3)
    assign_numbers(rows.all())
    with CaptureQueriesContext(connections[using]) as queries:
        assert assign_numbers(rows.all()) == Assigned({}, 0, 0)
    assert len(queries) == 1
    assert (numbers(rows), last(using)) == ([1, 2, 3], 3)


def test_only_what_is_due(rows: Any, using: str) -> None:
    """Drafts, rows that have numbers, and rows that the queryset leaves out stay as they are."""
    drafts(rows, 4)
    rows.filter(pk=rows.order_by("pk")[1].pk).update(posted=False)
    rows.filter(pk=rows.order_by("pk")[2].pk).update(issued_on=DAY + timedelta(1))
    rows.filter(pk=rows.order_by("pk")[3].pk).update(number=9)
    assign_numbers(rows.filter(issued_on=DAY))
    assert numbers(rows) == [1, None, None, 9]


def test_descending_and_null(rows: Any) -> None:
    """``-`` turns an order around; null comes first, or last, on every database."""
    drafts(rows, 3)
    for days, row in zip([1, None, 0], rows.order_by("pk"), strict=True):
        issued_on = None if days is None else DAY + timedelta(days)
        rows.filter(pk=row.pk).update(issued_on=issued_on)
    for order, expected in [
        (("issued_on", "pk"), [3, 1, 2]),
        (("-issued_on", "pk"), [4, 6, 5]),
        (["-pk"], [9, 8, 7]),
    ]:
        assign_numbers(rows.all(), order_by=order, batch_size=1)
        assert numbers(rows) == expected
        rows.update(number=None)


def test_batches_and_progress(rows: Any, using: str) -> None:
    """Each batch is committed separately, and reported to the callback."""
    drafts(rows, 7)
    drafts(rows, 2, kind="b")
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        assert not connections[using].in_atomic_block
        seen.append((done, total))

    done = assign_numbers(rows.all(), batch_size=3, progress=progress)
    assert seen == [(3, 9), (6, 9), (7, 9), (9, 9)]
    assert done.numbers == {"s.a": (1, 7), "s.b": (1, 2)}
    assert numbers(rows, kind="a") == list(range(1, 8))


def test_an_error_of_the_callback(rows: Any, using: str) -> None:
    """An error ends the call; finished batches stay, and the next call continues."""
    drafts(rows, 5)

    def progress(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assign_numbers(rows.all(), batch_size=2, progress=progress)
    assert (numbers(rows), last(using)) == ([1, 2, None, None, None], 2)
    assign_numbers(rows.all(), batch_size=2)
    assert (numbers(rows), last(using)) == ([1, 2, 3, 4, 5], 5)


def test_paths_constants_and_null(using: str) -> None:
    """One counter for all rows from which a path leads to the same; none for null."""
    one, two = (Company.objects.using(using).create(name=name) for name in "ab")
    p, q, r, s = (
        Project.objects.using(using).create(company=company) for company in (one, one, two, None)
    )
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="+")
    scope = [Value("r"), F("project__company"), 7]
    with letters(using, project=project, **document(scope=scope)) as rows:
        for each in (p, q, r, s, None, p, r):
            drafts(rows, 1, project=each)
        done = assign_numbers(rows.all())
        assert numbers(rows) == [1, 2, 1, None, None, 3, 2]
        assert done.numbers == {f"s.r.{one.pk}.7": (1, 3), f"s.r.{two.pk}.7": (1, 2)}
        assert (done.rows, done.skipped) == (5, 0)


def test_a_queryset_of_several_tables(using: str) -> None:
    """A filter over relations chooses rows as well, each once, in order."""
    companies = [Company.objects.using(using).create(name=name) for name in "ab"]
    projects = [Project.objects.using(using).create(company=each) for each in companies]
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    with letters(using, project=project, **document(unique=True)) as rows:
        for i in (0, 1, 0):
            drafts(rows, 1, project=projects[i])
        chosen = rows.filter(project__company__name="a").select_related("project")
        chosen = chosen.annotate(double=F("issued_on")).select_for_update().order_by("kind")
        with CaptureQueriesContext(connections[using]) as queries:
            done = assign_numbers(chosen, order_by=["-pk"])
        for query in queries:
            if "sequences_place" in query["sql"]:  # rows of other tables are not locked
                assert "INNER JOIN" not in query["sql"].partition(" IN (SELECT")[0]
        assert (numbers(rows), done.rows) == ([2, None, 1], 2)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"initial_value": 10}, [10, 11, 12, 13, 14]),
        pytest.param(
            {"initial_value": lambda row: row.pk - row.pk + 10}, [10, 11, 12, 13, 14], id="callable"
        ),
        ({"reset_value": 3}, [1, 2, 1, 2, 1]),
        ({"reuse": "gaps"}, [1, 2, 3, 4, 5]),
        ({"reuse": "last"}, [1, 2, 3, 4, 5]),
        ({"skip_used": True}, [1, 2, 3, 4, 5]),
        ({"timeout": 20}, [1, 2, 3, 4, 5]),
        ({"primary_key": False, "db_column": "no"}, [1, 2, 3, 4, 5]),
    ],
    ids=str,
)
def test_options(options: dict[str, Any], expected: list[int], using: str) -> None:
    """The field's options hold as they do for rows that are inserted."""
    with letters(using, **document(**options)) as rows:
        drafts(rows, 5)
        done = assign_numbers(rows.all(), batch_size=2)
        assert numbers(rows) == expected
        assert (done.rows, last(using, "s")) == (5, expected[-1])


def test_reuse_and_skip_used(using: str) -> None:
    """Gaps are filled, and numbers that rows have are left out."""
    for options, given in (({"reuse": "gaps"}, [2, 4]), ({"skip_used": True}, [2, 4])):
        with letters(using, **document(unique=True, **options)) as rows:
            rows.create(number=3)
            rows.create(number=1)
            set_last_value(1, "s", force=True, using=using)
            drafts(rows, 2)
            assign_numbers(rows.all())
            assert numbers(rows) == [3, 1, *given]
            set_last_value(0, "s", force=True, using=using)


def test_without_a_condition(using: str) -> None:
    """A field with null=True has rows that wait, too."""
    with letters(using, number=SequenceField("s", null=True)) as rows:
        rows.create()
        rows.update(number=None)
        assert assign_numbers(rows.all()).rows == 1
        assert numbers(rows) == [2]


def test_other_primary_keys(using: str) -> None:
    """Rows are found again by whatever their key is."""
    key = models.CharField(max_length=9, primary_key=True)
    with letters(using, key=key, **document(unique=True)) as rows:
        for name in "ba":
            drafts(rows, 1, key=name)
        assign_numbers(rows.all())
        assert {row.key: row.number for row in rows.all()} == {"a": 1, "b": 2}


def test_a_child_and_its_parent(using: str) -> None:
    """The number of a child's own table, by a scope and a condition of its parent's."""
    meta = type("Meta", (), {"app_label": "numbered"})
    with isolate_apps("tests.numbered"):
        parent = model_with(kind=models.CharField(max_length=9), posted=models.BooleanField())
        number = SequenceField("s", when="posted", scope="kind")
        child: Any = type(
            "Child", (parent,), {"__module__": __name__, "Meta": meta, "number": number}
        )
    with tables(using, parent, child):
        rows = child.objects.using(using)
        for kind in "aba":
            row = rows.create(kind=kind, posted=False)
            parent.objects.using(using).filter(pk=row.pk).update(posted=True)
        assert assign_numbers(rows.all()).rows == 3
        assert numbers(rows) == [1, 1, 2]
        row = rows.create(kind="a", posted=False)
        parent.objects.using(using).filter(pk=row.pk).update(posted=True)
        work = Elsewhere(lambda: assign_numbers(rows.all(), locked="wait"), using)
        if connections[using].features.has_select_for_update:
            with transaction.atomic(using=using):
                parent.objects.using(using).filter(pk=row.pk).update(posted=True)
                work.start()
                assert work.result().rows == 1  # It doesn't wait for the row of the parent.


def test_a_draft_that_is_locked(rows: Any, using: str) -> None:
    """By default, a locked draft is skipped and numbered later; those after it are numbered now."""
    if not connections[using].features.has_select_for_update_skip_locked:
        pytest.skip("the whole database is locked, or no row can be skipped")
    drafts(rows, 4)
    pk = rows.order_by("pk")[1].pk
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(using=using):
            rows.select_for_update().get(pk=pk)
            held.set()
            assert release.wait(60)

    def work() -> None:
        assert held.wait(60)
        try:
            assert assign_numbers(rows.all(), batch_size=3) == Assigned({"s.a": (1, 3)}, 3, 1)
        finally:
            release.set()

    together([hold, work], using)
    assert numbers(rows) == [1, None, 2, 3]
    assert last(using) == 3
    assert assign_numbers(rows.all()).rows == 1
    assert numbers(rows) == [1, 4, 2, 3]


@pytest.mark.parametrize(("condition", "expected"), [(True, 1), (False, 0)], ids=str)
def test_a_row_that_refers_to_a_draft(condition: bool, expected: int, using: str) -> None:
    """On PostgreSQL, its insertion blocks the draft only if a foreign key can use the number."""
    if connections[using].vendor != "postgresql":
        pytest.skip("others lock no row for a foreign key so that an UPDATE waits for it")
    not_null = Q(number__isnull=False) if condition else None
    with isolate_apps("tests.numbered"):
        model = model_with(**document(scope="kind"))
        constraint = UniqueConstraint(
            fields=["kind", "number"], condition=not_null, name="u_letter"
        )
        model._meta.constraints = [constraint]
        meta = type("Meta", (), {"app_label": "numbered"})
        key = models.ForeignKey(model, on_delete=models.CASCADE)
        line: Any = type("Line", (models.Model,), {"__module__": __name__, "Meta": meta, "of": key})
    with tables(using, model, line):
        rows = model.objects.using(using)
        drafts(rows, 1)

        def work() -> None:
            assert assign_numbers(rows.all()).rows == expected

        with transaction.atomic(using=using):
            with connections[using].cursor() as cursor:  # Django's wait for the COMMIT
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            line.objects.using(using).create(of=rows.get())
            together([work], using)


@pytest.mark.parametrize("where", ["scope", "queryset", "text"])
@pytest.mark.parametrize("locked", ["skip", "wait"])
def test_rows_of_other_tables_are_not_locked(locked: Any, where: str, using: str) -> None:
    """Others may have locked a row that drafts refer to, and then wait for the counter."""
    if not connections[using].features.has_select_for_update:
        pytest.skip("the whole database is locked")
    project = Project.objects.using(using).create(code="p")
    fields: dict[str, Any] = {
        "project": models.ForeignKey(Project, models.CASCADE, related_name="+")
    }
    fields |= document(scope="project__code" if where == "scope" else None)
    if where == "text":
        form = NumberFormat("{project__code}-{number}")
        fields["text"] = FormattedNumberField(form, max_length=60, null=True)
    with letters(using, **fields) as rows:
        drafts(rows, 3, project=project)
        chosen = rows.filter(project__code="p") if where == "queryset" else rows.all()
        work = Elsewhere(lambda: assign_numbers(chosen, locked=locked), using)
        with transaction.atomic(using=using):
            Project.objects.using(using).filter(pk=project.pk).update(code="p")
            work.start()
            assert work.result().rows == 3
        assert numbers(rows) == [1, 2, 3]
        if where == "text":
            assert list(rows.order_by("pk").values_list("text", flat=True)) == ["p-1", "p-2", "p-3"]


@pytest.mark.parametrize("change", ["redate", "delete", "unpost", "nothing"])
def test_waiting_for_a_draft_that_is_locked(change: str, rows: Any, using: str) -> None:
    """With locked="wait", rows are ordered by their values at the time they are numbered."""
    if not connections[using].features.has_select_for_update:
        pytest.skip("the whole database is locked")
    drafts(rows, 4)
    pks = list(rows.order_by("pk").values_list("pk", flat=True))
    held, counter = threading.Event(), threading.Event()
    outcome = [change]

    def hold() -> None:
        try:
            change_it()
        except OperationalError as error:
            # The worker waits for the row with its index entry locked, which a deletion locks too.
            is_conflict = get_allocator(connections[using]).is_retryable(error)
            if connections[using].vendor != "mysql" or not is_conflict:
                raise
            outcome[0] = "nothing"

    def change_it() -> None:
        with transaction.atomic(using=using):
            row = rows.select_for_update().get(pk=pks[0])
            held.set()
            assert counter.wait(60)
            if change == "redate":
                row.issued_on = DAY + timedelta(9)
                row.save(update_fields=["issued_on"])
            elif change == "delete":
                row.delete()
            elif change == "unpost":
                rows.filter(pk=row.pk).update(posted=False)

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "FOR UPDATE" in sql or "FOR NO KEY UPDATE" in sql:
            counter.set()
        return execute(sql, params, many, context)

    def work() -> None:
        assert held.wait(60)
        with connections[using].execute_wrapper(note):
            assign_numbers(rows.all(), order_by=("issued_on", "pk"), batch_size=2, locked="wait")

    together([hold, work], using)
    expected = {
        "redate": [4, 1, 2, 3],
        "delete": [1, 2, 3],
        "unpost": [None, 1, 2, 3],
        "nothing": [1, 2, 3, 4],
    }
    if change in ("delete", "unpost"):
        assert assign_numbers(rows.all(), order_by=("issued_on", "pk")).rows in (0, 1)
    assert numbers(rows) == expected[outcome[0]]


def test_bad_arguments(rows: Any, using: str) -> None:
    """Invalid arguments are refused without a query."""
    with isolate_apps("tests.numbered"):
        by_function: Any = model_with(number=SequenceField(scope=lambda row: 1, null=True))
    other: Any = Invoice.objects.using(using).all()
    bad: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (TypeError, "queryset", lambda: assign_numbers(rows.model)),
        (TypeError, "queryset", lambda: assign_numbers(rows.model.objects)),
        (TypeError, "field_name must be a str", lambda: assign_numbers(rows.all(), 1)),  # type: ignore[arg-type]
        (ValueError, "kind is not a SequenceField", lambda: assign_numbers(rows.all(), "kind")),
        (ValueError, "x is not a SequenceField", lambda: assign_numbers(rows.all(), "x")),
        (ValueError, "already have numbers", lambda: assign_numbers(other)),
        (ValueError, "function", lambda: assign_numbers(by_function.objects.all())),
        (ValueError, "sliced", lambda: assign_numbers(rows.all()[:2])),
        (ValueError, "distinct", lambda: assign_numbers(rows.distinct())),
        (ValueError, "union", lambda: assign_numbers(rows.union(rows.all()))),
        (
            ValueError,
            "aggregates",
            lambda: assign_numbers(rows.annotate(n=models.Count("kind"))),
        ),
        (
            ValueError,
            "rows with equal values",
            lambda: assign_numbers(rows.all(), order_by=["issued_on"]),
        ),
        (ValueError, "rows with equal values", lambda: assign_numbers(rows.all(), order_by=[])),
        (ValueError, "of numbered.Letter itself", lambda: assign_numbers(rows, order_by=["x"])),
        (ValueError, "itself", lambda: assign_numbers(rows.all(), order_by=["?", "pk"])),
        (TypeError, "list", lambda: assign_numbers(rows.all(), order_by="pk")),
        (TypeError, "list", lambda: assign_numbers(rows.all(), order_by=[F("pk")])),  # type: ignore[list-item]
        (ValueError, "at least 1", lambda: assign_numbers(rows.all(), batch_size=0)),
        (TypeError, "batch_size", lambda: assign_numbers(rows.all(), batch_size=True)),
        (ValueError, "'skip' or 'wait'", lambda: assign_numbers(rows.all(), locked="x")),  # type: ignore[arg-type]
    ]
    with CaptureQueriesContext(connections[using]) as queries:
        for kind, text, call in bad:
            with pytest.raises(kind, match=text):
                call()
    assert not queries.captured_queries


def test_inside_a_transaction(rows: Any, using: str) -> None:
    """assign_numbers() must commit, so it refuses to run in a transaction."""
    with transaction.atomic(using=using), pytest.raises(RuntimeError, match="outside atomic"):
        assign_numbers(rows.all())


def test_the_end_of_the_numbers(rows: Any, using: str) -> None:
    """A batch that would pass 2**63 - 1 is refused, and nothing is changed."""
    drafts(rows, 3)
    set_last_value(2**63 - 3, "s.a", using=using)
    with pytest.raises(SequenceExhausted):
        assign_numbers(rows.all())
    assert numbers(rows) == [None] * 3
    assert last(using) == 2**63 - 3


def test_nothing_of_a_batch_is_left(using: str) -> None:
    """A counter that no row was found for after it was locked isn't there afterwards."""
    with letters(using, **document(unique=True)) as rows:
        drafts(rows, 1)
        gone: list[Any] = []

        def delete(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            result = execute(sql, params, many, context)
            if not gone and "COUNT(" in sql:
                gone.append(rows.all().delete())
            return result

        with connections[using].execute_wrapper(delete):
            assert assign_numbers(rows.all()) == Assigned({}, 0, 0)
        assert gone
        assert last(using, "s") is None


def test_fewer_rows_than_there_were(rows: Any, using: str) -> None:
    """The counter is where the rows are, though more were counted than were there."""
    drafts(rows, 5)
    gone: list[Any] = []

    def delete(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if not gone and "COUNT(" in sql:
            gone.append(rows.filter(pk=rows.order_by("pk")[1].pk).delete())
        return result

    with connections[using].execute_wrapper(delete):
        assert assign_numbers(rows.all()).rows == 4
    assert (numbers(rows), last(using)) == ([1, 2, 3, 4], 4)


@pytest.mark.parametrize("locked", ["skip", "wait"])
@pytest.mark.parametrize("seed", range(2))
def test_workers_savers_and_editors_at_once(locked: Any, seed: int, using: str) -> None:
    """Two workers, savers that post, people who redate, move and delete drafts: 1..n at the end."""
    constraint = UniqueConstraint(
        fields=["kind", "number"],
        condition=Q(number__isnull=False),
        name="numbered_letter_kind_number",
    )
    fields = document(scope="kind", unique=connections[using].vendor == "none")
    with isolate_apps("tests.numbered"):
        model = model_with(**fields)
    model._meta.constraints = [constraint]
    with tables(using, model):
        rows = model.objects.using(using)
        rows.bulk_create([model(posted=False, kind="ab"[i % 2], issued_on=DAY) for i in range(300)])
        posting = threading.Event()

        def worker() -> None:
            while True:
                over = posting.is_set()
                assign_numbers(
                    rows.all(), order_by=("issued_on", "pk"), batch_size=7, locked=locked
                )
                if over:
                    return

        def poster() -> None:
            try:
                for row in list(rows.filter(posted=False)[:100]):
                    rows.filter(pk=row.pk).update(posted=True)
                    if row.pk % 3 == 0:
                        row.posted = True
                        try:
                            row.save(update_fields=["posted"])
                        except DatabaseError as error:
                            if "did not affect any rows" not in str(error):
                                raise
                    if row.pk % 5 == 0:
                        rows.create(kind=row.kind, posted=True)
            finally:
                posting.set()

        def editor(number: int) -> Callable[[], None]:
            chance = random.Random(seed * 10 + number)

            def edit() -> None:
                while not posting.is_set():
                    pks = list(rows.filter(number=None).values_list("pk", flat=True))
                    if not pks:
                        return
                    with transaction.atomic(using=using):
                        pk = chance.choice(pks)
                        found = rows.select_for_update().filter(pk=pk, number=None).first()
                        if found is None:
                            continue
                        match chance.randrange(3):
                            case 0:
                                found.issued_on = DAY + timedelta(chance.randrange(99))
                                found.save(update_fields=["issued_on"])
                            case 1:
                                rows.filter(pk=pk).update(kind=chance.choice("ab"))
                            case _:
                                rows.filter(pk=pk).delete()

            return edit

        together([worker, worker, poster, editor(1), editor(2)], using)
        assign_numbers(rows.all(), order_by=("issued_on", "pk"))
        assert not rows.filter(posted=True, number=None).exists()
        for kind in "ab":
            given = sorted(
                rows.filter(kind=kind, number__isnull=False).values_list("number", flat=True)
            )
            assert given == list(range(1, len(given) + 1))
            assert (last(using, f"s.{kind}") or 0) == len(given)


def test_a_rolled_back_taker_beside_it(rows: Any, using: str) -> None:
    """A number that an open transaction takes, and gives back, is given by the worker."""
    drafts(rows, 2)
    with rolled_back(using):
        assert rows.create().number == 1
    assign_numbers(rows.all())
    assert numbers(rows) == [1, 2]


@pytest.mark.parametrize("table", ["todo", "chosen", "select"])
def test_a_table_of_any_name(table: str, using: str) -> None:
    """The statement's own names don't collide with that of the table."""
    with isolate_apps("tests.numbered"):
        meta = type("Meta", (), {"app_label": "numbered", "db_table": table})
        fields = {"__module__": __name__, "Meta": meta, **document(unique=True)}
        model: Any = type("Letter", (models.Model,), fields)
    with tables(using, model):
        found = model.objects.using(using)
        drafts(found, 2)
        assert assign_numbers(found.all()).rows == 2
        assert numbers(found) == [1, 2]


@pytest.mark.parametrize("options", [{}, {"reuse": "gaps"}, {"initial_value": lambda row: 1}])
def test_a_queryset_with_other_results(options: dict[str, Any], using: str) -> None:
    """What the queryset would return doesn't matter: values, joined or deferred columns."""
    company = models.ForeignKey(Company, models.CASCADE, null=True, related_name="+")
    with letters(using, company=company, **document(unique=True, **options)) as rows:
        for chosen in (
            rows.values("kind"),
            rows.values(),
            rows.values_list("pk", flat=True),
            rows.select_related("company"),
            rows.only("kind"),
            rows.defer("number", "kind"),
        ):
            drafts(rows, 1)
            assert assign_numbers(chosen).rows == 1
        assert numbers(rows) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "when", [Q(state="posted"), Q(state__in=["posted", "sent"]), ~Q(state="draft")], ids=repr
)
def test_texts_that_the_collation_merges(when: Q, using: str) -> None:
    """A condition compares texts byte for byte, as save() does, whatever the collation."""
    number = SequenceField("s", when=when)
    states = ["posted", "Posted", "POSTED", "posted ", "draft", "Draft", "draft "]
    with letters(using, state=models.CharField(max_length=9, null=True), number=number) as rows:
        rows.bulk_create([rows.model(state=state) for state in [*states, None]])
        due = set(rows.exclude(number=None).values_list("state", flat=True))
        rows.update(number=None)
        assert assign_numbers(rows.all()).rows == len(due)
        assert set(rows.exclude(number=None).values_list("state", flat=True)) == due
        assert due == ({"posted"} if not when.negated else {*states, None} - {"draft"})
