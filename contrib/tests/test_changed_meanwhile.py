"""What others change between a row's being read and its being numbered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import groupby
from threading import Thread
from typing import Any

import pytest
from django.db import DatabaseError, connections, models, transaction
from django.db.models import Model, Q
from django.test.utils import CaptureQueriesContext, isolate_apps
from sequences_contrib.afterwards import void
from sequences_contrib.exceptions import NumberProtected, OutOfOrder
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.models import Void
from sequences_contrib.periods import Year
from sequences_contrib.posting import assign_numbers
from sequences_contrib.protection import ProtectNumbered
from sequences_contrib.texts import FormattedNumberField

from sequences_core import get_last_value
from sequences_core.testing.threads import Elsewhere
from tests.blocked import HELD
from tests.numbered.blocks import atomic_if, letters, model_with, tables
from tests.numbered.models import Company, Project

APPS = ["tests.numbered", "sequences_contrib"]

READY = Q(posted=True, branch="x")


class Others:
    """Do something on another connection when a number's maximum is asked for, once."""

    def __init__(self) -> None:
        self.to_do: list[Callable[[], Any]] = []

    def maximum(self, row: Model) -> None:
        while self.to_do:
            thread = Thread(target=self._do, args=[self.to_do.pop()])
            thread.start()
            thread.join()

    @staticmethod
    def _do(action: Callable[[], Any]) -> None:
        try:
            action()
        finally:
            connections.close_all()


@contextmanager
def documents(using: str, others: Others, **options: Any) -> Iterator[Any]:
    number = SequenceField("s", unique=True, maximum=others.maximum, **options)
    text = FormattedNumberField(NumberFormat("{branch}-{number}"), max_length=60, null=True)
    with letters(
        using,
        branch=models.CharField(max_length=9, default="x"),
        issued_on=models.DateField(default=date(2026, 6, 1)),
        posted=models.BooleanField(default=False),
        number=number,
        text=text,
    ) as rows:
        yield rows


def test_the_date(using: str) -> None:
    """A draft that is redated while it is posted is compared by the date that it has then."""
    others = Others()
    with documents(using, others, when="posted", ascending="issued_on") as rows:
        rows.create(posted=True, issued_on=date(2026, 5, 1))
        draft = rows.create()
        draft.posted = True
        others.to_do.append(lambda: rows.filter(pk=draft.pk).update(issued_on=date(2026, 1, 1)))
        with pytest.raises(OutOfOrder):
            draft.save(update_fields=["posted"])
        assert (draft.number, get_last_value("s", using=using)) == (None, 1)
        draft.issued_on = date(2026, 5, 1)
        draft.save(update_fields=["posted", "issued_on"])
        assert draft.number == 2


def test_the_condition(using: str) -> None:
    """If a part of the condition becomes false in the meantime, the row gets no number."""
    others = Others()
    with documents(using, others, when=READY) as rows:
        draft = rows.create()
        draft.posted = True
        others.to_do.append(lambda: rows.filter(pk=draft.pk).update(branch="y"))
        draft.save(update_fields=["posted"])
        stored = rows.get()
        assert (stored.posted, stored.branch, stored.number, draft.number) == (
            True,
            "y",
            None,
            None,
        )


def test_the_text(using: str) -> None:
    """The text has the values of the row at the time it is numbered."""
    others = Others()
    with documents(using, others, when="posted") as rows:
        draft = rows.create()
        draft.posted = True
        others.to_do.append(lambda: rows.filter(pk=draft.pk).update(branch="y"))
        draft.save(update_fields=["posted"])
        assert (draft.number, draft.text, rows.get().text) == (1, "y-1", "y-1")


@pytest.mark.parametrize("number", [None, 7])
def test_values_in_another_form(number: int | None, using: str) -> None:
    """A row hasn't changed because another program writes dates and decimals in another form."""
    with letters(
        using,
        day=models.DateField(default=date(2026, 6, 1)),
        moment=models.DateTimeField(default=datetime(2026, 6, 1, tzinfo=UTC)),
        amount=models.DecimalField(max_digits=9, decimal_places=2, default=1),
        posted=models.BooleanField(default=False),
        number=SequenceField(
            "s", scope=[Year("day"), "amount"], when=Q(posted=True, moment__isnull=False)
        ),
    ) as rows:
        rows.create()
        table = rows.model._meta.db_table
        with connections[using].cursor() as cursor:
            cursor.execute(
                f"UPDATE {table} SET day = '2026-1-5', moment = '2026-01-05T10:00', amount = 1.234"
            )
        draft = rows.get()
        draft.posted, draft.number = True, number
        draft.save(update_fields=["posted", "number"])
        assert rows.get().number == (number or 1)


def test_a_row_that_others_move(using: str) -> None:
    """Its new counter is locked before the row, too, when its number becomes void."""
    if not connections[using].features.has_select_for_update:
        pytest.skip("nobody else can write during a transaction that locks")
    others = Others()
    branch = models.CharField(max_length=9, default="x")
    with letters(using, branch=branch, number=SequenceField("s", scope="branch")) as rows:
        row, _ = rows.create(), rows.create(branch="y")
        others.to_do.append(lambda: rows.filter(pk=row.pk).update(branch="y"))
        locked: list[str] = []

        def watch(execute: Any, sql: str, *args: Any) -> Any:
            if "UPDATE" in sql:
                locked.append("counter" if "sequences_core_counter" in sql else "row")
                others.maximum(row)
            return execute(sql, *args)

        with connections[using].execute_wrapper(watch):
            void(row, reason="wrong", using=using)
        order = [kind for kind, _ in groupby(locked)]
        assert order == ["counter", "row", "counter", "row", "counter"]
        assert Void.objects.using(using).get().counter == "s.y"


@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "atomic"])
@pytest.mark.parametrize("base", ["parent", "protected"])
def test_a_draft_that_others_move(base: str, atomic: bool, using: str) -> None:
    """A save that has locked the wrong counters releases them before it locks others or the row."""
    if not connections[using].features.has_select_for_update:
        pytest.skip("nobody else can write during a transaction that locks")
    meta = type("Meta", (), {"app_label": "numbered"})
    fields: Any = {
        "kind": models.CharField(max_length=9, default="x"),
        "posted": models.BooleanField(default=False),
        "number": SequenceField("s", scope="kind", when="posted"),
        "zz": SequenceField("zz", when="posted"),
    }
    with isolate_apps("tests.numbered"):
        if base == "parent":
            models_ = [model_with(**fields)]
            models_.append(type("Child", (models_[0],), {"__module__": __name__, "Meta": meta}))
        else:
            common = {"__module__": __name__, "Meta": meta, **fields}
            models_ = [type("Guarded", (ProtectNumbered,), common)]
    with tables(using, *models_):
        rows = models_[-1]._base_manager.using(using)
        draft = rows.create()
        others = Others()
        others.to_do.append(lambda: models_[0].objects.using(using).update(kind="w"))

        def move(execute: Any, sql: str, *args: Any) -> Any:
            if "sequences_core_counter" in sql:  # The counters have been found.
                others.maximum(draft)
            return execute(sql, *args)

        draft.posted = True
        with (
            CaptureQueriesContext(connections[using]) as queries,
            connections[using].execute_wrapper(move),
            atomic_if(atomic, using),
        ):
            draft.save(update_fields=["posted"])
        assert (draft.number, draft.zz) == (1, 1)
        locked = [
            next((name for name in ("'s.x'", "'s.w'", "'zz'", "ROLLBACK") if name in sql), "")
            for sql in (query["sql"] for query in queries)
        ]
        order = [name for name, _ in groupby(filter(None, locked))]
        assert order[:5] == ["'s.x'", "'zz'", "ROLLBACK", "'s.w'", "'zz'"]
        assert get_last_value("s.x", using=using) is None


@contextmanager
def children(using: str, base: type[Model] = Model) -> Iterator[tuple[Any, Any]]:
    """The rows of a parent model with the scope, and those of a child model with the number."""
    if not connections[using].features.has_select_for_update:
        pytest.skip("nobody else can write during a transaction that locks")
    with isolate_apps("tests.numbered"):
        parent = model_with("Parent", kind=models.CharField(max_length=9, default="x"))
        fields: Any = {
            "__module__": __name__,
            "Meta": type("Meta", (), {"app_label": "numbered"}),
            "posted": models.BooleanField(default=False),
            "number": SequenceField("s", scope="kind", when="posted"),
        }
        child: Any = type("Child", (parent,) if base is Model else (base, parent), fields)
    with tables(using, parent, child):
        yield parent.objects.using(using), child._base_manager.using(using)


def test_a_scope_in_the_table_of_a_parent_model(using: str) -> None:
    """A save that waits for the child's row takes the number of the scope after the wait."""
    with children(using) as (parents, rows):
        draft = rows.create()
        draft.posted = True
        posting = Elsewhere(lambda: draft.save(using=using, update_fields=["posted"]), using)
        with transaction.atomic(using=using):
            locked = rows.select_for_update().get()
            assert locked.number is None
            parents.update(kind="y")
            posting.start()
            assert posting.is_waiting(HELD)
        posting.result()
        assert rows.values_list("kind", "number").get() == ("y", 1)
        assert [get_last_value(f"s.{kind}", using=using) for kind in "xy"] == [None, 1]


def test_an_update_of_a_parent_model_while_rows_are_numbered(using: str) -> None:
    """update() of protected rows leaves those alone that are numbered while it waits."""
    with children(using, ProtectNumbered) as (parents, rows):
        draft = rows.create(kind="x")
        rows.filter(pk=draft.pk).update(posted=True)
        moving = Elsewhere(lambda: rows.filter(pk=draft.pk).update(kind="y"), using)
        with transaction.atomic(using=using):
            list(parents.select_for_update())
            moving.start()
            assert moving.is_waiting(HELD)
            numbering = Elsewhere(lambda: assign_numbers(rows.all(), using=using), using)
            numbering.start()
            assert numbering.result().rows == 1
        assert moving.result() == 0
        assert rows.values_list("kind", "number").get() == ("x", 1)


@pytest.mark.parametrize("act", ["post", "update", "delete"])
def test_a_row_that_refers_to_a_document(act: str, using: str) -> None:
    """On PostgreSQL, nobody waits for the transaction that inserts it."""
    if not connections[using].features.has_select_for_no_key_update:
        pytest.skip("the database locks the document as for an UPDATE")
    with children(using, Model if act == "post" else ProtectNumbered) as (_, rows):
        document = rows.create(posted=act == "delete")
        with isolate_apps("tests.numbered"):
            line = model_with("Line", of=models.ForeignKey(rows.model, models.CASCADE))

        def work() -> None:
            if act == "post":
                document.posted = True
                document.save(using=using, update_fields=["posted"])
            elif act == "update":
                assert rows.filter(pk=document.pk).update(kind="y") == 1
            else:
                with pytest.raises(NumberProtected):
                    document.delete(using=using)

        other = Elsewhere(work, using)
        with tables(using, line), transaction.atomic(using=using):
            with connections[using].cursor() as cursor:  # Django's wait for the COMMIT
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            line.objects.using(using).create(of=document)
            other.start()
            other.result()


def test_an_update_that_waits_for_a_draft(using: str) -> None:
    """update() of protected rows locks no index entry that the transaction it waits for needs."""
    if not connections[using].features.has_select_for_update:
        pytest.skip("nobody else can write during a transaction that locks")
    with isolate_apps("tests.numbered"):
        fields: Any = {
            "__module__": __name__,
            "Meta": type("Meta", (), {"app_label": "numbered"}),
            "kind": models.CharField(max_length=9, default="x"),
            "posted": models.BooleanField(default=False),
            "number": SequenceField("s", scope="kind", when="posted", db_index=True),
        }
        guarded: Any = type("Guarded", (ProtectNumbered,), fields)
    with tables(using, guarded):
        rows = guarded.objects.using(using)
        rows.bulk_create([guarded(posted=True) for _ in range(60)])
        draft = rows.create(posted=False)
        moving = Elsewhere(lambda: rows.filter(pk=draft.pk).update(kind="y"), using)
        with transaction.atomic(using=using):
            locked = rows.select_for_update().get(pk=draft.pk)
            moving.start()
            assert moving.is_waiting(HELD)
            locked.posted = True
            locked.save(using=using)
        assert moving.result() == 0
        assert rows.values_list("kind", "number").get(pk=draft.pk) == ("x", 61)


def test_a_save_that_waits_for_a_deletion(using: str) -> None:
    """The UPDATE that numbers a draft locks no index entry that the deletion needs, either."""
    if not connections[using].features.has_select_for_update:
        pytest.skip("nobody else can write during a transaction that locks")
    with letters(
        using,
        posted=models.BooleanField(default=False),
        number=SequenceField("s", when="posted", db_index=True),
    ) as rows:
        rows.bulk_create([rows.model(posted=True) for _ in range(60)])
        draft = rows.create()
        draft.posted = True
        posting = Elsewhere(lambda: draft.save(using=using, update_fields=["posted"]), using)
        with transaction.atomic(using=using):
            locked = rows.select_for_update().get(pk=draft.pk)
            posting.start()
            assert posting.is_waiting(HELD)
            locked.delete()
        with pytest.raises(DatabaseError, match="did not affect any rows"):
            posting.result()
        assert get_last_value("s", using=using) == 60


@pytest.mark.parametrize("skip_used", [False, True], ids=["in SQL", "with the ORM"])
def test_what_a_path_leads_to(skip_used: bool, using: str) -> None:
    """Rows that move to another counter between two batches get no number of the old one."""
    companies = [Company.objects.using(using).create(name=name) for name in "ab"]
    # Counters are locked in the order of their names: "s.100" comes before "s.99".
    first, other = sorted(companies, key=lambda company: str(company.pk))
    projects = [Project.objects.using(using).create(company=each) for each in (first, other)]
    names = [f"s.{company.pk}" for company in (first, other)]
    with letters(
        using,
        project=models.ForeignKey(Project, models.CASCADE),
        posted=models.BooleanField(default=False),
        number=SequenceField("s", scope="project__company", when="posted", skip_used=skip_used),
    ) as rows:
        rows.bulk_create([rows.model(project=project) for project in projects for _ in range(3)])
        rows.update(posted=True)

        def move(done: int, total: int) -> None:
            if done == 1:
                Project.objects.using(using).filter(pk=projects[0].pk).update(company=other)

        done = assign_numbers(rows.all(), batch_size=1, progress=move, using=using)
        assert get_last_value(names[0], using=using) == 1
        given = done.rows + assign_numbers(rows.all(), using=using).rows
        assert given == 6
        # The row that has moved has its 1 still, which only one of the two looks at.
        assert get_last_value(names[1], using=using) == (6 if skip_used else 5)
        numbers = rows.filter(project=projects[1]).values_list("number", flat=True)
        assert len(set(numbers)) == 3
