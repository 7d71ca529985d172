"""Counters that don't fit their rows: sync, prune and adopt, as functions and as commands."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from io import StringIO
from typing import Any

import pytest
from django.apps.registry import Apps
from django.core.management import CommandError, call_command
from django.db import NotSupportedError, connections, models, transaction
from sequences_contrib.adopt import adopt
from sequences_contrib.afterwards import void
from sequences_contrib.audit import Missing, audit
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.periods import Month, Year
from sequences_contrib.upkeep import Change, prune, sync
from sequences_contrib.voids import record_void

from sequences_core import SequenceExhausted, get_last_value, set_last_value
from sequences_core.models import Counter
from tests.numbered.blocks import PATIENCE, letters, rolled_back, together
from tests.numbered.models import Company, Document, Invoice, Plain, Project, Ticket

APPS = ["sequences_contrib", "tests.numbered"]


def run(*args: str, using: str) -> str:
    out = StringIO()
    call_command("sequences", *args, "--database", using, stdout=out, no_color=True)
    return out.getvalue()


def counters(using: str) -> dict[str, int]:
    return dict(Counter.objects.using(using).values_list("name", "last"))


def run_sql(using: str, statement: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def tickets(using: str) -> list[Project]:
    """Three projects with three tickets each."""
    projects = [Project.objects.using(using).create(code=code) for code in "abc"]
    Ticket.objects.using(using).bulk_create([Ticket(project=p) for p in projects * 3])
    return projects


def counter_of(project: Project) -> str:
    return f"numbered_ticket.number.{project.pk}"


# sync


def test_a_restored_counter_is_found_synced_and_goes_on(tickets: list[Project], using: str) -> None:
    """The audit finds it, the dry run changes nothing, and after --apply numbering goes on."""
    name = counter_of(tickets[1])
    set_last_value(1, name, force=True, using=using)
    behind = {result.counter: result.behind for result in audit(Ticket, using=using)}
    assert behind == {counter_of(project): 0 for project in tickets} | {name: 2}
    assert sync(Ticket, using=using) == [Change(name, 1, 3)]
    assert get_last_value(name, using=using) == 1
    assert sync(Ticket, apply=True, using=using) == [Change(name, 1, 3)]
    assert sync(Ticket, using=using) == []
    assert Ticket.objects.using(using).create(project=tickets[1]).number == 4
    assert all(result.is_clean for result in audit(Ticket, using=using))


def test_a_lost_counter_is_made(tickets: list[Project], using: str) -> None:
    """sync() creates a missing counter."""
    Counter.objects.using(using).filter(pk=counter_of(tickets[0])).delete()
    assert sync(Ticket, "number", apply=True, using=using) == [
        Change(counter_of(tickets[0]), None, 3)
    ]
    assert counters(using) == dict.fromkeys(map(counter_of, tickets), 3)


@pytest.mark.parametrize("restored", [2, None], ids=["behind", "gone"])
def test_a_void_was_given(restored: int | None, tickets: list[Project], using: str) -> None:
    """A counter that is behind a void would give a number that is accounted for already."""
    name, chosen = counter_of(tickets[1]), Ticket.objects.using(using).filter(project=tickets[1])
    void(chosen.get(number=3), reason="spoilt", delete=True, using=using)
    if restored is None:
        Counter.objects.using(using).filter(pk=name).delete()
    else:
        set_last_value(restored, name, force=True, using=using)
    (result,) = audit(Ticket, counter=name, using=using)
    assert (result.behind, result.unexplained, result.is_clean) == (3 - (restored or 0), (), False)
    assert sync(Ticket, apply=True, using=using) == [Change(name, restored, 3)]
    assert chosen.create(project=tickets[1]).number == 4
    assert all(result.is_clean for result in audit(Ticket, using=using))


def test_a_void_of_a_scope_without_rows(tickets: list[Project], using: str) -> None:
    """A void prevents that the counter is deleted."""
    name = counter_of(tickets[0])
    for row in Ticket.objects.using(using).filter(project=tickets[0]):
        void(row, reason="spoilt", delete=True, using=using)
    Counter.objects.using(using).filter(pk=name).delete()
    (result,) = audit(Ticket, counter=name, using=using)
    assert (result.rows, result.behind) == (0, 3)
    assert sync(Ticket, apply=True, using=using) == [Change(name, None, 3)]
    assert prune(Ticket, apply=True, using=using) == []


def test_sync_never_lowers(tickets: list[Project], using: str) -> None:
    """A counter that is ahead of its rows stays, and so do those of loops."""
    set_last_value(9, counter_of(tickets[0]), using=using)
    for _ in range(5):
        Document.objects.using(using).create()
    before = counters(using)
    assert sync(Ticket, apply=True, using=using) == []
    assert sync(Document, "page", apply=True, using=using) == []
    assert counters(using) == before


def test_sync_beside_writers(tickets: list[Project], using: str) -> None:
    """While others take numbers, sync changes nothing that they haven't, and all are exact."""

    def write() -> None:
        for _ in range(20):
            Ticket.objects.using(using).create(project=tickets[0])

    def mend() -> None:
        for _ in range(10):
            sync(Ticket, apply=True, using=using)

    together([write, write, mend], using)
    (result,) = audit(Ticket, counter=counter_of(tickets[0]), using=using)
    assert (result.rows, result.last, result.at) == (43, 43, 43)
    assert result.is_clean


# prune


def test_prune_deletes_what_has_no_rows(tickets: list[Project], using: str) -> None:
    """Shown first, deleted with --apply; a counter with rows, numbered or not, stays."""
    gone, void, kept = tickets
    for project in (gone, void):
        Ticket.objects.using(using).filter(project=project).delete()
    record_void(counter_of(void), 2, using=using)
    set_last_value(5, "numbered_ticket", using=using)
    set_last_value(5, "numbered_ticket.number2.1", using=using)
    assert prune(Ticket, using=using) == [Change(counter_of(gone), 3, None)]
    assert counter_of(gone) in counters(using)
    assert prune(Ticket, apply=True, using=using) == [Change(counter_of(gone), 3, None)]
    assert set(counters(using)) == {
        counter_of(void),
        counter_of(kept),
        "numbered_ticket",
        "numbered_ticket.number2.1",
    }
    assert prune(Ticket, apply=True, using=using) == []


def test_a_counter_without_a_scope_is_not_pruned(using: str) -> None:
    """A field without a scope keeps its counter, which would start again."""
    Invoice.objects.using(using).create().delete()
    assert prune(Invoice, apply=True, using=using) == []
    assert counters(using) == {"invoices": 1}


def test_prune_waits_for_a_row_that_is_coming(tickets: list[Project], using: str) -> None:
    """A row that is inserted while prune looks keeps its counter, at its number."""
    gone, empty, _ = tickets
    Ticket.objects.using(using).filter(project__in=[gone, empty]).delete()
    pruned: list[list[Change]] = []

    def work() -> None:
        try:
            pruned.append(prune(Ticket, apply=True, using=using))
        finally:
            connections[using].close()

    other = threading.Thread(target=work)
    with transaction.atomic(using=using):
        Ticket.objects.using(using).create(project=gone)
        other.start()
        other.join(0.3)
        assert other.is_alive()
    other.join(PATIENCE)
    assert pruned == [[Change(counter_of(empty), 3, None)]]
    assert get_last_value(counter_of(gone), using=using) == 4


# adopt


class Home(models.Model):
    """A table of counters of another package."""

    key = models.CharField(max_length=100, primary_key=True)
    value = models.BigIntegerField()

    class Meta:
        apps = Apps()  # known to no migration
        app_label = "numbered"

    def __str__(self) -> str:
        return self.key


@pytest.mark.parametrize("apply", [False, True])
def test_prune_with_row_level_security(apply: bool, tickets: list[Project], using: str) -> None:
    """Scopes whose rows are hidden from the user don't count as scopes without rows."""
    if connections[using].vendor != "postgresql":
        pytest.skip("only PostgreSQL has row-level security")
    table, before = Ticket._meta.db_table, counters(using)
    with rolled_back(using):
        run_sql(using, f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        run_sql(using, "CREATE ROLE sequences_tenant")
        run_sql(using, "GRANT ALL ON ALL TABLES IN SCHEMA public TO sequences_tenant")
        run_sql(using, "SET LOCAL ROLE sequences_tenant")
        assert not Ticket.objects.using(using).exists()
        with pytest.raises(NotSupportedError, match=table):
            prune(Ticket, apply=apply, using=using)
        assert counters(using) == before


@contextmanager
def home(using: str, **values: int) -> Iterator[str]:
    with connections[using].schema_editor() as editor:
        editor.create_model(Home)
    try:
        Home._default_manager.using(using).bulk_create(
            [Home(key=k, value=v) for k, v in values.items()]
        )
        yield Home._meta.db_table
    finally:
        with connections[using].schema_editor() as editor:
            editor.delete_model(Home)


def test_adopt_from_rows(using: str) -> None:
    """A column that something else has numbered: the highest number of each scope counts."""
    with letters(
        using,
        kind=models.CharField(max_length=9),
        number=SequenceField("post", scope="kind", null=True),
    ) as rows:
        for kind, number in (("a", 7), ("a", 3), ("b.", 2), ("c", None)):
            run_sql(
                using,
                f"INSERT INTO numbered_letter (kind, number) VALUES ('{kind}', {number or 'NULL'})",
            )
        expected = [Change("post.a", None, 7), Change("post.b%2E", None, 2)]
        assert adopt(rows.model, "number", using=using) == expected
        assert counters(using) == {}
        assert adopt(rows.model, "number", apply=True, using=using) == expected
        assert adopt(rows.model, "number", apply=True, using=using) == []
        numbers = [rows.create(kind=kind).number for kind in ("a", "b.", "c")]
        assert numbers == [8, 3, 1]


def test_adopt_from_a_table(using: str) -> None:
    """What the other package remembers counts where it is higher, for rows that were deleted."""
    Invoice.objects.using(using).bulk_create([Invoice() for _ in range(3)])
    project = Project.objects.using(using).create()
    Ticket.objects.using(using).create(project=project)
    remembered = {"inv": 5, "invoice": 99, f"t-{project.pk}": 4, "t-999": 2, "t-": 8}
    with home(using, **remembered) as table:
        assert adopt(Invoice, "number", table=table, row="inv", apply=True, using=using) == [
            Change("invoices", 3, 5)
        ]
        assert adopt(Ticket, "number", table=table, row="t-", apply=True, using=using) == [
            Change(counter_of(project), 1, 4),
            Change("numbered_ticket.number.999", None, 2),
        ]
        with pytest.raises(ValueError, match="no row 'nothing'"):
            adopt(Invoice, "number", table=table, row="nothing", using=using)
        Home._default_manager.using(using).filter(pk="inv").update(value=-4)
        with pytest.raises(ValueError, match="between 0"):
            adopt(Invoice, "number", table=table, row="inv", apply=True, using=using)
    with pytest.raises(ValueError, match="no columns name and last, or key and value"):
        adopt(Invoice, "number", table="django_migrations", row="inv", using=using)


SCOPES: dict[str, tuple[Any, Any, dict[str, int], dict[str, int], str]] = {
    # The column, the scope, the rows of the table, the counters, and a text that is no scope.
    "decimal": (
        models.DecimalField(max_digits=9, decimal_places=2),
        "x",
        {"1.50": 4, "1.5": 3, "-0": 2, "7": 1},
        {"1%2E5": 4, "0": 2, "7": 1},
        "a",
    ),
    "integer": (models.IntegerField(), "x", {"07": 4, "7": 5}, {"7": 5}, "7.5"),
    "text": (models.CharField(max_length=9), "x", {"07": 4, "a.b": 5}, {"07": 4, "a%2Eb": 5}, ""),
    "date": (models.DateField(), "x", {"2026-1-5": 4}, {"2026-01-05": 4}, "2026-13-01"),
    "moment": (
        models.DateTimeField(),
        "x",
        {"2026-01-05 12:00:00+02:00": 4},
        {"2026-01-05 10:00:00+00:00": 4},
        "noon",
    ),
    "bool": (models.BooleanField(), "x", {"True": 4, "0": 2}, {"True": 4, "False": 2}, "yes"),
    "duration": (models.DurationField(), "x", {"60": 4}, {"0:01:00": 4}, "a"),
    "uuid": (
        models.UUIDField(),
        "x",
        {"0123456789AB4DEF8123456789ABCDEF": 4},
        {"01234567-89ab-4def-8123-456789abcdef": 4},
        "0123",
    ),
    "month": (models.DateField(), Month("x"), {"2026-01": 4}, {"2026-01": 4}, "2026-1"),
}


@pytest.mark.parametrize("kind", SCOPES)
def test_adopt_reads_a_scope_as_its_column_does(kind: str, using: str) -> None:
    """The counters are those that the next rows use, in whatever way the table writes a value."""
    column, scope, remembered, expected, wrong = SCOPES[kind]
    number = SequenceField("post", scope=scope)
    with letters(using, x=column.clone(), number=number) as rows:
        named = {f"p{text}": last for text, last in remembered.items()}
        with home(using, **named) as table:
            adopt(rows.model, "number", table=table, row="p", apply=True, using=using)
            assert counters(using) == {f"post.{text}": last for text, last in expected.items()}
            text = "2026-01-31" if kind == "month" else next(iter(remembered))
            value = rows.model._meta.get_field("x").to_python(text)
            assert rows.create(x=value).number == 1 + next(iter(expected.values()))
            if wrong:
                Home._default_manager.using(using).create(key=f"p{wrong}", value=9)
                with pytest.raises(ValueError, match=f"'p{wrong}'.*not a value of .*'x'"):
                    adopt(rows.model, "number", table=table, row="p", apply=True, using=using)


def test_a_table_whose_names_are_integers(using: str) -> None:
    """Rows without a name are left out."""
    with letters(
        using, part=models.IntegerField(), number=SequenceField("s", scope="part")
    ) as rows:
        run_sql(using, "CREATE TABLE counted (name INTEGER, last BIGINT)")
        try:
            run_sql(using, "INSERT INTO counted VALUES (7, 5), (NULL, 6)")
            changes = adopt(rows.model, "number", table="counted", row="", using=using)
            assert changes == [Change("s.7", None, 5)]
        finally:
            run_sql(using, "DROP TABLE counted")


def test_adopt_from_a_sequence_of_the_database(using: str) -> None:
    """Called or not yet; a database without sequences says so."""
    Invoice.objects.using(using).create()
    connection: Any = connections[using]
    if connection.vendor == "sqlite" or (
        connection.vendor == "mysql" and not connection.mysql_is_mariadb
    ):
        with pytest.raises(NotSupportedError, match="no sequence"):
            adopt(Invoice, "number", sequence="old", using=using)
        return
    options = "" if connection.vendor == "postgresql" else "NOCACHE"
    run_sql(using, f"CREATE SEQUENCE old START WITH 7 {options}")
    try:
        assert adopt(Invoice, "number", sequence="old", using=using) == [Change("invoices", 1, 6)]
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval('old')" if not options else "SELECT NEXTVAL(old)")
        assert adopt(Invoice, "number", sequence="old", apply=True, using=using) == [
            Change("invoices", 1, 7)
        ]
    finally:
        run_sql(using, "DROP SEQUENCE old")


def test_adopt_from_texts(using: str) -> None:
    """Rows get the numbers that their texts say, all or none; the counters go on from there."""
    with letters(
        using,
        day=models.DateField(),
        text=models.CharField(max_length=30, null=True),
        number=SequenceField("post", scope=Year("day"), null=True, unique=False),
    ) as rows:
        texts = {"P-2026-0002": 2026, "P-2026-0001": 2026, "P-2027-12345": 2027}
        for text, year in texts.items():
            row = rows.create(day=date(year, 5, 1), text=text, number=9)
            rows.filter(pk=row.pk).update(number=None)
        draft = rows.create(day=date(2026, 5, 1), number=9)
        rows.filter(pk=draft.pk).update(number=None)
        Counter.objects.using(using).all().delete()
        options: dict[str, Any] = {
            "text": "text",
            "format": NumberFormat("P-{day:%Y}-{number:04d}"),
            "using": using,
        }
        expected = [Change("post.2026", None, 2), Change("post.2027", None, 12345)]
        assert adopt(rows.model, "number", **options) == expected
        assert not rows.exclude(number=None).exists()
        broken = rows.create(day=date(2026, 5, 1), text="draft", number=8)
        rows.filter(pk=broken.pk).update(number=None)
        Counter.objects.using(using).all().delete()
        with pytest.raises(ValueError, match=f"{broken.pk}: .*'draft'"):
            adopt(rows.model, "number", apply=True, **options)
        assert not rows.exclude(number=None).exists()
        assert counters(using) == {}
        broken.delete()
        assert adopt(rows.model, "number", apply=True, **options) == expected
        numbers = rows.order_by("pk").values_list("text", "number")
        assert list(numbers) == [*zip(texts, [2, 1, 12345], strict=True), (None, None)]
        assert rows.create(day=date(2026, 6, 1)).number == 3
        with pytest.raises(ValueError, match="no field 'txet'"):
            adopt(rows.model, "number", text="txet", using=using)
        with pytest.raises(TypeError, match="needs a NumberFormat"):
            adopt(rows.model, "number", text="text", using=using)


def test_texts_that_say_one_number_twice(using: str) -> None:
    """If the number is unique, they are refused, and nothing is stored."""
    with letters(
        using,
        text=models.CharField(max_length=30, null=True),
        number=SequenceField("post", null=True, unique=True),
    ) as rows:
        for number, text in enumerate(("P-7", "P-007", "P-8"), start=1):
            row = rows.create(text=text, number=number)
            rows.filter(pk=row.pk).update(number=None)
        Counter.objects.using(using).all().delete()
        options: dict[str, Any] = {"text": "text", "format": NumberFormat("P-{number}")}
        with pytest.raises(ValueError, match="'P-007'"):
            adopt(rows.model, "number", using=using, **options)
        rows.filter(text="P-007").update(text="P-8")
        with pytest.raises(ValueError, match="have the same number"):
            adopt(rows.model, "number", apply=True, using=using, **options)
        assert not rows.exclude(number=None).exists()
        assert counters(using) == {}


def test_a_row_that_is_numbered_while_texts_are_adopted(using: str) -> None:
    """It keeps the number that it has got meanwhile."""

    class Racing(NumberFormat):
        def parse(self, text: str, *args: Any) -> Any:
            seen.append(text)
            if len(seen) == 2:  # when the texts are read to be written
                rows.update(number=43)
            return super().parse(text, *args)

    seen: list[str] = []
    text = models.CharField(max_length=30, null=True)
    with letters(using, text=text, number=SequenceField("post", null=True)) as rows:
        rows.create(text="P-42", number=1)
        rows.update(number=None)
        options: dict[str, Any] = {"text": "text", "format": Racing("P-{number}")}
        adopt(rows.model, "number", apply=True, using=using, **options)
        assert [row.number for row in rows.all()] == [43]


def test_adopt_keeps_to_the_maximum(using: str) -> None:
    """A number that the field could never have given is not adopted."""
    with letters(using, number=SequenceField("post", maximum=9, null=True)) as rows:
        run_sql(using, "INSERT INTO numbered_letter (number) VALUES (10)")
        for apply in (False, True):
            with pytest.raises(SequenceExhausted, match="maximum 9"):
                adopt(rows.model, "number", apply=apply, using=using)
        assert counters(using) == {}
        run_sql(using, "UPDATE numbered_letter SET number = 8")
        assert adopt(rows.model, "number", apply=True, using=using) == [Change("post", None, 8)]


def test_adopt_asks_a_function_for_the_maximum_of_each_text(using: str) -> None:
    """The function gets the row of each text, and its maximum applies to the text's number."""
    number = SequenceField("post", maximum=lambda row: row.pages, null=True)
    fields: dict[str, Any] = {
        "pages": models.IntegerField(),
        "text": models.CharField(max_length=9),
    }
    with letters(using, number=number, **fields) as rows:
        values = "(NULL, 9, 'A7'), (NULL, 5, 'A6')"
        run_sql(using, f"INSERT INTO numbered_letter (number, pages, text) VALUES {values}")
        options: dict[str, Any] = {"text": "text", "format": NumberFormat("A{number}")}
        for apply in (False, True):
            with pytest.raises(SequenceExhausted, match="maximum 5"):
                adopt(rows.model, "number", apply=apply, using=using, **options)
        assert counters(using) == {}
        run_sql(using, "UPDATE numbered_letter SET pages = 6 WHERE pages = 5")
        adopt(rows.model, "number", apply=True, using=using, **options)
        assert counters(using) == {"post": 7}


BAD: list[tuple[type[models.Model], dict[str, Any], str]] = [
    (Invoice, {"text": "note", "format": NumberFormat("{number}")}, "null=True"),
    (Invoice, {"table": "t"}, "given together"),
    (Invoice, {"row": "r"}, "given together"),
    (Invoice, {"table": "t", "row": "r", "sequence": "s"}, "only one of table, sequence and text"),
    (Ticket, {"sequence": "s"}, "one sequence can't set all its counters"),
    (Document, {}, "is not a SequenceField"),
]


@pytest.mark.parametrize(("model", "options", "text"), BAD)
def test_bad_arguments(model: Any, options: dict[str, Any], text: str) -> None:
    """Invalid arguments raise the same error on every database, without a query."""
    with pytest.raises(ValueError, match=text):
        adopt(model, "title" if model is Document else "number", **options)
    with pytest.raises(ValueError, match="reset_value"):
        adopt(Document, "page")


# The commands


def test_all_models(tickets: list[Project], using: str) -> None:
    """Without a model, a command treats all fields of all models, each counter once."""
    Invoice.objects.using(using).bulk_create([Invoice() for _ in range(3)])
    Plain.objects.using(using).create(code="a")
    counters = {result.counter for result in audit(using=using)}
    assert {"invoices", "numbered_plain.number", *map(counter_of, tickets)} <= counters
    results = json.loads(run("audit", "--format", "json", using=using))
    assert [result["counter"] for result in results] == [r.counter for r in audit(using=using)]
    assert len({result["counter"] for result in results}) == len(results)
    assert len(run("audit", "--format", "csv", using=using).splitlines()) == len(results) + 1
    set_last_value(1, "invoices", force=True, using=using)
    with pytest.raises(CommandError, match="1 counter with unexplained findings"):
        run("audit", using=using)
    assert sync(using=using) == [Change("invoices", 1, 3)]
    assert "invoices: 1 -> 3\n1 counter would be increased" in run("sync", using=using)
    assert "1 counter increased" in run("sync", "--apply", using=using)
    Ticket.objects.using(using).filter(project=tickets[0]).delete()
    assert prune(using=using) == [Change(counter_of(tickets[0]), 3, None)]
    assert "1 counter would be deleted" in run("prune", using=using)
    run("audit", "--counter", counter_of(tickets[1]), using=using)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"date": "day"}, "date='day' needs a model"),
        ({"field": "number"}, "field='number' needs a model"),
    ],
)
def test_what_needs_a_model(arguments: dict[str, Any], problem: str) -> None:
    """A field's name means nothing without a model."""
    with pytest.raises(ValueError, match=problem):
        audit(**arguments)


class Allowing:
    """A router that allows the tables of these models only."""

    def __init__(self, *models: str) -> None:
        self.models = models

    def allow_migrate(self, db: str, app_label: str, model_name: str, **hints: Any) -> bool:
        return model_name in self.models


def test_all_models_of_a_database(tickets: list[Project], using: str, settings: Any) -> None:
    """With a database, only models that the router allows there are treated."""
    Invoice.objects.using(using).create()
    settings.DATABASE_ROUTERS = [Allowing("ticket")]
    fields = {field for result in audit(using=using) for field in result.fields}
    assert fields == {"numbered.Ticket.number"}
    settings.DATABASE_ROUTERS = [Allowing()]
    with pytest.raises(CommandError, match=f"no model in database '{using}' has a SequenceField"):
        run("audit", using=using)


def test_audit_as_a_table(tickets: list[Project], using: str) -> None:
    """A line for each counter; the exit status is 1 when something needs an explanation."""
    assert "ok" in run("audit", "numbered.Ticket", using=using)
    run_sql(using, f"DELETE FROM numbered_ticket WHERE number = 2 AND project_id = {tickets[1].pk}")
    out = StringIO()
    with pytest.raises(CommandError, match="1 counter with unexplained findings") as caught:
        call_command("sequences", "audit", "numbered.ticket", "--database", using, stdout=out)
    assert caught.value.returncode == 1
    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["counter", "rows", "first", "last", "at", "drafts", "findings"]
    findings = {line.split()[0]: line.split("  ")[-1] for line in lines[1:]}
    assert findings == {
        counter_of(ticket): "missing 2" if ticket is tickets[1] else "ok" for ticket in tickets
    }
    record_void(counter_of(tickets[1]), 2, using=using)
    assert "void 2" in run("audit", "numbered.Ticket.number", using=using)


def test_audit_for_programs(tickets: list[Project], using: str) -> None:
    """JSON has all findings, CSV a line for each counter."""
    name = counter_of(tickets[0])
    args = ("audit", "numbered.Ticket", "--counter", name, "--format")
    (result,) = json.loads(run(*args, "json", using=using))
    assert (result["counter"], result["rows"], result["clean"]) == (name, 3, True)
    assert result["missing"] == []
    rows = list(csv.DictReader(StringIO(run(*args, "csv", using=using))))
    assert rows == [
        {
            "counter": name,
            "rows": "3",
            "first": "1",
            "last": "3",
            "at": "3",
            "drafts": "0",
            "findings": "ok",
        }
    ]


def test_a_terminal_obeys_no_name(using: str) -> None:
    """The names hold what users have typed in."""
    set_last_value(5, "numbered_ticket.number.\x1b[31mred", using=using)
    out = run("prune", "numbered.ticket", using=using)
    assert "numbered_ticket.number.\\x1b[31mred: 5 -> -" in out


def test_commands_show_and_apply(tickets: list[Project], using: str) -> None:
    """Each command shows the changes, and makes them only with --apply."""
    name = counter_of(tickets[0])
    set_last_value(1, name, force=True, using=using)
    shown = run("sync", "numbered.Ticket", using=using)
    assert shown == f"{name}: 1 -> 3\n1 counter would be increased; use --apply to do it.\n"
    assert run("sync", "numbered.Ticket", "--apply", using=using).endswith("1 counter increased.\n")
    assert run("sync", "numbered.Ticket", using=using) == "0 counters would be increased.\n"
    Ticket.objects.using(using).filter(project=tickets[0]).delete()
    shown = run("prune", "numbered.Ticket", using=using)
    assert shown == f"{name}: 3 -> -\n1 counter would be deleted; use --apply to do it.\n"
    assert run("prune", "numbered.Ticket", "--apply", using=using).endswith("1 counter deleted.\n")


def test_adopt_ends_with_the_audit(using: str) -> None:
    """It shows older gaps as well, and fails because of them only with --apply."""
    for number in (1, 2, 4):
        run_sql(using, f"INSERT INTO numbered_plain (number, code) VALUES ({number}, '{number}')")
    shown = run("adopt", "numbered.Plain.number", using=using)
    assert "numbered_plain.number: - -> 4" in shown
    assert "missing 3; counter behind by 4" in shown
    with pytest.raises(CommandError, match="unexplained"):
        run("adopt", "numbered.Plain.number", "--apply", using=using)
    assert Plain.objects.using(using).create(code="new").number == 5


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no model": (("audit", "Invoice"), "app.Model"),
    "unknown app": (("audit", "nothing.Invoice"), "no model"),
    "unknown model": (("sync", "numbered.Nothing"), "no model"),
    "unknown field": (("prune", "numbered.Invoice.note"), "not a SequenceField"),
    "not numbered": (("audit", "numbered.Company"), "no SequenceField"),
    "unknown counter": (("audit", "numbered.Invoice", "--counter", "x"), "no counter 'x'"),
    "unknown date": (("audit", "numbered.Invoice", "--date", "x"), "no date 'x'"),
    "no field": (("adopt", "numbered.Invoice"), "app.Model.field"),
    "no row": (("adopt", "numbered.Invoice.number", "--from-table", "t"), "given together"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_arguments_are_command_errors(wrong: str, using: str) -> None:
    """Each error message describes the problem."""
    args, text = WRONG[wrong]
    with pytest.raises(CommandError, match=text):
        run(*args, using=using)


@pytest.mark.parametrize("function", [False, True])
def test_a_path_to_a_row_that_is_gone(function: bool, using: str) -> None:
    """Rows whose scope can't be read are reported, and the others are audited and synced."""
    to_project: dict[str, Any] = {"db_constraint": False, "null": True, "related_name": "+"}
    scope: list[Any] = ["project__company", *([lambda row: "x"] if function else [])]
    with letters(
        using,
        project=models.ForeignKey(Project, models.DO_NOTHING, **to_project),
        number=SequenceField("s", scope=scope, null=True),
    ) as rows:
        company = Company.objects.using(using).create()
        projects = [Project.objects.using(using).create(company=company) for _ in range(2)]
        for project in (*projects, None):
            rows.create(project=project)
        Project.objects.using(using).filter(pk=projects[0].pk).delete()
        counter = f"s.{company.pk}.x" if function else f"s.{company.pk}"
        found = {each.counter: each for each in audit(rows.model, using=using)}
        assert {name: each.rows for name, each in found.items()} == {counter: 1, "": 1}
        assert found[counter].missing == (Missing(1, 1),)
        set_last_value(1, counter, force=True, using=using)
        assert sync(rows.model, using=using) == [Change(counter, 1, 2)]
        assert prune(rows.model, using=using) == []
