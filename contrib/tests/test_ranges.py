"""Numbers that end: ranges that were granted, with a maximum and a warning before it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, models
from django.db.models import QuerySet
from django.test.utils import isolate_apps
from sequences_contrib.fields import SequenceField

from sequences_core import SequenceExhausted, get_last_value, set_last_value
from tests.numbered.blocks import MODES, atomic_if, letters, model_with, tables, together

APPS = ["tests.numbered"]

# MariaDB has the older of the two as well, and MySQL's own is refused by no check of ours.
COLLATIONS = {"mysql": "utf8mb4_bin"}


@pytest.fixture
def rows(using: str) -> Iterator[Any]:
    """Rows that are numbered from 1 to 5."""
    number = SequenceField("short", unique=True, maximum=5, warn_below=2)
    with letters(using, number=number, note=models.CharField(max_length=9, null=True)) as found:
        yield found


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
@pytest.mark.parametrize("save", ["create", "bulk_create"])
def test_a_range_ends(save: str, in_transaction: bool, using: str, rows: Any) -> None:
    """Above the maximum, nothing is stored and no number is lost; a bulk fails as a whole."""
    rows.bulk_create([rows.model() for _ in range(4)])
    late = [rows.model(), rows.model()]

    def store() -> None:
        with atomic_if(in_transaction, using):
            if save == "bulk_create":
                rows.bulk_create(late)
            for row in late:
                row.save(using=using)

    with pytest.raises(SequenceExhausted, match=r"Letter.number.*'short'.*maximum 5"):
        store()
    left = 4 if save == "bulk_create" or in_transaction else 5
    assert get_last_value("short", using=using) == rows.count() == left
    assert late[1].number is None
    while left < 5:
        left = rows.create().number
    assert sorted(rows.values_list("number", flat=True)) == [1, 2, 3, 4, 5]


def test_the_last_numbers_under_concurrency(using: str, rows: Any) -> None:
    """If many transactions need the last numbers, exactly as many succeed as numbers are left."""
    refused = []

    def work() -> None:
        for _ in range(3):
            try:
                rows.create()
            except SequenceExhausted as error:
                refused.append(error)

    together([work] * 6, using)
    assert sorted(rows.values_list("number", flat=True)) == [1, 2, 3, 4, 5]
    assert len(refused) == 13


def test_an_explicit_number_above_the_maximum(using: str, rows: Any) -> None:
    """It is refused without a query, whatever its type."""
    for number in (6, "6"):
        with pytest.raises(ValueError, match="number 6 is above the maximum 5"):
            rows.create(number=number)
        with pytest.raises(ValueError, match="number 6 is above the maximum 5"):
            rows.bulk_create([rows.model(), rows.model(number=number)])
    assert get_last_value("short", using=using) is None
    assert int(rows.create(number="5").number) == 5
    with pytest.raises(SequenceExhausted):
        rows.create()


def test_a_warning_is_logged(using: str, rows: Any, caplog: pytest.LogCaptureFixture) -> None:
    """When few numbers are left, each statement that takes some logs how many."""
    with caplog.at_level(logging.INFO):
        rows.bulk_create([rows.model() for _ in range(3)])
        assert not caplog.messages
        rows.create()
        rows.create()
    assert {record.name for record in caplog.records} == {"sequences_contrib"}
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert [message.split("has")[1] for message in caplog.messages] == [
        " 1 numbers left until its maximum 5",
        " 0 numbers left until its maximum 5",
    ]


@pytest.mark.parametrize("options", [{"reuse": "gaps"}, {"reuse": "last"}, {"skip_used": True}])
def test_together_with_reuse(options: dict[str, Any], using: str) -> None:
    """With reuse, a number that is free again doesn't use up the range."""
    with letters(using, number=SequenceField("r", maximum=3, **options)) as rows:
        rows.bulk_create([rows.model() for _ in range(3)])
        with pytest.raises(SequenceExhausted):
            rows.create()
        rows.filter(number=3).delete()
        if "reuse" in options:
            assert rows.create().number == 3
        set_last_value(1, "r", force=True, using=using)
        with pytest.raises(SequenceExhausted):
            rows.bulk_create([rows.model() for _ in range(5)])


def first_of(row: Any) -> int:
    return row.grant.first  # type: ignore[no-any-return]


def last_of(row: Any) -> int | None:
    return row.grant.last  # type: ignore[no-any-return]


def test_ranges_that_rows_define(using: str) -> None:
    """Each range has a counter that starts and ends at the values of its row."""
    with isolate_apps("tests.numbered"):

        class Grant(models.Model):
            first = models.BigIntegerField()
            last = models.BigIntegerField()

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return f"{self.first}-{self.last}"

    fields: dict[str, Any] = {
        "grant": models.ForeignKey(Grant, models.CASCADE),
        "number": SequenceField(unique_with="grant", initial_value=first_of, maximum=last_of),
    }
    with tables(using, Grant), letters(using, **fields) as rows:
        grants: Any = QuerySet(Grant, using=using)
        small, large = grants.create(first=101, last=102), grants.create(first=5001, last=9000)
        both = [rows.model(grant=grant) for grant in (small, large, small, large)]
        rows.bulk_create(both)
        assert [row.number for row in both] == [101, 5001, 102, 5002]
        with pytest.raises(SequenceExhausted):
            rows.create(grant=small)
        assert rows.create(grant=large).number == 5003


@pytest.mark.parametrize(("answer", "error"), [("5", TypeError), (-1, ValueError)])
def test_a_function_that_answers_nonsense(answer: Any, error: type[Exception], using: str) -> None:
    """What the function returns is checked before the counter is touched."""
    with letters(using, number=SequenceField("n", maximum=lambda row: answer)) as rows:
        with pytest.raises(error, match="maximum"):
            rows.create()
        assert get_last_value("n", using=using) is None


def test_a_function_may_set_no_end(using: str) -> None:
    """A function that returns None sets no maximum."""
    with letters(using, number=SequenceField("n", maximum=lambda row: None, warn_below=5)) as rows:
        assert rows.create().number == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"maximum": "5"}, TypeError),
        ({"maximum": True}, TypeError),
        ({"maximum": 0}, ValueError),
        ({"maximum": -1}, ValueError),
        ({"maximum": 2**63}, ValueError),
        ({"maximum": 5, "initial_value": 6}, ValueError),
        ({"maximum": 5, "reset_value": 6}, ValueError),
        ({"warn_below": 5}, ValueError),
        ({"warn_below": "5", "maximum": 5}, TypeError),
        ({"warn_below": -5, "maximum": 5}, ValueError),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], error: type[Exception]) -> None:
    """Invalid options are refused where the field is declared."""
    with pytest.raises(error):
        SequenceField(**options)


def found(model: Any, using: str) -> list[str]:
    """What the checks say of the ranges."""
    messages = model.check(databases=[using])
    return [each.msg for each in messages if each.id == "sequences_contrib.W050"]


@pytest.mark.parametrize("maximum", [10, lambda row: 10], ids=["fixed", "function"])
def test_the_check_names_counters_that_end(maximum: Any, using: str) -> None:
    """With --database, the check warns if few numbers are left; before migrate, it doesn't fail."""
    kind = models.CharField(max_length=9, db_collation=COLLATIONS.get(connections[using].vendor))
    number = SequenceField("r", unique_with="kind", maximum=maximum, warn_below=3)
    with isolate_apps("tests.numbered"):
        model = model_with(kind=kind, number=number)
    assert found(model, using) == []
    with tables(using, model):
        rows = model.objects.using(using)
        assert found(model, using) == []
        rows.bulk_create([model(kind="a") for _ in range(8)])
        rows.bulk_create([model(kind="b") for _ in range(7)])
        rows.bulk_create([model(kind="c") for _ in range(10)])
        (message,) = found(model, using)
        assert "2 of counter 'r.a', 0 of counter 'r.c'" in message
        assert "r.b" not in message
        set_last_value(9, "R.a", using=using)  # a counter of another field
        assert found(model, using) == [message]
        assert model.check(databases=[]) == []


def test_the_check_of_a_counter_without_scope(using: str) -> None:
    """Counters whose names only begin with the same text belong to other fields."""
    with letters(using, number=SequenceField("r", maximum=9, warn_below=9)) as rows:
        set_last_value(9, "r.x", using=using)
        set_last_value(1, "r", using=using)
        (message,) = found(rows.model, using)
        assert message.endswith("8 of counter 'r'")
