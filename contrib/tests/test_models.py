"""The field in every kind of model, and in every way that Django has to save one."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django import forms
from django.contrib import admin
from django.core.management import call_command
from django.db import IntegrityError, connections, models
from django.db.models import Value
from django.db.models.functions import Upper
from django.test import RequestFactory
from django.test.utils import isolate_apps
from rest_framework import serializers
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.texts import FormattedNumberField

from sequences_core import get_last_value
from tests.numbered.blocks import PATIENCE, atomic_if, letters, model_with, tables
from tests.numbered.models import (
    Company,
    CreditNote,
    Document,
    First,
    Invoice,
    InvoiceProxy,
    Patient,
    Project,
    SpecialInvoice,
    Ticket,
)
from tests.numbered.pages import ToUsing

APPS = ["tests.numbered"]


def test_multi_table_inheritance(using: str) -> None:
    """A child is numbered as its parent, and by its own field."""
    Invoice.objects.using(using).create()
    special = SpecialInvoice.objects.using(using).create()
    assert (special.number, special.own) == (2, 1)
    special.note = "changed"
    special.save()
    special.refresh_from_db()
    assert (special.number, special.own, special.note) == (2, 1, "changed")
    assert Invoice.objects.using(using).create().number == 3
    # A child added to a parent that is there already.
    parent = Invoice.objects.using(using).create()
    child = SpecialInvoice(invoice_ptr=parent, number=parent.number)
    child.save(using=using)
    assert (child.number, child.own) == (4, 2)
    assert get_last_value("invoices", using=using) == 4


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize("posted", [False, True])
def test_a_child_of_a_parent_that_moves(posted: bool, in_transaction: bool, using: str) -> None:
    """A child that is added to a parent, and moves it in the same save, is of the new scope."""
    with isolate_apps("tests.numbered"):
        when: dict[str, Any] = {"when": "posted", "unique": True} if posted else {"null": True}
        parent = model_with(
            "Paper",
            kind=models.CharField(max_length=9),
            posted=models.BooleanField(default=False),
            number=SequenceField("p", scope="kind", **when),
        )
        meta = type("Meta", (), {"app_label": "numbered"})
        own = SequenceField("c", scope="kind")
        child: Any = type("Sheet", (parent,), {"__module__": __name__, "Meta": meta, "own": own})
    with tables(using, parent, child):
        papers, sheets = parent.objects.using(using), child.objects.using(using)
        for kind in "aab":
            sheets.create(kind=kind)
        paper = papers.create(kind="a")
        before = paper.number
        sheet = child(paper_ptr=paper, kind="b", number=paper.number, posted=posted)
        with atomic_if(in_transaction, using):
            sheet.save(using=using)
        stored = sheets.get(pk=paper.pk)
        assert (stored.kind, stored.own, stored.number) == ("b", sheet.own, sheet.number)
        assert stored.own == 2
        assert stored.number == (1 if posted else before)
        assert sheets.create(kind="a").own == 3
        assert sheets.create(kind="b").own == 3


def test_a_child_that_fails_takes_its_parents_number_back(using: str) -> None:
    """If the child's row fails, the parent's number is free, and the instance can get a new one."""
    SpecialInvoice.objects.using(using).create(own=5)
    with connections[using].cursor() as cursor:
        cursor.execute("CREATE UNIQUE INDEX own_uniq ON numbered_specialinvoice (own)")
    try:
        special = SpecialInvoice(own=5)
        with pytest.raises(IntegrityError):
            special.save(using=using)
        assert get_last_value("invoices", using=using) == 1
        assert Invoice.objects.using(using).create().number == 2
        special.pk, special.id, special.own = None, None, None
        special.save(using=using)
        assert (special.number, special.own) == (3, 6)
        assert not any(name.startswith("_sequences") for name in vars(special))
    finally:
        with connections[using].cursor() as cursor:
            on = " ON numbered_specialinvoice" if connections[using].vendor == "mysql" else ""
            cursor.execute(f"DROP INDEX own_uniq{on}")


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize("generations", [2, 3])
def test_a_child_that_fails_takes_its_parents_key_back(
    generations: int, in_transaction: bool, using: str
) -> None:
    """This includes a number that is the primary key, so the next save inserts a new row."""
    with isolate_apps("tests.numbered"):
        meta = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "numbered"})}
        fields = {"id": SequenceField("papers", primary_key=True), "text": models.TextField()}
        line: list[Any] = [type("Paper", (models.Model,), {**meta, **fields})]
        for generation in range(1, generations):
            code = models.CharField(max_length=9, unique=True)
            parts: dict[str, Any] = {f"code{generation}": code}
            if generation == 1:
                parts["own"] = SequenceField("owns")
            line.append(type(f"Paper{generation}", (line[-1],), {**meta, **parts}))
    codes = {f"code{generation}": "x" for generation in range(1, generations)}
    with tables(using, *line):
        paper, child = line[0].objects.using(using), line[-1]
        child.objects.using(using).create(text="first", **codes)
        failed = child(text="mine", **{**codes, "code1": "y"})
        if generations == 2:
            failed.code1 = "x"
        for _ in range(2):
            with pytest.raises(IntegrityError), atomic_if(in_transaction, using):
                failed.save(using=using)
            assert (failed.pk, failed.id, failed.own) == (None, None, None)
            assert failed._state.adding
        other = paper.create(text="theirs")
        for name in codes:
            setattr(failed, name, "z")
        failed.save(using=using)
        assert (failed.pk, failed.own) == (3, 2)
        assert list(paper.order_by("pk").values_list("pk", "text")) == [
            (1, "first"),
            (other.pk, "theirs"),
            (3, "mine"),
        ]


@contextmanager
def failing_handler(model: Any) -> Iterator[None]:
    """Let a receiver of post_save raise RuntimeError, which the block must pass on."""

    def handler(**kwargs: Any) -> None:
        raise RuntimeError("no paper")

    models.signals.post_save.connect(handler, sender=model)
    try:
        with pytest.raises(RuntimeError, match="no paper"):
            yield
    finally:
        models.signals.post_save.disconnect(handler, sender=model)


def test_a_handler_that_fails_after_the_commit(using: str) -> None:
    """What a post_save handler raises comes after the commit: the row has its numbers."""
    special = SpecialInvoice()
    with failing_handler(SpecialInvoice):
        special.save(using=using)
    assert (special.number, special.own) == (1, 1)
    assert SpecialInvoice.objects.using(using).get().pk == special.pk


def test_a_handler_that_fails_after_an_update(using: str) -> None:
    """The row has the new number and its text, and so has the instance."""
    fields: dict[str, Any] = {
        "number": SequenceField("s"),
        "text": FormattedNumberField(NumberFormat("A-{number}"), max_length=30, null=True),
        "note": models.CharField(max_length=9, default=""),
    }
    with letters(using, **fields) as rows:
        row = rows.create()
        row.number = 7
        with failing_handler(rows.model):
            row.save(using=using)
        assert (row.number, row.text) == (7, "A-7")
        assert list(rows.values_list("number", "text")) == [(7, "A-7")]
        rows.update(text="as it was printed")
        row.refresh_from_db()
        row.note = "changed"
        row.save(using=using)
        assert rows.get().text == "as it was printed"


EARLY_HANDLER = """
import django
from django.conf import settings
from django.db import connection, models
from django.db.models.signals import post_save

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["sequences_core"],
    SEQUENCES_AUTOCOMMIT="allow",
)


def fail(*, instance, created, **kwargs):
    if not created:
        raise RuntimeError("no paper")


post_save.connect(fail)
django.setup()
from django.core.management import call_command
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.texts import FormattedNumberField


class Letter(models.Model):
    number = SequenceField("s")
    text = FormattedNumberField(NumberFormat("A-{number}"), max_length=30)

    class Meta:
        app_label = "letters"


call_command("migrate", verbosity=0)
with connection.schema_editor() as editor:
    editor.create_model(Letter)
row = Letter.objects.create()
row.number = 7
try:
    row.save()
except RuntimeError as error:
    print(error)
print(row.number, row.text, *Letter.objects.values_list("number", "text").get())
"""


def test_a_handler_that_was_connected_before_the_field_was_imported() -> None:
    """It may fail, too, before any other handler of the same signal is called."""
    command = [sys.executable, "-W", "error", "-c", EARLY_HANDLER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stdout == "no paper\n7 A-7 7 A-7\n", done.stderr


def test_a_handler_that_fails_after_posting_a_child(using: str) -> None:
    """An INSERT or UPDATE of the parent's row has numbered it."""
    with isolate_apps("tests.numbered"):
        parent = model_with(
            posted=models.BooleanField(default=True), number=SequenceField("s", when="posted")
        )
        meta = type("Meta", (), {"app_label": "numbered"})
        child: Any = type("Child", (parent,), {"__module__": __name__, "Meta": meta})
    with tables(using, parent, child):
        row, draft = child(), child.objects.using(using).create(posted=False)
        draft.posted = True
        for number, each in enumerate((row, draft), start=1):
            with failing_handler(child):
                each.save(using=using)
            assert each.number == number
            assert child.objects.using(using).get(pk=each.pk).number == number


def test_proxy(using: str) -> None:
    """A proxy shares its model's counter."""
    Invoice.objects.using(using).create()
    assert InvoiceProxy.objects.using(using).create().number == 2
    assert Invoice.objects.using(using).create().number == 3


def test_abstract(using: str) -> None:
    """A field of an abstract model numbers each concrete model by itself."""
    assert [CreditNote.objects.using(using).create().number for _ in range(2)] == [1, 2]
    assert get_last_value("numbered_creditnote.number", using=using) == 2


def test_abstract_with_a_constraint(using: str) -> None:
    """Each child of an abstract model has its own constraint and its own numbers."""
    with isolate_apps("tests.numbered"):

        class Written(models.Model):
            kind = models.CharField(max_length=9)
            number = SequenceField(unique_with="kind")

            class Meta:
                abstract = True
                app_label = "numbered"

        children: list[Any] = [
            type(name, (Written,), {"__module__": __name__}) for name in ("Memo", "Minutes")
        ]
    assert Written._meta.constraints == []
    assert len({each.name for child in children for each in child._meta.constraints}) == 2
    with tables(using, *children):
        for rows in (child.objects.using(using) for child in children):
            assert [rows.create(kind=kind).number for kind in "aba"] == [1, 1, 2]
            with pytest.raises(IntegrityError):
                rows.create(kind="a", number=1)


def test_primary_key_and_column_name(using: str) -> None:
    """The number may be the primary key, in a column of another name."""
    assert [Patient.objects.using(using).create().pk for _ in range(2)] == [1, 2]
    patient = Patient()
    patient.save(using=using)
    assert patient.pk == 3
    assert Patient.objects.using(using).create(pk=10).pk == 10
    assert Patient.objects.using(using).create().pk == 11
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT no FROM numbered_patient ORDER BY no")
        assert [number for (number,) in cursor.fetchall()] == [1, 2, 3, 10, 11]


@pytest.mark.parametrize("in_transaction", [False, True])
def test_composite_primary_key(in_transaction: bool, using: str) -> None:
    """The number may be a part of a composite primary key."""
    with letters(
        using,
        pk=models.CompositePrimaryKey("invoice", "number"),
        invoice=models.IntegerField(),
        number=SequenceField(scope="invoice"),
    ) as rows:
        with atomic_if(in_transaction, using):
            lines = [rows.create(invoice=invoice) for invoice in (1, 1, 2)]
        assert [line.pk for line in lines] == [(1, 1), (1, 2), (2, 1)]
        rows.bulk_create([rows.model(invoice=1), rows.model(invoice=2)])
        assert rows.filter(invoice=1).count() == 3


# Django asks the default database, too, what it thinks of a db_default.
@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize(
    "key",
    [
        models.UUIDField(primary_key=True, default=uuid.uuid4),
        models.CharField(primary_key=True, max_length=36, db_default=Upper(Value("a"))),
    ],
    ids=["UUID", "database's default"],
)
def test_keys_that_are_no_serial(key: Any, in_transaction: bool, using: str) -> None:
    """The primary key may come from Python, or be one that only the database knows."""
    with letters(using, id=key.clone(), number=SequenceField()) as rows:
        with atomic_if(in_transaction, using):
            assert rows.create().number == 1
        assert list(rows.values_list("number", flat=True)) == [1]


def test_number_before_the_primary_key(using: str) -> None:
    """The order of the columns does not matter to what an instance gets back."""
    for expected in (1, 2):
        first = First.objects.using(using).create()
        assert (type(first.pk), first.number) == (int, expected)
        assert First.objects.using(using).get(pk=first.pk).number == expected


def test_async(using: str) -> None:
    """Acreate, asave and abulk_create number as their counterparts do."""

    async def main() -> list[int]:
        first = await Invoice.objects.using(using).acreate()
        second = Invoice()
        await second.asave(using=using)
        rows = await Invoice.objects.using(using).abulk_create([Invoice(), Invoice()])
        third, _ = await Invoice.objects.using(using).aget_or_create(note="new")
        return [first.number, second.number, *(row.number for row in rows), third.number]

    assert async_to_sync(main)() == [1, 2, 3, 4, 5]


def test_related_managers(using: str) -> None:
    """Rows made through a relation are numbered by it."""
    project = Project.objects.using(using).create(code="p")
    assert [project.ticket_set.create().number for _ in range(2)] == [1, 2]
    ticket = Ticket(title="x")
    project.ticket_set.add(ticket, bulk=False)
    assert ticket.number == 3


def test_fixtures_are_loaded_as_they_are(using: str, tmp_path: Path) -> None:
    """Dumpdata and loaddata keep every number, and take none."""
    Invoice.objects.using(using).bulk_create([Invoice(note=str(i)) for i in range(3)])
    file = tmp_path / "rows.json"
    call_command("dumpdata", "numbered.invoice", database=using, output=str(file), verbosity=0)
    rows = json.loads(file.read_text())
    rows[1]["fields"]["number"] = 50
    file.write_text(json.dumps(rows))
    Invoice.objects.using(using).all().delete()
    call_command("loaddata", str(file), database=using, verbosity=0)
    numbers = Invoice.objects.using(using).order_by("note").values_list("number", flat=True)
    assert list(numbers) == [1, 50, 3]
    assert get_last_value("invoices", using=using) == 3


def test_counters_travel_with_the_rows(using: str, tmp_path: Path) -> None:
    """A fixture that holds the counters too goes on where it was dumped."""
    Invoice.objects.using(using).bulk_create([Invoice(), Invoice()])
    file = str(tmp_path / "all.json")
    labels = ("numbered.invoice", "sequences_core.counter")
    call_command("dumpdata", *labels, database=using, output=file, verbosity=0)
    call_command("flush", database=using, interactive=False, verbosity=0, inhibit_post_migrate=True)
    call_command("loaddata", file, database=using, verbosity=0)
    assert Invoice.objects.using(using).create().number == 3


def test_routers(using: str, settings: Any) -> None:
    """A save goes where the router says, number and scope too."""
    settings.DATABASE_ROUTERS = [ToUsing(using)]
    project = Project.objects.create(code="p", company=Company.objects.create(name="c"))
    assert Ticket.objects.create(project_id=project.pk).number == 1
    assert Invoice.objects.create().number == 1
    invoice = Invoice()
    invoice.save()
    assert invoice.number == 2
    assert get_last_value("invoices", using=using) == 2


def test_validation(using: str, settings: Any) -> None:
    """Validation accepts a number that isn't set yet."""
    settings.DATABASE_ROUTERS = [ToUsing(using)]
    Invoice.objects.create()
    invoice = Invoice(note="n")
    invoice.full_clean()
    invoice.save()
    assert invoice.number == 2
    ticket = Ticket(project=Project.objects.create(code="p"), title="t")
    ticket.full_clean()


def test_forms_leave_the_number_out() -> None:
    """A model form shows no field for the number."""
    form = forms.modelform_factory(Invoice, fields="__all__")
    assert list(form.base_fields) == ["note"]


def test_admin_shows_the_number_read_only() -> None:
    """The admin can show the number as a read-only field."""

    class InvoiceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
        readonly_fields = ("number",)
        list_display = ("number", "note")

    site = InvoiceAdmin(Invoice, admin.AdminSite())
    assert site.check() == []
    request = RequestFactory().get("/")
    assert list(site.get_form(request).base_fields) == ["note"]
    assert list(site.get_fields(request)) == ["note", "number"]


def test_serializers_see_a_read_only_integer() -> None:
    """Django REST framework serializes the number, and takes none from a client."""

    class InvoiceSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
        class Meta:
            model = Invoice
            fields = "__all__"

    field = InvoiceSerializer().fields["number"]
    assert isinstance(field, serializers.IntegerField)
    assert field.read_only
    serializer = InvoiceSerializer(data={"number": 7, "note": "n"})
    assert serializer.is_valid()
    assert serializer.validated_data == {"note": "n"}
    assert InvoiceSerializer(Invoice(number=7, note="n")).data["number"] == 7


@pytest.mark.parametrize("null", [False, True])
def test_serializers_ask_for_no_number_that_is_unique_with(
    null: bool, using: str, settings: Any
) -> None:
    """A client of Django REST framework sends the scope alone, though the two are unique."""
    settings.DATABASE_ROUTERS = [ToUsing(using)]
    web, app = (Project.objects.create(code=code) for code in ("web", "app"))
    with letters(
        using,
        project=models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+"),
        number=SequenceField(unique_with="project", null=null),
    ) as rows:

        class LetterSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
            class Meta:
                model = rows.model
                fields = "__all__"

        for number in (1, 2):
            serializer = LetterSerializer(data={"project": web.pk})
            assert serializer.is_valid(), serializer.errors
            letter = serializer.save()
            assert letter.number == serializer.data["number"] == number
        serializer = LetterSerializer(letter, data={"project": app.pk, "number": 7})
        assert serializer.is_valid(), serializer.errors
        serializer.save()
        assert rows.get(project=app).number == 2


def test_an_editable_number_is_in_forms() -> None:
    """With editable=True, a form has the field, which may be left empty."""
    with isolate_apps("tests.numbered"):

        class Letter(models.Model):
            number = SequenceField(editable=True)

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return f"{self.number}"

    form = forms.modelform_factory(Letter, fields="__all__")({})
    assert list(form.fields) == ["number"]
    assert form.is_valid()


def test_document_with_two_counters(using: str) -> None:
    """Two numbers of one row come from two counters, one of them looping."""
    rows = [Document.objects.using(using).create(kind=kind) for kind in ("a", "", "a", "b")]
    assert [(row.number, row.page) for row in rows] == [(100, 0), (None, 1), (101, 2), (100, 0)]
