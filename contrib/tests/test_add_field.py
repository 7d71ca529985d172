"""The migration operation that adds the field to a table with rows."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.db import IntegrityError, connections, migrations, models
from django.db.migrations.optimizer import MigrationOptimizer
from django.db.migrations.writer import OperationWriter
from sequences_contrib.audit import audit
from sequences_contrib.exceptions import OutOfOrder
from sequences_contrib.fields import SequenceField
from sequences_contrib.models import Void
from sequences_contrib.operations import AddSequenceField
from sequences_contrib.periods import Year
from sequences_contrib.voids import record_void

from sequences_core import SequenceExhausted, get_last_value, set_last_value
from sequences_core.models import Counter
from tests.numbered.blocks import Steps
from tests.numbered.blocks import steps as steps

APPS = ["sequences_contrib", "tests.numbered"]


KINDS = ("a", "b.", "a", "a", "b.")


def create(steps: Steps, *kinds: str | None) -> Any:
    fields: list[tuple[str, Any]] = [
        ("id", models.BigAutoField(primary_key=True)),
        ("kind", models.CharField(max_length=9, null=True)),
        ("place", models.IntegerField(default=0)),
        ("day", models.DateField(default=date(2026, 1, 1))),
    ]
    model = steps.apply(migrations.CreateModel("Letter", fields))
    days = [date(2026 + i // 3, 1, 1) for i in range(len(kinds))][:9]
    rows = [model(kind=kind, place=-i // 2, day=days[i % 9]) for i, kind in enumerate(kinds)]
    model.objects.using(steps.using).bulk_create(rows)
    return model


def numbers(model: Any, using: str) -> list[tuple[str | None, int | None]]:
    return list(model.objects.using(using).order_by("id").values_list("kind", "number"))


def counters(using: str) -> dict[str, int]:
    return dict(Counter.objects.using(using).values_list("name", "last"))


def test_rows_are_numbered_by_their_keys(using: str, steps: Steps) -> None:
    """Rows get 1 to n in the order of the primary key; the column is unique and not null."""
    create(steps, *KINDS)
    model = steps.apply(AddSequenceField("letter", "number", SequenceField("post", unique=True)))
    assert [number for _, number in numbers(model, using)] == [1, 2, 3, 4, 5]
    assert counters(using) == {"post": 5}
    assert model.objects.using(using).create().number == 6
    with pytest.raises(IntegrityError):
        model.objects.using(using).create(number=3)
    (result,) = audit(model, using=using)
    assert result.is_clean


def test_each_scope_in_an_order(using: str, steps: Steps) -> None:
    """Each scope is numbered separately in the given order; equal rows by primary key."""
    create(steps, *KINDS)
    field = SequenceField(scope="kind")
    model = steps.apply(AddSequenceField("letter", "number", field, order_by=["place"]))
    assert numbers(model, using) == [("a", 3), ("b.", 2), ("a", 2), ("a", 1), ("b.", 1)]
    assert counters(using) == {"letters_letter.number.a": 3, "letters_letter.number.b%2E": 2}
    assert model.objects.using(using).create(kind="b.").number == 3


@pytest.mark.parametrize("options", [{}, {"reset_value": 9}], ids=["SQL", "one by one"])
def test_dates_of_other_programs(options: dict[str, Any], using: str, steps: Steps) -> None:
    """SQLite stores 2026-1-5 as text, which comes after 2026-01-31, but rows are in date order."""
    if connections[using].vendor != "sqlite":
        pytest.skip("the database stores dates only")
    create(steps, *"abc")
    with connections[using].cursor() as cursor:
        for kind, day in (("a", "2026-01-31"), ("b", "2026-1-5"), ("c", "2026-1-10")):
            cursor.execute("UPDATE letters_letter SET day = %s WHERE kind = %s", [day, kind])
    field = SequenceField("post", **options)
    model = steps.apply(AddSequenceField("letter", "number", field, order_by=["day"]))
    assert numbers(model, using) == [("a", 3), ("b", 1), ("c", 2)]


def test_backwards_and_forwards_again(using: str, steps: Steps) -> None:
    """Reversing removes column and counters; the next migration gives the same numbers."""
    create(steps, *KINDS)
    operation = AddSequenceField("letter", "number", SequenceField("post", scope="kind"))
    first = numbers(steps.apply(operation), using)
    steps.model.objects.using(using).create(kind="a").delete()
    record_void("post.a", 4, using=using)
    steps.undo_one()
    assert counters(using) == {}
    assert not Void.objects.using(using).exists()
    assert not hasattr(steps.model, "number")
    assert numbers(steps.apply(operation), using) == first


def test_backwards_keeps_a_counter_that_others_use(using: str, steps: Steps) -> None:
    """The counter is kept if it also numbers another field."""
    create(steps, *KINDS)
    steps.apply(AddSequenceField("letter", "number", SequenceField("invoices")))
    steps.undo_one()
    assert get_last_value("invoices", using=using) == 5


def test_counters_that_are_there_go_on(using: str, steps: Steps) -> None:
    """If the sequence already has a counter, the rows get the numbers after it."""
    create(steps, *KINDS)
    set_last_value(10, "post.a", using=using)
    model = steps.apply(AddSequenceField("letter", "number", SequenceField("post", scope="kind")))
    assert numbers(model, using) == [("a", 11), ("b.", 1), ("a", 12), ("a", 13), ("b.", 2)]


def test_an_empty_table(using: str, steps: Steps) -> None:
    """No counter is created if the table has no rows."""
    create(steps)
    model = steps.apply(AddSequenceField("letter", "number", SequenceField("post")))
    assert counters(using) == {}
    assert model.objects.using(using).create().number == 1


def test_rows_without_a_scope(using: str, steps: Steps) -> None:
    """With null=True, they get no number; otherwise an error is raised, and none is numbered."""
    create(steps, "a", None, "", "a")
    with pytest.raises(ValueError, match="is null"):
        steps.apply(AddSequenceField("letter", "number", SequenceField(scope="kind")))
    # The refusal came before the column, also where that couldn't be rolled back.
    field = SequenceField(scope="kind", null=True)
    model = steps.apply(AddSequenceField("letter", "number", field))
    assert numbers(model, using) == [("a", 1), (None, None), ("", None), ("a", 2)]


def first_of(letter: Any) -> int:
    return 100 if letter.kind == "a" else 200


def kind_of(letter: Any) -> list[Any]:
    return [letter.kind, "x"]


FIELDS: dict[str, tuple[Any, list[int | None]]] = {
    "condition": (SequenceField("post", when=models.Q(place__in=[-1, -2])), [None, 1, 2, 3, 4]),
    "initial value": (SequenceField("post", initial_value=0), [0, 1, 2, 3, 4]),
    "callable": (SequenceField(scope="kind", initial_value=first_of), [100, 200, 101, 102, 201]),
    "function": (SequenceField(scope=kind_of), [1, 1, 2, 3, 2]),
    "period": (SequenceField(scope=["kind", Year("day")]), [1, 1, 2, 1, 1]),
    "loop": (SequenceField("post", reset_value=4), [1, 2, 3, 1, 2]),
    "reuse": (SequenceField(scope="kind", reuse="gaps"), [1, 1, 2, 3, 2]),
    "text and number": (SequenceField(scope=["kind", "place"]), [1, 1, 1, 1, 1]),
}


@pytest.mark.parametrize("option", FIELDS)
def test_other_fields(option: str, using: str, steps: Steps) -> None:
    """With initial values, functions and loops, rows get the same numbers as by insertion."""
    create(steps, *KINDS)
    field, expected = FIELDS[option]
    model = steps.apply(AddSequenceField("letter", "number", field.clone()))
    assert [number for _, number in numbers(model, using)] == expected


def test_many_rows_in_few_statements(
    using: str, steps: Steps, django_assert_max_num_queries: Any
) -> None:
    """The rows are written by one statement, however many they are."""
    create(steps, *KINDS * 400)
    with django_assert_max_num_queries(40, connection=connections[using]):
        model = steps.apply(
            AddSequenceField("letter", "number", SequenceField(scope="kind", unique=False))
        )
    assert counters(using) == {"letters_letter.number.a": 1200, "letters_letter.number.b%2E": 800}
    assert all(result.is_clean for result in audit(model, using=using))


def test_rows_that_come_meanwhile(using: str, steps: Steps) -> None:
    """A row inserted between counting and numbering gets a number from the counter, too."""
    create(steps, *KINDS)
    connection = connections[using]
    disturbed: list[str] = []

    def disturb(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "sequences_place" in sql and not disturbed:
            disturbed.append(sql)
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO letters_letter (kind, place, day) VALUES ('a', 0, '2026-01-01')"
                )
        return execute(sql, params, many, context)

    with connection.execute_wrapper(disturb):
        model = steps.apply(
            AddSequenceField("letter", "number", SequenceField(scope="kind", null=True))
        )
    assert disturbed
    assert [number for _, number in numbers(model, using)] == [1, 1, 2, 3, 2]
    assert all(result.is_clean for result in audit(model, using=using))


def test_it_can_be_written_down_and_squashed() -> None:
    """Migrations contain the operation with its order, and squashing keeps it."""
    operation = AddSequenceField("letter", "number", SequenceField("post"), order_by="-place")
    text, imports = OperationWriter(operation, indentation=0).serialize()
    assert "order_by=('-place',)" in text
    assert "AddSequenceField(" in text
    assert any("sequences_contrib.operations" in line for line in imports)
    altered = migrations.AlterField("letter", "number", SequenceField("post", unique=True))
    assert MigrationOptimizer().optimize([operation, altered], "letters")[0] is operation


def test_sqlmigrate_says_that_it_is_no_sql(using: str, steps: Steps) -> None:
    """sqlmigrate changes nothing."""
    create(steps, "a")
    operation = AddSequenceField("letter", "number", SequenceField("post"))
    migration = migrations.Migration("x", "letters")
    migration.operations = [operation]  # type: ignore[misc] # as makemigrations does
    with connections[using].schema_editor(collect_sql=True) as editor:
        migration.apply(steps.states[-1].clone(), editor, collect_sql=True)
    assert "CANNOT BE WRITTEN AS SQL" in "".join(editor.collected_sql)
    assert counters(using) == {}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"field": models.BigIntegerField()}, "SequenceField"),
    ({"field": SequenceField(primary_key=True)}, "without primary_key"),
    ({"order_by": [1]}, "list of fields' names"),
    ({"order_by": ["-"]}, "list of fields' names"),
]


@pytest.mark.parametrize(("wrong", "text"), BAD)
def test_bad_arguments(wrong: dict[str, Any], text: str) -> None:
    """Invalid arguments raise TypeError when the migration is loaded."""
    arguments: dict[str, Any] = {"field": SequenceField("post")} | wrong
    with pytest.raises(TypeError, match=text):
        AddSequenceField("letter", "number", **arguments)


@pytest.mark.parametrize("scope", [None, "kind"])
def test_the_maximum(scope: str | None, using: str, steps: Steps) -> None:
    """More rows than numbers are refused before any change, so the migration can be repeated."""
    create(steps, "a", "a", "a")
    for maximum in (2, 3):
        field = SequenceField("post", scope=scope, maximum=maximum)
        operation = AddSequenceField("letter", "number", field)
        if maximum == 2:
            with pytest.raises(SequenceExhausted, match="maximum 2"):
                steps.apply(operation)
            assert counters(using) == {}
    model = steps.apply(operation)
    assert [number for _, number in numbers(model, using)] == [1, 2, 3]


def at_most_two(row: Any) -> int:
    return 2


def test_a_maximum_that_rows_know(using: str, steps: Steps) -> None:
    """A maximum that is a function is called for each row."""
    create(steps, "a", "b.", "a", "b.")
    field = SequenceField("post", scope="kind", maximum=at_most_two)
    model = steps.apply(AddSequenceField("letter", "number", field))
    assert numbers(model, using) == [("a", 1), ("b.", 1), ("a", 2), ("b.", 2)]
    with pytest.raises(SequenceExhausted):
        model.objects.using(using).create(kind="a")


def test_dates_that_ascend(using: str, steps: Steps) -> None:
    """order_by must begin with the dates, which must not be null."""
    field = SequenceField("post", ascending="day")
    for order in ((), ["pk"], ["-day"]):
        with pytest.raises(ValueError, match="order_by must begin with it"):
            AddSequenceField("letter", "number", field, order_by=order)
    model = create(steps, "a", "a", "a")
    first = model.objects.using(using).order_by("id")[0].pk
    model.objects.using(using).filter(pk=first).update(day=date(2030, 1, 1))
    model = steps.apply(AddSequenceField("letter", "number", field, order_by=["day"]))
    assert numbers(model, using) == [("a", 3), ("a", 1), ("a", 2)]
    with pytest.raises(OutOfOrder):
        model.objects.using(using).create(day=date(2029, 1, 1))


def test_a_date_that_is_null(using: str, steps: Steps) -> None:
    """A null date is refused before any change."""
    create(steps, "a")
    steps.apply(migrations.AddField("letter", "sent_on", models.DateField(null=True)))
    field = SequenceField("post", ascending="sent_on")
    operation = AddSequenceField("letter", "number", field, order_by="sent_on")
    with pytest.raises(ValueError, match="sent_on of some is null"):
        steps.apply(operation)
    steps.model.objects.using(using).update(sent_on=date(2026, 1, 1))
    assert numbers(steps.apply(operation), using) == [("a", 1)]
