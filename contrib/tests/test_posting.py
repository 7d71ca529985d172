"""Rows that are numbered when a condition has become true: ``SequenceField(when=…)``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.serializers.base import DeserializedObject
from django.db import IntegrityError, connections, models, transaction
from django.db.models import F, Q, UniqueConstraint, Value
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext, isolate_apps
from sequences_contrib.fields import SequenceField

from sequences_core import NextValue, delete, get_last_value
from tests.numbered.blocks import (
    MODES,
    atomic_if,
    letters,
    model_with,
    rolled_back,
    tables,
    together,
)
from tests.numbered.models import Company, Project

APPS = ["tests.numbered"]

modes = pytest.mark.parametrize("atomic", MODES.values(), ids=MODES)


def document(when: Any = "posted", **fields: Any) -> dict[str, Any]:
    """The fields of a document that is numbered when it is posted."""
    return {
        "posted": models.BooleanField(default=False),
        "posted_at": models.DateTimeField(null=True),
        "kind": models.CharField(max_length=9, default="a"),
        "note": models.CharField(max_length=9, null=True, unique=True),
        "number": SequenceField("s", when=when, **{"unique": True, **fields}),
    }


@pytest.fixture
def rows(using: str) -> Iterator[Any]:
    """Documents with one counter, numbered when ``posted`` is true."""
    with letters(using, **document()) as found:
        yield found


def last(using: str, name: str = "s") -> int | None:
    return get_last_value(name, using=using)


@modes
def test_a_draft_has_no_number(atomic: bool, rows: Any, using: str) -> None:
    """An INSERT numbers a row whose condition is true, and takes no number for others."""
    with atomic_if(atomic, using):
        assert rows.create().number is None
        assert last(using) is None
        assert rows.create(posted=True).number == 1
        rows.bulk_create([rows.model(posted=i % 2 == 0) for i in range(4)])
        numbers = rows.order_by("pk").values_list("number", flat=True)
        assert list(numbers) == [None, 1, 2, None, 3, None]
        assert last(using) == 3


@modes
def test_the_save_that_posts_numbers(atomic: bool, rows: Any, using: str) -> None:
    """A draft that is posted gets the next number, once; further saves leave it."""
    rows.create(posted=True)
    draft = rows.create()
    with atomic_if(atomic, using):
        draft.save()
        assert draft.number is None
        draft.posted = True
        draft.save()
        assert draft.number == 2
        draft.save()
        assert draft.number == rows.get(pk=draft.pk).number == 2
    draft.note = "x"
    draft.save()
    assert [draft.number, rows.get(pk=draft.pk).number, last(using)] == [2, 2, 2]


@modes
@pytest.mark.parametrize("names", ["posted", "posted note", "number", "number posted"])
def test_update_fields(names: str, atomic: bool, rows: Any, using: str) -> None:
    """A save that leaves the number out numbers the row, if it stores the condition."""
    draft = rows.create()
    draft.posted = True
    if "posted" not in names:
        rows.filter(pk=draft.pk).update(posted=True)
    with atomic_if(atomic, using):
        draft.save(update_fields=names.split())
        assert draft.number == rows.get(pk=draft.pk).number == 1
    assert last(using) == 1


def test_a_save_of_something_else(rows: Any, using: str) -> None:
    """A condition that is true only in memory doesn't number the row."""
    draft = rows.create()
    draft.posted = True
    draft.note = "x"
    draft.save(update_fields=["note"])
    assert (draft.number, rows.get(pk=draft.pk).number, last(using)) == (None, None, None)


@modes
def test_two_stale_instances(atomic: bool, rows: Any, using: str) -> None:
    """If two instances post one document, the second gets the first one's number."""
    pk = rows.create().pk
    first, second = rows.get(pk=pk), rows.get(pk=pk)
    for row in (first, second):
        row.posted = True
        with atomic_if(atomic, using):
            row.save()
    assert (first.number, second.number, rows.get(pk=pk).number, last(using)) == (1, 1, 1, 1)
    assert rows.create(posted=True).number == 2


def test_a_stale_draft_takes_no_number_away(rows: Any, using: str) -> None:
    """A draft that was loaded before others posted it doesn't overwrite the number with null."""
    pk = rows.create().pk
    stale, posting = rows.get(pk=pk), rows.get(pk=pk)
    posting.posted = True
    posting.save()
    stale.note = "stale"
    stale.save()
    row = rows.get(pk=pk)
    assert (row.number, row.posted, row.note) == (1, False, "stale")
    stale.posted = True
    stale.save()
    assert (stale.number, last(using)) == (1, 1)


def test_a_condition_that_becomes_false(rows: Any, using: str) -> None:
    """A number stays when the condition is no longer true, and when it is true again."""
    row = rows.create(posted=True)
    for posted in (False, True):
        row.posted = posted
        row.save()
        assert row.number == rows.get(pk=row.pk).number == 1
    assert last(using) == 1


@modes
def test_a_failed_save(atomic: bool, rows: Any, using: str) -> None:
    """A save that fails consumes no number, and takes it back from the instance."""
    rows.create(note="taken")
    draft = rows.create()
    draft.posted, draft.note = True, "taken"
    with pytest.raises(IntegrityError), atomic_if(atomic, using):
        draft.save()
    assert (draft.number, last(using)) == (None, None)
    draft.note = "free"
    draft.save()
    assert (draft.number, last(using)) == (1, 1)


def test_a_transaction_that_is_rolled_back(rows: Any, using: str) -> None:
    """An instance that was numbered in it is numbered again, although it has the old number."""
    draft = rows.create()
    draft.posted = True
    with rolled_back(using):
        draft.save()
        draft.note = "x"
        draft.save()
        assert (draft.number, last(using)) == (1, 1)
    assert rows.create(posted=True).number == 1
    draft.save()
    assert (draft.number, rows.get(pk=draft.pk).number, last(using)) == (2, 2, 2)


def test_a_savepoint_that_is_rolled_back(rows: Any, using: str) -> None:
    """After a savepoint is rolled back, the same instance is numbered again."""
    draft = rows.create()
    draft.posted = True
    with transaction.atomic(using=using):
        with rolled_back(using):
            draft.save()
        assert rows.create(posted=True).number == 1
        draft.save()
        assert draft.number == 2
    assert (rows.get(pk=draft.pk).number, last(using)) == (2, 2)


def test_rolled_back_and_a_draft_again(rows: Any, using: str) -> None:
    """A number of a transaction that was rolled back is not stored for a draft."""
    draft = rows.create()
    draft.posted = True
    with rolled_back(using):
        draft.save()
    draft.posted = False
    draft.save()
    assert rows.get(pk=draft.pk).number is None


def test_read_in_a_transaction_that_is_rolled_back(rows: Any, using: str) -> None:
    """A number that was read there, and is no longer the row's, is replaced by the next one."""
    draft = rows.create()
    with rolled_back(using):
        draft.posted = True
        draft.save()
        other = rows.get(pk=draft.pk)
    assert rows.create(posted=True).number == 1
    other.note = "x"
    other.save()
    assert rows.get(pk=draft.pk).number == other.number == 2


@modes
def test_deferred(atomic: bool, rows: Any, using: str) -> None:
    """An instance whose number was not loaded posts its row, and keeps a number that is there."""
    pk = rows.create().pk
    for _ in range(2):
        row = rows.only("posted").get(pk=pk)
        row.posted = True
        with atomic_if(atomic, using):
            row.save()
        assert row.number == rows.get(pk=pk).number == 1
    row = rows.defer("posted").get(pk=pk)
    row.save()
    assert last(using) == 1


@modes
def test_explicit_numbers(atomic: bool, rows: Any, using: str) -> None:
    """A number that somebody sets is kept, and moves the counter past it, in updates as well."""
    first, second = rows.create(), rows.create(number=3)
    assert last(using) == 3
    first.number, first.posted = 7, True
    with atomic_if(atomic, using):
        first.save()
        assert rows.create(posted=True).number == 8
        second.number = 20
        second.save(update_fields=["number"])
    assert sorted(rows.values_list("number", flat=True)) == [7, 8, 20]
    assert last(using) == 20


def test_a_row_that_is_not_there(rows: Any, using: str) -> None:
    """A primary key that nobody has is inserted, with one number; of a deleted row as well."""
    row = rows.model(pk=10**6, posted=True)
    row.save(using=using)
    assert (row.number, last(using)) == (1, 1)
    draft = rows.create(pk=10**6 + 1)
    loaded = rows.get(pk=draft.pk)
    draft.delete()
    loaded.posted = True
    loaded.save()
    assert (loaded.number, last(using)) == (2, 2)
    draft = rows.create()
    rows.filter(pk=draft.pk).delete()
    draft.posted = True
    with pytest.raises(Exception, match="did not affect any rows"):
        draft.save(update_fields=["posted"])
    assert (draft.number, last(using)) == (None, 2)


def test_the_primary_key_of_a_numbered_row(rows: Any, using: str) -> None:
    """An instance made by hand for a row that has a number ends with that number."""
    pk = rows.create(posted=True).pk
    row = rows.model(pk=pk, posted=True, note="x")
    row.save(using=using)
    assert (row.number, rows.get(pk=pk).number, last(using)) == (1, 1, 1)


def test_copies(rows: Any, using: str) -> None:
    """A copy of a posted document gets a number of its own; of one that is a draft again, none."""
    row = rows.create()
    row.posted = True
    row.save()
    for posted, expected in ((True, 2), (False, None)):
        copied = rows.get(pk=row.pk)
        copied.pk, copied._state.adding, copied.posted = None, True, posted
        copied.save()
        assert copied.number == expected
    row.pk = None
    row.save()
    assert row.number == 3


def test_get_or_create_and_update_or_create(rows: Any, using: str) -> None:
    """Both methods number rows like save()."""
    row, _ = rows.get_or_create(note="x")
    row, created = rows.update_or_create(note="x", defaults={"posted": True})
    assert (row.number, created) == (1, False)
    assert rows.get(pk=row.pk).number == 1


def test_queryset_update_and_bulk_update(rows: Any, using: str) -> None:
    """Neither method calls save(), so neither numbers rows."""
    draft = rows.create()
    rows.update(posted=True)
    draft.posted = True
    rows.bulk_update([draft], ["posted", "number"])
    assert rows.get().number is None
    draft.save()
    assert draft.number == 1


def test_loaddata(rows: Any, using: str) -> None:
    """A fixture's rows are stored as the fixture says."""
    draft = rows.create(posted=True)
    for number in (None, 5):
        draft.number = number
        row = rows.model(pk=draft.pk, posted=True, number=number)
        DeserializedObject(row).save(using=using)
        assert rows.get().number == number
    assert last(using) == 1


MOMENT = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "draft", "posted"),
    [
        ("posted", {"posted": False}, {"posted": "True"}),
        ("posted_at", {"posted_at": None}, {"posted_at": MOMENT}),
        ("note", {"note": None}, {"note": ""}),
        (Q(kind="b"), {"kind": "a"}, {"kind": "b"}),
        (Q(kind__in=["b", "c", None]), {"kind": "a"}, {"kind": "c"}),
        (~Q(note="draft"), {"note": "draft"}, {"note": None}),
        (~(~Q(note="x")), {"note": None}, {"note": "x"}),
        (Q(note__isnull=False), {"note": None}, {"note": "x"}),
        (Q(note=None), {"note": "x"}, {"note": None}),
        (Q(posted=True) & ~Q(kind__in=["d"]), {"posted": True, "kind": "d"}, {"kind": "a"}),
        (Q(posted=True) | Q(kind="b"), {"posted": False}, {"kind": "b"}),
    ],
    ids=str,
)
def test_conditions(when: Any, draft: dict[str, Any], posted: dict[str, Any], using: str) -> None:
    """Each condition has the same result in Python and in the database."""
    with letters(using, **document(when)) as rows:
        row = rows.create(**draft)
        condition = rows.model._meta.get_field("number").condition
        assert row.number is None
        assert not rows.filter(condition).exists()
        for name, value in posted.items():
            setattr(row, name, value)
        row.save()
        assert row.number == 1
        assert rows.filter(condition).exists()


def test_values_that_the_database_says(using: str) -> None:
    """A condition on what only the database knows is an error, with nothing stored or taken."""
    with letters(using, **document("posted_at")) as rows:
        with pytest.raises(ValueError, match="must be known before"):
            rows.create(posted_at=Now())
        draft = rows.create()
        draft.posted_at = Now()
        with pytest.raises(ValueError, match="must be known before"):
            draft.save()
        assert (rows.get().posted_at, last(using)) == (None, None)


def test_a_default_of_the_database(using: str) -> None:
    """A ``db_default`` that is a constant is known."""
    fields = document()
    fields["posted"] = models.BooleanField(db_default=False)
    with isolate_apps("tests.numbered"):
        model = model_with(**fields)
    field, connection = model._meta.get_field("number"), connections[using]
    assert not field.is_due(model(), connection)
    assert field.is_due(model(posted=True), connection)


def test_a_number_inside_the_statement(rows: Any, using: str) -> None:
    """An expression that somebody sets is left to the database."""
    draft = rows.create()
    draft.posted, draft.number = True, NextValue("s")
    draft.save()
    assert (rows.get(pk=draft.pk).number, last(using)) == (1, 1)


@modes
def test_scopes(atomic: bool, using: str) -> None:
    """The counter is that of the scope as it is stored, whatever the instance has in memory."""
    with letters(using, **document(scope="kind", unique=False)) as rows:
        draft = rows.create(kind="a")
        rows.filter(pk=draft.pk).update(kind="b")
        draft.posted = True
        with atomic_if(atomic, using):
            draft.save(update_fields=["posted"])  # kind is b in the database
        assert (last(using, "s.a"), last(using, "s.b")) == (None, 1)
        other = rows.create(kind="a")
        other.kind, other.posted = "c", True
        with atomic_if(atomic, using):
            other.save()
        assert last(using, "s.c") == other.number == 1


def test_scope_moved_between_reading_and_updating(using: str) -> None:
    """A document that is moved while it is posted gets a number of its new scope."""
    with letters(using, **document(scope="kind", unique=False)) as rows:
        draft = rows.create(kind="a")
        moved: list[str] = []

        def move(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            result = execute(sql, params, many, context)
            if not moved and sql.startswith("SELECT") and "FOR UPDATE" not in sql:
                moved.append(sql)
                rows.filter(pk=draft.pk).update(kind="b")
            return result

        draft.posted = True
        with connections[using].execute_wrapper(move):
            draft.save(update_fields=["posted"])
        assert moved
        assert (draft.number, last(using, "s.a"), last(using, "s.b")) == (1, None, 1)


def test_a_scope_without_a_value(using: str) -> None:
    """A row whose scope is null gets no number."""
    kind = models.CharField(max_length=9, null=True)
    with letters(using, **{**document(scope="kind", unique=False), "kind": kind}) as rows:
        draft = rows.create()
        draft.posted = True
        draft.save()
        assert draft.number is None
        draft.kind = "a"
        draft.save()
        assert draft.number == 1


def test_a_path(using: str) -> None:
    """The end of a path is looked up in the database when the document is posted."""
    company, other = (Company.objects.using(using).create(name=name) for name in "ab")
    project = Project.objects.using(using).create(company=company)
    project_field = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    number = {"scope": [Value("r"), F("project__company")], "unique": False}
    with letters(using, **document(**number), project=project_field) as rows:
        draft = rows.create(project=project)
        Project.objects.using(using).update(company=other)
        draft.posted = True
        draft.save()
        assert last(using, f"s.r.{other.pk}") == draft.number == 1


@pytest.mark.parametrize(
    "options",
    [
        {"initial_value": 10},
        pytest.param({"initial_value": lambda row: 10}, id="callable"),
        {"reset_value": 3, "unique": False},
        {"reuse": "gaps"},
        {"reuse": "last"},
        {"skip_used": True},
        {"timeout": 20},
    ],
    ids=str,
)
def test_options(options: dict[str, Any], using: str) -> None:
    """Numbers of posted rows are those that inserted rows would get."""
    numbers = []
    for is_posted in (True, False):
        with letters(using, **document(**options)) as rows:
            for _ in range(4):
                row = rows.create(posted=is_posted)
                row.posted = True
                row.save()
            numbers.append(list(rows.order_by("pk").values_list("number", flat=True)))
        delete("s", using=using)
    assert numbers[0] == numbers[1]


def test_two_numbers_of_one_row(using: str) -> None:
    """Each number has its own condition; one UPDATE stores both, in the order of their names."""
    fields = document()
    fields["receipt"] = SequenceField("a", when=Q(kind="paid"), unique=True)
    with letters(using, **fields) as rows:
        row = rows.create()
        row.posted = True
        row.save()
        assert (row.number, row.receipt) == (1, None)
        row.kind = "paid"
        row.save()
        assert (row.number, row.receipt) == (1, 1)
        both = rows.create()
        stale = rows.get(pk=both.pk)
        both.posted = True
        both.save()
        stale.posted, stale.kind = True, "paid"
        with CaptureQueriesContext(connections[using]) as queries:
            stale.save()
        assert (stale.number, stale.receipt) == (2, 2)
        assert (last(using), last(using, "a")) == (2, 2)
        assert queries


@modes
def test_a_parent_is_posted(atomic: bool, using: str) -> None:
    """Multi-table inheritance: the parent's row is numbered, and not if the child's fails."""
    with isolate_apps("tests.numbered"):
        parent = model_with(**document())
        meta = type("Meta", (), {"app_label": "numbered"})
        own = models.CharField(max_length=9, unique=True)
        child: Any = type("Child", (parent,), {"__module__": __name__, "Meta": meta, "own": own})
    with tables(using, parent, child):
        rows = child.objects.using(using)
        rows.create(own="taken")
        row = rows.create(own="x")
        row.posted, row.own = True, "taken"
        with pytest.raises(IntegrityError), atomic_if(atomic, using):
            row.save()
        assert (row.number, last(using)) == (None, None)
        row.own = "y"
        with atomic_if(atomic, using):
            row.save()
        assert (row.number, rows.get(pk=row.pk).number, last(using)) == (1, 1, 1)


def test_statements(rows: Any, using: str) -> None:
    """A posting save takes the number and updates; other saves have no statement more."""
    rows.create(posted=True)
    draft = rows.create()
    with CaptureQueriesContext(connections[using]) as queries:
        draft.save()
    assert len([query for query in queries if "UPDATE" in query["sql"]]) == len(queries) == 1
    draft.posted = True
    with CaptureQueriesContext(connections[using]) as queries:
        draft.save()
    sent = [q["sql"] for q in queries if q["sql"].split()[0] not in ("BEGIN", "COMMIT", "BEGIN;")]
    assert len(sent) == 2
    with CaptureQueriesContext(connections[using]) as queries:
        draft.save()
    assert len(queries) == 1


def test_two_posters_at_once(rows: Any, using: str) -> None:
    """Eight requests that post the same documents at the same moment number each once."""
    pks = [rows.create().pk for _ in range(10)]
    ends: list[list[int]] = []

    def post() -> None:
        loaded = [rows.get(pk=pk) for pk in pks]
        for row in loaded:
            row.posted = True
            row.save()
        ends.append([row.number for row in loaded])

    together([post] * 8, using)
    numbers = [rows.get(pk=pk).number for pk in pks]
    assert sorted(numbers) == list(range(1, 11))
    assert ends == [numbers] * 8
    assert last(using) == 10


def test_constraint(using: str) -> None:
    """With unique_with, the constraint applies only to numbered rows."""
    with letters(using, **document(unique_with="kind", unique=False)) as rows:
        rows.bulk_create([rows.model() for _ in range(3)])
        assert isinstance(rows.model._meta.constraints[0], UniqueConstraint)
        assert [rows.create(posted=True, kind=kind).number for kind in "aab"] == [1, 2, 1]
