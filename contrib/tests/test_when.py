"""What ``SequenceField(when=…)`` may be, and what the system checks say of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models
from django.db.migrations.writer import MigrationWriter
from django.db.models import F, Q, UniqueConstraint
from django.db.models.functions import Now
from django.test.utils import isolate_apps
from django.utils import timezone
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.texts import FormattedNumberField

from tests.numbered.blocks import model_with


class Monitored(models.DateTimeField):  # type: ignore[type-arg] # not generic at run time
    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        return timezone.now()


COLUMNS: dict[str, Any] = {
    "posted": models.BooleanField(default=False),
    "posted_at": models.DateTimeField(null=True),
    "changed_at": models.DateTimeField(auto_now=True, null=True),
    "monitored": Monitored(null=True),
    "another": SequenceField("another", null=True),
    "kind": models.CharField(max_length=9),
    "other": models.ForeignKey("self", on_delete=models.CASCADE, null=True),
    "others": models.ManyToManyField("self"),
    "rate": models.FloatField(null=True),
    "data": models.JSONField(null=True),
}


def check(constraints: Any = (), **options: Any) -> list[Any]:
    """What the checks say of a field with these options."""
    columns = {name: field.clone() for name, field in COLUMNS.items()}
    with isolate_apps("tests.numbered"):
        model = model_with(**columns, number=SequenceField("s", **options))
        model._meta.constraints += constraints
        return list(model._meta.get_field("number").check())


def found(constraints: Any = (), **options: Any) -> list[str]:
    """The ids of what they find."""
    return [
        message.id.removeprefix("sequences_contrib.") for message in check(constraints, **options)
    ]


@pytest.mark.parametrize(
    ("when", "error"),
    [
        (1, TypeError),
        (True, TypeError),
        (F("posted"), TypeError),
        pytest.param(lambda row: True, TypeError, id="callable"),
        ("", ValueError),
        ("other__posted", ValueError),
        (Q(), ValueError),
        (Q(posted__gt=1), ValueError),
        (Q(other__posted=True), ValueError),
        (Q(other__posted__exact=True), ValueError),
        (Q(posted=True) ^ Q(kind="a"), ValueError),
        (Q(posted=F("kind")), ValueError),
        (Q(posted_at=Now()), ValueError),
        (Q(kind__in="ab"), ValueError),
        (Q(kind__in=["a", F("kind")]), ValueError),
        (Q(kind=["a"]), ValueError),
        (Q(posted_at__isnull=1), ValueError),
        pytest.param(Q(Q(posted=True), models.Exists(models.QuerySet())), ValueError, id="Exists"),
    ],
    ids=repr,
)
def test_bad_conditions(when: Any, error: type[Exception]) -> None:
    """Invalid conditions are refused where the field is declared."""
    with pytest.raises(error, match="when"):
        SequenceField("s", when=when)


def test_null_follows() -> None:
    """A number that is given later is null before."""
    assert SequenceField("s", when="posted").null
    assert SequenceField("s", when="posted", null=True).null
    with pytest.raises(ValueError, match="leave out null=False"):
        SequenceField("s", when="posted", null=False)


@pytest.mark.parametrize("when", ["posted", Q(kind="a") & ~Q(posted=True)], ids=repr)
def test_migrations_know_it(when: Any) -> None:
    """The field is written to a migration with its condition, and read as the same."""
    field: Any = SequenceField("s", when=when)
    _, path, args, kwargs = field.deconstruct()
    assert (path, args) == ("sequences_contrib.fields.SequenceField", [])
    assert kwargs == {"sequence_name": "s", "when": when, "null": True}
    assert field.clone().deconstruct() == field.deconstruct()
    assert "when=" in MigrationWriter.serialize(field)[0]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("posted", []),
        ("posted_at", []),
        ("other", []),
        (Q(other=None), []),
        (Q(kind__in=["a"]), []),
        ("nothing", ["E031"]),
        ("others", ["E031"]),
        (Q(nothing=1, posted=True), ["E031"]),
        ("kind", ["E032"]),
        ("changed_at", ["E033"]),
        (Q(changed_at=None), ["E033"]),
        ("monitored", ["E033"]),
        ("number", ["E033"]),
        ("another", ["E033"]),
        (Q(pk__isnull=False), ["E033"]),
        (Q(rate=1), ["E034"]),
        (~Q(data__in=[{}]) & Q(posted=True), ["E034"]),
        ("data", []),
        (Q(rate__isnull=True), []),
    ],
    ids=repr,
)
def test_checks_of_the_condition(when: Any, expected: list[str]) -> None:
    """A condition is about columns of the row that are known before it is saved."""
    assert found(when=when, unique=True) == expected


@pytest.mark.parametrize(
    ("fields", "condition", "scope", "expected"),
    [
        (["number"], None, None, []),
        (["number"], Q(number__isnull=False), None, []),
        (["kind", "number"], None, "kind", []),
        (["kind", "number"], Q(number__isnull=False), ["kind"], []),
        (["number"], None, "kind", []),
        (["other", "number"], None, "other__kind", []),
        (["kind", "number"], None, None, ["E030"]),
        (["kind"], None, "kind", ["E030"]),
        (["kind", "number"], Q(posted=True), "kind", ["E030"]),
    ],
    ids=repr,
)
def test_checks_of_the_constraint(
    fields: list[str], condition: Any, scope: Any, expected: list[str]
) -> None:
    """A unique constraint has to cover the number, or the scope and the number."""
    constraint = UniqueConstraint(fields=fields, condition=condition, name="u")
    assert found([constraint], when="posted", scope=scope) == expected


def test_the_hint_says_what_to_add() -> None:
    """The error names the constraint, and the index of the rows that wait."""
    (message,) = check(scope="kind", when="posted")
    assert message.id == "sequences_contrib.E030"
    hint = "UniqueConstraint(fields=['kind', 'number'], condition=Q(number__isnull=False)"
    assert hint in str(message.hint)
    assert "condition=Q(number__isnull=True)" in str(message.hint)


@pytest.mark.parametrize("unique", [True, False])
def test_a_text_is_a_constraint(unique: bool) -> None:
    """A formatted number, which is unique by default, keeps the numbers apart as well."""
    text = FormattedNumberField(NumberFormat("{kind}-{number}"), null=True, unique=unique)
    with isolate_apps("tests.numbered"):
        columns = {name: field.clone() for name, field in COLUMNS.items()}
        number = SequenceField("s", scope="kind", when="posted")
        model = model_with(**columns, number=number, text=text)
        messages = [message.id for message in model._meta.get_field("number").check()]
    assert messages == ([] if unique else ["sequences_contrib.E030"])


def test_unique_with_is_a_constraint() -> None:
    """``unique_with`` needs nothing more."""
    assert found(unique_with="kind", when="posted") == []
