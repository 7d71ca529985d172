"""Numbered rows that move to another scope, or whose number becomes void."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist
from django.db import connections, models, transaction
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext, isolate_apps
from sequences_contrib.afterwards import renumber, void
from sequences_contrib.audit import audit
from sequences_contrib.exceptions import OutOfOrder
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.models import Void
from sequences_contrib.protection import ProtectNumbered
from sequences_contrib.texts import FormattedNumberField

from sequences_core import SequenceExhausted, get_last_value
from tests.numbered.blocks import MODES, atomic_if, letters, rolled_back, tables, together
from tests.numbered.models import (
    Company,
    Invoice,
    InvoiceProxy,
    Project,
    Receipt,
    Seat,
    SpecialInvoice,
    Ticket,
)

APPS = ["tests.numbered", "sequences_contrib"]


@pytest.fixture
def projects(using: str) -> list[Project]:
    return [Project.objects.using(using).create(code=code) for code in "ab"]


def ticket(project: Project, title: str = "") -> Ticket:
    return Ticket.objects.using(project._state.db).create(project=project, title=title)


def numbers(project: Project) -> list[int]:
    tickets = Ticket.objects.using(project._state.db).filter(project=project)
    return list(tickets.order_by("number").values_list("number", flat=True))


def voids(using: str) -> list[tuple[str, int]]:
    found = Void.objects.using(using).order_by("counter", "number")
    return list(found.values_list("counter", "number"))


def counter(project: Project) -> str:
    return f"numbered_ticket.number.{project.pk}"


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
def test_a_row_that_moves(in_transaction: bool, using: str, projects: list[Project]) -> None:
    """The row gets the next number of its new scope, and the old number is recorded as void."""
    a, b = projects
    rows = [ticket(a) for _ in range(3)]
    ticket(b)
    moved = rows[1]
    moved.project, moved.title = b, "moved"
    with atomic_if(in_transaction, using):
        assert renumber(moved, reason="wrong project", user="ada")
    assert moved.number == 2
    moved.refresh_from_db()
    assert (moved.project_id, moved.number, moved.title) == (b.pk, 2, "moved")
    (trace,) = Void.objects.using(using)
    assert (trace.counter, trace.number, trace.reason) == (counter(a), 2, "wrong project")
    assert trace.who == "ada"
    assert (numbers(a), numbers(b)) == ([1, 3], [1, 2])
    assert (ticket(a).number, ticket(b).number) == (4, 3)


def test_the_same_scope(using: str, projects: list[Project]) -> None:
    """A row that hasn't moved keeps its stored number, even if the instance has another."""
    row = ticket(projects[0])
    row.title, row.number = "new", 77
    assert not renumber(row)
    assert row.number == 1
    assert Ticket.objects.using(using).get().title == "new"
    assert get_last_value(counter(projects[0]), using=using) == 1
    assert voids(using) == []


def test_moved_and_back(using: str, projects: list[Project]) -> None:
    """Each move takes a number and makes one void; a copy of the row gets its own number."""
    a, b = projects
    row = ticket(a)
    for project in (b, a):
        row.project = project
        renumber(row)
    assert row.number == 2
    assert voids(using) == sorted([(counter(a), 1), (counter(b), 1)])
    row.pk, row._state.adding = None, True
    row.save(using=using)
    assert row.number == 3


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
def test_a_move_that_fails(
    in_transaction: bool, using: str, projects: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error, no number is taken and no void recorded; the instance is restored."""
    a, b = projects
    row = ticket(a)
    row.project = b

    def save(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch, transaction.atomic(using=using):
        patch.setattr(row, "save", save)
        with pytest.raises(RuntimeError, match="broken"), atomic_if(in_transaction, using):
            renumber(row)
        assert ticket(b).number == 1  # the transaction is fine
    assert row.number == 1
    assert get_last_value(counter(b), using=using) != 2
    assert voids(using) == []
    with rolled_back(using):
        renumber(row)
    assert numbers(a) == [1]
    assert voids(using) == []


def test_scopes_that_are_null(using: str) -> None:
    """A row whose scope becomes null loses its number; with a scope again, it gets a new one."""
    company = Company.objects.using(using).create(name="Acme")
    project = Project.objects.using(using).create(company=company)
    row = Receipt.objects.using(using).create(project=project)
    row.project = None
    assert renumber(row)
    assert row.number is None
    row.project = project
    assert renumber(row)
    assert row.number == 2
    assert voids(using) == [(f"receipts.r.{company.pk}", 1)]
    kind = models.CharField(max_length=9)
    with letters(using, kind=kind, number=SequenceField("n", scope="kind")) as rows:
        letter = rows.create(kind="a")
        letter.kind = ""
        with pytest.raises(ValueError, match="null"):
            renumber(letter)
        assert letter.number == 1


def test_a_posted_row_whose_scope_becomes_null(using: str) -> None:
    """It loses its number, too, and gets one again with its next scope."""
    kind = models.CharField(max_length=9, null=True)
    number = SequenceField("n", scope="kind", when="posted")
    with letters(using, kind=kind, number=number, posted=models.BooleanField(default=True)) as rows:
        letter = rows.create(kind="a")
        letter.kind = None
        assert renumber(letter)
        assert (letter.number, rows.get().number) == (None, None)
        assert voids(using) == [("n.a", 1)]
        letter.kind = "a"
        letter.save()
        assert (letter.number, rows.get().number) == (2, 2)


def test_all_fields_of_a_row_or_one(using: str) -> None:
    """By default, all numbers whose scope has changed are renewed; reused ones are never void."""
    row = Seat.objects.using(using).create(room="A")
    Seat.objects.using(using).create(room="A")
    row.room = "B"
    assert renumber(row)
    assert (row.number, row.label) == (0, 1)
    assert voids(using) == []
    assert Seat.objects.using(using).create(room="A").number == 0
    fields: dict[str, Any] = {
        "kind": models.CharField(max_length=9),
        "one": SequenceField("one", scope="kind"),
        "two": SequenceField("two", scope="kind", initial_value=lambda row: 100),
    }
    with letters(using, **fields) as rows:
        letter = rows.create(kind="a")
        letter.kind = "b"
        renumber(letter, "two")
        stored = rows.get()
        assert (stored.kind, stored.one, stored.two) == ("b", 1, 100)
        assert voids(using) == [("two.a", 100)]


def test_the_rules_of_the_new_scope(using: str) -> None:
    """The order of dates and the maximum of the new scope apply to the row."""
    fields: dict[str, Any] = {
        "kind": models.CharField(max_length=9),
        "day": models.DateField(),
        "number": SequenceField("n", unique_with="kind", ascending="day", maximum=2),
    }
    with letters(using, **fields) as rows:
        rows.create(kind="a", day=date(2026, 1, 1))
        rows.create(kind="b", day=date(2026, 1, 5))
        row = rows.create(kind="a", day=date(2026, 1, 3))
        row.kind = "b"
        with pytest.raises(OutOfOrder):
            renumber(row)
        assert row.number == 2
        row.day = date(2026, 1, 6)
        renumber(row)
        other = rows.get(kind="a")
        other.kind, other.day = "b", row.day
        with pytest.raises(SequenceExhausted):
            renumber(other)
        assert sorted(rows.values_list("kind", "number")) == [("a", 1), ("b", 1), ("b", 2)]


def test_a_parents_number(using: str) -> None:
    """A row of a child model can be renumbered and made void."""
    row = SpecialInvoice.objects.using(using).create()
    assert not renumber(row)
    void(row, reason="gone", delete=True)
    assert not Invoice.objects.using(using).exists()
    assert voids(using) == [("invoices", 1), ("numbered_specialinvoice.own", 1)]


@pytest.mark.parametrize("already", [False, True])
def test_all_numbers_of_a_deleted_row(already: bool, using: str) -> None:
    """If one number is made void and the row is deleted, its other numbers are void, too."""
    row = SpecialInvoice.objects.using(using).create()
    if already:
        void(row, "number", reason="spoilt", using=using)
    void(row, "own", reason="gone", delete=True, using=using)
    assert voids(using) == [("invoices", 1), ("numbered_specialinvoice.own", 1)]
    assert all(result.is_clean for result in audit(SpecialInvoice, using=using))


@pytest.mark.parametrize("proxy", [False, True])
def test_a_row_that_has_a_numbered_child(proxy: bool, using: str) -> None:
    """Its deletion would include the row of the child, whose number would be missing."""
    special = SpecialInvoice.objects.using(using).create()
    row = (InvoiceProxy if proxy else Invoice).objects.using(using).get(number=special.number)
    with pytest.raises(ValueError, match="which has a own"):
        void(row, reason="gone", delete=True, using=using)
    assert voids(using) == []
    void(row, reason="kept", using=using)
    void(special, "own", reason="gone", delete=True, using=using)
    assert voids(using) == [("invoices", 1), ("numbered_specialinvoice.own", 1)]


@pytest.mark.parametrize("delete", [False, True], ids=["kept", "deleted"])
def test_a_row_that_is_void(delete: bool, using: str, projects: list[Project]) -> None:
    """The row keeps its number or is deleted; in both cases, the audit is clean."""
    a, _ = projects
    for _ in range(3):
        ticket(a)
    user = User(username="grace")
    void(Ticket.objects.using(using).get(number=2), reason="twice", user=user, delete=delete)
    (trace,) = Void.objects.using(using)
    assert (trace.counter, trace.number, trace.reason) == (counter(a), 2, "twice")
    assert trace.who == "grace"
    assert numbers(a) == ([1, 3] if delete else [1, 2, 3])
    assert ticket(a).number == 4


def test_the_last_number_of_a_loop(using: str) -> None:
    """The last number can be void, and the sequence still restarts after it."""
    with letters(using, number=SequenceField("s", reset_value=4)) as rows:
        row = [rows.create() for _ in range(3)][-1]
        void(row, reason="spoilt", using=using)
        assert get_last_value("s", using=using) == 3
        assert [rows.create().number for _ in range(2)] == [1, 2]


def test_what_can_not_be_void(using: str, projects: list[Project]) -> None:
    """A row can't be void without being stored, without a number, twice, or with reuse."""
    row = ticket(projects[0])
    void(row, reason="once")
    with pytest.raises(ValueError, match="already"):
        void(row, reason="twice")
    with pytest.raises(ValueError, match="already"):
        void(row, reason="twice", delete=True)
    assert numbers(projects[0]) == [1]
    acts: list[Callable[[Any], Any]] = [renumber, lambda row: void(row, reason="")]
    for act in acts:
        with pytest.raises(ValueError, match="save it first"):
            act(Ticket(project=projects[0]))
        with pytest.raises(TypeError, match="instance"):
            act(Ticket)
        with pytest.raises(ValueError, match="no SequenceField"):
            act(projects[0])
        gone = ticket(projects[0])
        Ticket.objects.using(using).filter(pk=gone.pk).delete()
        with pytest.raises(ObjectDoesNotExist):
            act(gone)
    with pytest.raises(ValueError, match="reuses the numbers of deleted rows"):
        void(Seat.objects.using(using).create(room="A"), reason="")
    with pytest.raises(ValueError, match="has no number"):
        void(Receipt.objects.using(using).create(), reason="")


def test_what_the_instance_remembers_does_not_matter(using: str, projects: list[Project]) -> None:
    """The number and the scope that become void are those of the database."""
    a, b = projects
    row = ticket(a)
    stale = Ticket.objects.using(using).get()
    row.project = b
    renumber(row)
    stale.project = b
    assert not renumber(stale)
    stale.project = a
    void(stale, reason="")
    assert voids(using) == sorted([(counter(a), 1), (counter(b), 1)])


def test_moves_of_many_at_once(using: str, projects: list[Project]) -> None:
    """Concurrent writers create, move and delete rows without deadlocks; every gap is a void."""
    a, b = projects

    def mover(source: Project, target: Project) -> Callable[[], None]:
        def work() -> None:
            for i in range(6):
                row = ticket(source)
                row.project = target
                renumber(row)
                if i % 3 == 0:
                    void(row, reason="", delete=True)
                ticket(source)

        return work

    together([mover(a, b), mover(b, a)] * 3, using)
    for project in projects:
        last = get_last_value(counter(project), using=using)
        assert last is not None
        void_numbers = [number for name, number in voids(using) if name == counter(project)]
        assert sorted(numbers(project) + void_numbers) == list(range(1, last + 1))


def test_one_row_that_many_move(using: str, projects: list[Project]) -> None:
    """If several processes move a row to the same scope, only the first takes a number."""
    a, b = projects
    row = ticket(a)

    def work() -> None:
        mine = Ticket.objects.using(using).get(pk=row.pk)
        mine.project = Project.objects.using(using).get(pk=b.pk)
        renumber(mine)
        assert mine.number == 1

    together([work] * 6, using)
    assert numbers(b) == [1]
    assert get_last_value(counter(b), using=using) == 1
    assert voids(using) == [(counter(a), 1)]


def test_documents_that_were_posted(using: str) -> None:
    """A numbered row that is a draft again gets a new number; a draft without one is only saved."""
    number = SequenceField("s", unique_with="kind", when="posted")
    text = FormattedNumberField(NumberFormat("{kind}-{number}"), max_length=60, null=True)
    fields: dict[str, Any] = {
        "kind": models.CharField(max_length=9),
        "posted": models.BooleanField(default=False),
        "number": number,
        "text": text,
    }
    with letters(using, **fields) as rows:
        posted, draft = rows.create(kind="a", posted=True), rows.create(kind="a")
        posted.kind, posted.posted, draft.kind = "b", False, "b"
        assert renumber(posted, using=using)
        assert not renumber(draft, using=using)
        assert [(row.kind, row.number, row.text) for row in (posted, draft)] == [
            ("b", 1, "b-1"),
            ("b", None, None),
        ]
        draft.kind, draft.posted = "c", True
        assert renumber(draft, using=using)
        assert sorted(rows.values_list("kind", "number", "text")) == [
            ("b", 1, "b-1"),
            ("c", 1, "c-1"),
        ]
        voids = Void.objects.using(using).values_list("counter", "number", "text")
        assert list(voids) == [("s.a", 1, "a-1")]
        assert all(result.is_clean for result in audit(rows.model, using=using))


def test_a_move_in_the_transaction_that_posted(using: str) -> None:
    """The instance has what is stored, also where the new number is the same as the old one."""
    fields: dict[str, Any] = {
        "kind": models.CharField(max_length=9),
        "posted": models.BooleanField(default=False),
        "number": SequenceField("s", unique_with="kind", when="posted"),
        "text": FormattedNumberField(NumberFormat("{kind}-{number}"), max_length=60, null=True),
    }
    with letters(using, **fields) as rows:
        with transaction.atomic(using=using):
            row = rows.create(kind="a")
            row.posted = True
            row.save()
            row.kind = "b"
            assert renumber(row, using=using)
        stored = rows.get()
        assert (stored.number, stored.text) == (row.number, row.text) == (1, "b-1")


def test_the_order_of_a_parents_counter(using: str) -> None:
    """They lock the counters of a parent model first, as save() does, whatever their names."""
    with isolate_apps("tests.numbered"):
        meta = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "numbered"})}
        kinds = {"kind": models.CharField(max_length=9), "number": SequenceField("z", scope="kind")}
        parent: Any = type("Parent", (models.Model,), {**meta, **kinds})
        own = {"own": SequenceField("a", scope="kind")}
        child: Any = type("Child", (ProtectNumbered, parent), {**meta, **own})
        proxy: Any = type("Proxy", (child,), {**meta, "Meta": type("Meta", (), {**PROXY})})

    def locked(call: Callable[[], object]) -> list[str]:
        with CaptureQueriesContext(connections[using]) as queries:
            call()
        sql = [q["sql"] for q in queries if not q["sql"].lstrip().startswith("SELECT")]
        names = ["z.1", "a.1", "z.2", "a.2"]
        return list(dict.fromkeys(n for each in sql for n in names if f"'{n}'" in each))

    with tables(using, parent, child):
        rows = proxy.objects.using(using)
        assert locked(lambda: rows.create(kind="1")) == ["z.1", "a.1"]
        row = rows.get()
        row.kind = "2"
        assert locked(lambda: renumber(row)) == ["z.1", "z.2", "a.1", "a.2"]
        assert locked(lambda: void(row, reason="x")) == ["z.2", "a.2"]


PROXY: dict[str, Any] = {"app_label": "numbered", "proxy": True}


def test_a_posted_child_locks_its_parents_counter_first(using: str) -> None:
    """So does the save() of a protected row that is posted."""
    with isolate_apps("tests.numbered"):
        meta = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "numbered"})}
        posted = {"posted": models.BooleanField(default=False)}
        number = {"number": SequenceField("z", when="posted", unique=True)}
        parent: Any = type("Parent", (models.Model,), {**meta, **posted, **number})
        own = {"own": SequenceField("a", when="posted", unique=True)}
        child: Any = type("Child", (ProtectNumbered, parent), {**meta, **own})
    with tables(using, parent, child):
        row = child.objects.using(using).create()
        row.posted = True
        with CaptureQueriesContext(connections[using]) as queries:
            row.save()
        sql = [q["sql"] for q in queries if not q["sql"].lstrip().startswith("SELECT")]
        found = [name for each in sql for name in "za" if f"'{name}'" in each]
        assert list(dict.fromkeys(found)) == ["z", "a"]
        assert (row.number, row.own) == (1, 1)


@pytest.mark.parametrize("key", ["number", "composite", "scope"])
def test_a_key_that_would_change(key: str, using: str) -> None:
    """With another primary key, save() would insert a row, or overwrite another one."""
    with isolate_apps("tests.numbered"):

        class Letter(models.Model):
            firm = models.IntegerField(primary_key=key == "scope")
            number = SequenceField("letters", scope="firm", primary_key=key == "number")
            if key == "composite":
                pk = models.CompositePrimaryKey("firm", "number")

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return f"{self.firm}/{self.number}"

    with tables(using, Letter):
        rows: Any = models.QuerySet(Letter, using=using)
        row = rows.create(firm=1)
        if key != "number":
            rows.create(firm=2)
        row.firm = 2
        with pytest.raises(ValueError, match="primary key"):
            renumber(row, using=using)
        expected = [(1, 1)] if key == "number" else [(1, 1), (2, 1)]
        assert sorted(rows.values_list("firm", "number")) == expected


def test_a_hook_that_fails_after_the_commit_of_renumber(using: str) -> None:
    """The new number is stored, so the instance keeps it."""

    def fail() -> None:
        raise RuntimeError("a hook")

    def register(**kwargs: Any) -> None:
        transaction.on_commit(fail, using=using)

    old, new = (Project.objects.using(using).create() for _ in range(2))
    Ticket.objects.using(using).create(project=new)
    ticket = Ticket.objects.using(using).create(project=old)
    ticket.project = new
    post_save.connect(register, Ticket)
    try:
        with pytest.raises(RuntimeError, match="a hook"):
            renumber(ticket, using=using)
    finally:
        post_save.disconnect(register, Ticket)
    assert ticket.number == 2
    assert Ticket.objects.using(using).get(pk=ticket.pk).number == 2
