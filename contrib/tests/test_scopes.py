"""What a field's scope can be, and which counter it leads to."""

from __future__ import annotations

import operator
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, connections, models
from django.db.models import F, IntegerField, Max, Value
from django.db.models.functions import Upper
from django.test.utils import isolate_apps
from django.utils.functional import lazystr
from hypothesis import example, given
from hypothesis import strategies as st
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.identity import counter_name, escape, plain_text
from sequences_contrib.scopes import texts_of
from sequences_contrib.texts import FormattedNumberField

from sequences_core import Allocation, get_last_value
from tests.numbered.blocks import letters, model_with, tables
from tests.numbered.models import (
    Company,
    Document,
    Plain,
    Project,
    Receipt,
    Ticket,
)
from tests.properties.columns import binary

APPS = ["tests.numbered"]


def name(instance: models.Model, scope: Any, using: str = "default", **options: Any) -> str | None:
    """The counter of an instance's ``number`` if its field had that scope."""
    field: Any = SequenceField("s", scope=scope, **{"null": True, **options})
    field.set_attributes_from_name("number")
    field.model = type(instance)
    return field.counter_of(instance, using)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (None, "s"),
        ([], "s"),
        ("code", "s.x"),
        (F("code"), "s.x"),
        ("company", "s.7"),
        ("company_id", "s.7"),
        (F("company__name"), "s.acme"),
        ("company__pk", "s.7"),
        (Value("text"), "s.text"),
        (2024, "s.2024"),
        (0, "s.0"),
        (lambda project: "a", "s.a"),
        (lambda project: 0, "s.0"),
        (lambda project: ["a", 1], "s.a.1"),
        (lambda project: ("a", project.code), "s.a.x"),
        (lambda project: project.company, "s.7"),
        (lambda project: lazystr("a"), "s.a"),
        (lambda project: F("company__name"), "s.acme"),
        (lambda project: [lambda each: each.code, lambda each: F("company"), "a"], "s.x.7.a"),
        (lambda project: [Value("v"), F("code"), "code"], "s.v.x.code"),
        (["code", F("company__name"), 1, Value("v"), lambda project: "c"], "s.x.acme.1.v.c"),
        (("code", "company"), "s.x.7"),
        # No number.
        (lambda project: None, None),
        (lambda project: "", None),
        (lambda project: [], None),
        (lambda project: lazystr(""), None),
        (lambda project: ["a", None], None),
        (Value(None), None),
        (["code", Value("")], None),
    ],
)
def test_forms(scope: Any, expected: str | None, using: str) -> None:
    """Fields, paths, constants and functions, alone and in lists, make the counter's name."""
    company = Company.objects.using(using).create(pk=7, name="acme")
    assert name(Project(code="x", company=company), scope, using) == expected


@pytest.mark.parametrize(
    "result",
    [{"a"}, frozenset({"a", "b"}), {"a": 1}, iter("ab"), object(), ["a", ["b"]], [("a",)]],
    ids=lambda result: type(result).__name__,
)
def test_a_function_that_returns_no_value(result: Any) -> None:
    """The text of a set, an iterator or any object can be another one for the same value."""
    with pytest.raises(TypeError, match="must be one value"):
        name(Project(code="x"), lambda project: result)


class Land:
    """A value of another package, with a text and a length."""

    def __str__(self) -> str:
        return "DE"

    def __len__(self) -> int:
        return 2


def test_a_function_that_returns_an_object_with_a_text() -> None:
    """The text identifies the object, which isn't a container."""
    by_text = name(Project(code="x"), lambda project: "DE")
    assert name(Project(code="x"), lambda project: Land()) == by_text


def test_a_foreign_key_to_a_generated_field(using: str) -> None:
    """The key is converted like the result of the expression that it refers to."""
    with isolate_apps(*APPS):
        output = models.IntegerField()
        key = models.GeneratedField(
            expression=F("half") * 2, output_field=output, db_persist=True, unique=True
        )
        double = model_with("Double", half=models.IntegerField(), key=key)
        to_key = models.ForeignKey(double, models.CASCADE, to_field="key")
        letter = model_with(double=to_key, number=SequenceField(scope="double"))
    with tables(using, double, letter):
        double._default_manager.using(using).create(half=2)
        rows = letter._default_manager.using(using)
        created = [rows.create(double_id=key).number for key in (4, "04", Decimal(4))]
    assert created == [1, 2, 3]


def test_null_on_the_way(using: str) -> None:
    """A path that meets a null leads to no counter."""
    for scope in ("company", "company__name", F("company__pk"), ["code", "company"]):
        assert name(Project(code="x"), scope, using) is None
    assert name(Receipt(), "project__company__name", using) is None
    assert name(Project(code=""), "code", using) is None


def test_a_value_in_another_form() -> None:
    """What the database will store as the same value leads to the same counter."""
    assert name(Project(code=7, company_id="07"), ["code", "company"]) == "s.7.7"
    assert name(Project(code="7", company_id=7), ["code", "company"]) == "s.7.7"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (models.DateTimeField(), datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))),
        (models.DecimalField(max_digits=5, decimal_places=2), Decimal("1.5")),
        (models.DecimalField(max_digits=5, decimal_places=2), Decimal(100)),
    ],
    ids=str,
)
def test_a_value_as_it_comes_back(field: Any, value: Any, using: str) -> None:
    """What is read from the database leads to the counter that what was stored led to."""
    with letters(using, part=field.clone(), number=SequenceField(scope="part")) as rows:
        first = rows.create(part=value)
        stored = rows.get(pk=first.pk)
        assert [first.number, rows.create(part=stored.part).number] == [1, 2]


def test_a_time_of_a_zone(using: str) -> None:
    """PostgreSQL ignores the time zone of a time; the other databases refuse the value."""
    noon = time(12, tzinfo=timezone(timedelta(hours=2)))
    with letters(using, part=models.TimeField(), number=SequenceField(scope="part")) as rows:
        assert rows.create(part=time(12)).number == 1
        if connections[using].vendor == "postgresql":
            assert rows.create(part=noon).number == 2
        else:
            with pytest.raises(ValueError, match="timezone-aware"):
                rows.create(part=noon)


# Django asks the default database, too, what it thinks of a db_default.
@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("in_bulk", [False, True], ids=["create", "bulk_create"])
@pytest.mark.parametrize("values", [{}, {"kind": Upper(Value("a"))}], ids=["default", "given"])
def test_a_value_that_only_the_database_knows(
    values: dict[str, Any], in_bulk: bool, using: str
) -> None:
    """An expression in the scope is refused, for no counter can be named by it."""
    kind = models.CharField(max_length=9, db_default="a")
    with letters(using, kind=kind, number=SequenceField(scope="kind", null=True)) as rows:
        letter = rows.model(**values)
        with pytest.raises(ValueError, match=r"numbered\.Letter\.kind .* default"):
            rows.bulk_create([letter]) if in_bulk else letter.save(using=using)
        assert not rows.exists()
        assert rows.create(kind="a").number == 1


def test_separator(using: str) -> None:
    """The parts are joined by the separator."""
    project = Project(code="x", company=Company.objects.using(using).create(name="a.b"))
    assert name(project, ["code", "company__name"], using, separator="/") == "s/x/a.b"
    assert name(project, ["code", "company__name"], using, separator="::") == "s::x::a.b"


def test_names_are_never_confused() -> None:
    """Values that contain the separator, or white space at an end, have counters of their own."""
    pairs = [("a.b", "c"), ("a", "b.c"), ("a%2Eb", "c"), ("a", "b", "c"), ("a ", "b"), ("a", "b ")]
    names = {counter_name("s", pair, ".") for pair in pairs}
    assert len(names) == len(pairs)
    assert counter_name("s", ("ends ",), ".") == "s.ends%20"


TEXTS = st.text("a.:2E% \n\0é", min_size=1, max_size=3)


@example([("a:", ["b"]), ("a", [":b"])], "::")
@example([("r", ["2024", "5"]), ("r.2024", ["5"])], ".")
@given(
    st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)), min_size=2, max_size=2),
    st.sampled_from([".", "::", "2", "E", "25"]),
)
def test_names_are_injective(scopes: list[tuple[str, list[str]]], separator: str) -> None:
    """Different scopes or sequences never share a counter, and each name is allowed."""
    names = [counter_name(escape(base, separator), tuple(s), separator) for base, s in scopes]
    for each in names:
        Allocation(each)
    assert (names[0] == names[1]) is (scopes[0] == scopes[1])


def test_models_and_lists_from_a_function() -> None:
    """A function may return instances; they stand for their primary keys."""
    company: Any = Company(pk=3)
    assert texts_of(lambda each: [each, 2], [company], connection) == [("3", "2")]
    kinds: Any = SimpleNamespace(kind="k")
    kind_of: Any = operator.attrgetter("kind")
    assert texts_of(kind_of, [kinds], connection) == [("k",)]
    assert plain_text(company) == "3"


def test_each_value_has_its_counter(using: str) -> None:
    """Each scope is numbered independently of the others."""
    a, b = (Company.objects.using(using).create(name=code) for code in "ab")
    projects = [Project.objects.using(using).create(company=each, code="p") for each in (a, a, b)]
    receipts = [
        Receipt.objects.using(using).create(project=project).number
        for project in [*projects, *projects]
    ]
    assert receipts == [1, 2, 1, 3, 4, 2]
    assert get_last_value(f"receipts.r.{a.pk}", using=using) == 4


def test_paths_are_looked_up_where_the_row_is_saved(using: str) -> None:
    """A path from a bare foreign key value is followed in the database that is saved to."""
    company = Company.objects.using(using).create(name="c")
    project = Project.objects.using(using).create(company=company, code="p")
    receipts = Receipt.objects.using(using)
    assert receipts.create(project_id=project.pk).number == 1
    created = receipts.bulk_create([Receipt(project_id=project.pk), Receipt(project=project)])
    assert [receipt.number for receipt in created] == [2, 3]
    assert get_last_value(f"receipts.r.{company.pk}", using=using) == 3
    lonely = Project.objects.using(using).create(code="lonely")
    assert receipts.create(project_id=lonely.pk).number is None


def test_other_relations(using: str) -> None:
    """A one-to-one field is followed, and a foreign key to another column than the primary key."""
    a, b = (Company.objects.using(using).create(name=name) for name in "ab")
    p, q, r = (Project.objects.using(using).create(company=each) for each in (a, a, b))
    with letters(
        using,
        project=models.OneToOneField(Project, on_delete=models.CASCADE, related_name="+"),
        number=SequenceField("s", scope="project__company"),
    ) as rows:
        created = [rows.create(project_id=p.pk), rows.create(project=q), rows.create(project=r)]
        assert [row.number for row in created] == [1, 2, 1]
    plain = Plain.objects.using(using).create(code="x", number=7)
    with letters(
        using,
        plain=models.ForeignKey(Plain, on_delete=models.CASCADE, to_field="code", related_name="+"),
        number=SequenceField("near", scope="plain"),
        other=SequenceField("far", scope="plain__number"),
    ) as rows:
        created = [rows.create(plain=plain), rows.create(plain_id="x")]
        assert [(row.number, row.other) for row in created] == [(1, 1), (2, 2)]
    assert [get_last_value(name, using=using) for name in ("near.x", "far.7")] == [2, 2]


def test_no_scope_no_number(using: str) -> None:
    """With null=True, a row without a scope is stored without a number, and keeps none."""
    receipt = Receipt.objects.using(using).create()
    assert receipt.number is None
    document = Document.objects.using(using).create(kind="")
    assert (document.number, document.page) == (None, 0)
    document.kind = "a"
    document.save()
    document.refresh_from_db()
    assert document.number is None
    assert get_last_value("numbered_document.number.a.x", using=using) is None
    receipt = Receipt.objects.using(using).create(number=5)
    assert receipt.number == 5


def test_no_scope_for_a_number_that_must_be(using: str) -> None:
    """Without null=True, the save raises ValueError with a remedy, and stores nothing."""
    for save in (
        lambda: Ticket(title="t").save(using=using),
        lambda: Ticket.objects.using(using).bulk_create([Ticket()]),
    ):
        with pytest.raises(ValueError, match=r"numbered\.Ticket\.number .*scope .*null=True"):
            save()
    assert not Ticket.objects.using(using).exists()


def test_a_scope_changed_later_keeps_the_number(using: str) -> None:
    """The number belongs to the scope that the row was inserted with."""
    a, b = (Project.objects.using(using).create(code=code) for code in "ab")
    ticket = Ticket.objects.using(using).create(project=a)
    ticket.project = b
    ticket.save()
    assert ticket.number == 1
    assert Ticket.objects.using(using).create(project=a).number == 2


def test_the_initial_callable_gets_the_instance(using: str) -> None:
    """A computed first number is asked for once per counter."""
    documents = Document.objects.using(using)
    assert [documents.create(kind="a").number for _ in range(3)] == [100, 101, 102]
    assert documents.create(kind="b").number == 100


@pytest.mark.parametrize("in_bulk", [False, True], ids=["create", "bulk_create"])
def test_the_initial_callable_goes_on_from_the_rows(in_bulk: bool, using: str) -> None:
    """A computed first number can follow rows that came without the counter; it is asked once."""
    asked: list[Any] = []

    def after_the_highest(letter: Any) -> int:
        asked.append(letter)
        rows = type(letter)._base_manager.using(using)
        return int(rows.aggregate(highest=Max("number"))["highest"]) + 1

    with letters(using, number=SequenceField(initial_value=after_the_highest)) as rows:
        rows.model(number=41).save_base(raw=True, using=using, force_insert=True)
        if in_bulk:
            created = rows.bulk_create([rows.model(), rows.model()])
        else:
            created = [rows.create(), rows.create()]
        assert [row.number for row in created] == [42, 43]
        assert rows.create().number == 44
    assert len(asked) == 1
    assert asked[0] is created[0]


LENGTHS = {"exact": "abc", "longer": "abc ", "longest": "abc   "}


@pytest.mark.parametrize("options", [{}, {"reuse": "gaps"}, {"skip_used": True}], ids=str)
def test_spaces_that_do_not_fit(options: dict[str, Any], using: str) -> None:
    """Databases cut off spaces beyond the length of a column: the counter is that of the rest."""
    kind = models.CharField(max_length=3, db_collation=binary(using))
    with letters(
        using,
        kind=kind,
        number=SequenceField("s", scope="kind", **options),
        text=FormattedNumberField(NumberFormat("{kind}-{number}"), max_length=30),
    ) as rows:
        created = [rows.create(kind=text) for text in LENGTHS.values()]
        created += rows.bulk_create([rows.model(kind=text) for text in LENGTHS.values()])
        assert [row.number for row in created] == [1, 2, 3, 4, 5, 6]
        assert [row.kind for row in created] == 2 * list(LENGTHS.values())
        assert set(rows.values_list("kind", flat=True)) == {"abc"}
        assert rows.get(text="abc-6").number == 6
        assert rows.create(kind="ab ").number == 1
        assert [get_last_value(f"s.{name}", using=using) for name in ("abc", "ab%20")] == [6, 1]


def test_a_foreign_key_with_spaces_that_do_not_fit(using: str) -> None:
    """A foreign key refers to the row whose key is the text without these spaces."""
    if connections[using].vendor == "sqlite":
        pytest.skip("SQLite stores all spaces")
    meta = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "numbered"})}
    with isolate_apps("tests.numbered"):
        key = models.CharField(max_length=3, primary_key=True, db_collation=binary(using))
        kind: Any = type("Kind", (models.Model,), {**meta, "key": key, "no": IntegerField()})
        letter = model_with(
            kind=models.ForeignKey(kind, models.CASCADE),
            number=SequenceField("s", scope="kind", reuse="gaps"),
            other=SequenceField("t", scope="kind__no"),
        )
    with tables(using, kind, letter):
        kind.objects.using(using).create(key="abc", no=7)
        created = [letter.objects.using(using).create(kind_id=key) for key in LENGTHS.values()]
        assert [(row.number, row.other) for row in created] == [(1, 1), (2, 2), (3, 3)]


class Loud(str):
    """A text whose ``__str__()``, which mysqlclient calls, is another one."""

    def __str__(self) -> str:
        return "LOUD"


OF_PARENTS: dict[str, tuple[Any, list[Any]]] = {
    "subclass of str": (models.CharField(max_length=9), [Loud("a"), "a", "LOUD"]),
    "spaces": (models.CharField(max_length=2), ["ab   ", "ab", "ab   "]),
    "decimals": (
        models.DecimalField(max_digits=8, decimal_places=2),
        [Decimal(text) for text in ("1.005", "1.01", "1.00", "-0.001", "0")],
    ),
    "addresses": (models.GenericIPAddressField(), ["10.0.0.1 ", "10.0.0.1"]),
}


@pytest.mark.parametrize("reuse", [None, "gaps"])
@pytest.mark.parametrize(("field", "values"), OF_PARENTS.values(), ids=OF_PARENTS)
def test_a_scope_in_the_row_of_a_parent(field: Any, values: Any, reuse: Any, using: str) -> None:
    """The parent's row is inserted first, and stores what the counter of the child is named by."""
    with isolate_apps("tests.numbered"):
        parent = model_with("Parent", value=field.clone())
        meta = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "numbered"})}
        number = SequenceField("s", scope="value", reuse=reuse)
        child: Any = type("Child", (parent,), {**meta, "number": number})
    with tables(using, parent, child):
        for value in values:
            row = child.objects.using(using).create(value=value)
            assert row.value is value
        found: dict[Any, list[int]] = {}
        for row in child.objects.using(using).order_by("pk"):
            found.setdefault(row.value, []).append(row.number)
        assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in found.values())
