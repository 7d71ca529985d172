"""Instances that were loaded before others changed a number, and that are saved after that."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, models
from django.test.utils import isolate_apps
from sequences_contrib.afterwards import renumber
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.protection import ProtectNumbered
from sequences_contrib.texts import FormattedNumberField

from sequences_core import delete, get_last_value, set_last_value
from tests.numbered.blocks import letters, rolled_back, tables

APPS = ["tests.numbered", "sequences_contrib"]


@pytest.fixture(params=[None, "posted"])
def rows(request: pytest.FixtureRequest, using: str) -> Iterator[Any]:
    """The rows of a model that has a number from the start, or from its posting on."""
    with letters(
        using,
        number=SequenceField("letters", scope="firm", when=request.param, null=True),
        text=FormattedNumberField(NumberFormat("{firm}-{number}"), max_length=20, null=True),
        firm=models.CharField(max_length=9, default="A"),
        title=models.CharField(max_length=9),
        posted=models.BooleanField(default=True),
    ) as rows:
        yield rows


def stored(rows: Any) -> list[Any]:
    return list(rows.order_by("pk").values_list("number", "text", "title"))


@pytest.mark.parametrize("names", [None, ["title"], ["title", "number"], ["title", "text"]])
def test_renumbered(names: Any, rows: Any, using: str) -> None:
    """The row keeps the number that renumber() has given it, and the text with it."""
    rows.create()
    row = rows.create()
    stale = rows.get(pk=row.pk)
    row.firm = "B"
    renumber(row, using=using)
    stale.title, stale.firm = "new", "B"
    stale.save(update_fields=names)
    assert stored(rows) == [(1, "A-1", ""), (1, "B-1", "new")]


def test_numbered(rows: Any, using: str) -> None:
    """A row without a number keeps the one that it has got from others."""
    rows.create()
    rows.update(number=None, text=None, posted=False)
    stale = rows.get()
    rows.update(number=1, text="A-1", posted=True)
    stale.title = "new"
    stale.save()
    assert stored(rows) == [(1, "A-1", "new")]


@pytest.mark.parametrize("names", [None, ["number"]])
def test_explicit(names: Any, rows: Any, using: str) -> None:
    """What the caller has set is stored, even if it is what others have stored before."""
    row = rows.create()
    stale = rows.get()
    for number in (7, 1, 7):
        row.number = number
        row.save(update_fields=names)
    stale.number = 8
    stale.save(update_fields=names)
    assert stored(rows) == [(8, "A-8", "")]
    assert (stale.number, stale.text) == (8, "A-8")


@pytest.mark.parametrize("names", [None, ["number"]])
def test_from_another_database(names: Any, rows: Any) -> None:
    """The number and the text of an instance that was loaded elsewhere are stored."""
    row = rows.create()
    rows.update(number=5, text="A-5")
    row._state.db = "elsewhere"
    row.save(using=rows.db, update_fields=names)
    assert stored(rows) == [(1, "A-1", "")]


class FromReplica:
    """A router that reads from a replica, and writes to the database itself."""

    def __init__(self, using: str) -> None:
        self.using = using

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        return self.using


def test_from_a_replica(rows: Any, using: str, settings: Any) -> None:
    """The number of an instance that was loaded from a replica isn't one that somebody has set."""
    settings.DATABASE_ROUTERS = [FromReplica(using)]
    rows.create()
    stale, copied = rows.get(), rows.get()
    stale._state.db = copied._state.db = "replica"
    rows.update(number=5, text="A-5")
    delete("letters.A", using=using)
    stale.title = "new"
    stale.save()
    assert stored(rows) == [(5, "A-5", "new")]
    assert get_last_value("letters.A", using=using) is None
    set_last_value(5, "letters.A", using=using)
    copied.pk = None
    copied._state.adding = True
    copied.save()
    assert (copied.number, copied.text) == (6, "A-6")


@pytest.mark.parametrize("names", [["number"], ["text"], ["number", "text"]])
def test_nothing_to_update(names: Any, rows: Any) -> None:
    """Django's error is raised if the row doesn't exist, although no value would be stored."""
    row = rows.create()
    row.save(update_fields=names)
    rows.all().delete()
    with pytest.raises(DatabaseError, match="did not affect any rows"):
        row.save(update_fields=names)


def test_two_instances_of_a_lost_row(using: str) -> None:
    """If the row is inserted again, its new number stays, whichever instance is saved next."""
    with letters(
        using,
        key=models.UUIDField(primary_key=True, default=uuid.uuid4),
        number=SequenceField("letters"),
    ) as rows:
        first = rows.model()
        with rolled_back(using):
            first.save(using=using)
            second = rows.get()
        for _ in range(3):
            rows.create()
        for instance in (first, second, first):
            instance.save(using=using)
        assert list(rows.order_by("number").values_list("number", flat=True)) == [1, 2, 3, 4]
        assert get_last_value("letters", using=using) == 4


def test_protected(using: str) -> None:
    """A protected row can be saved, because its number doesn't change."""
    with isolate_apps("tests.numbered"):

        class Letter(ProtectNumbered):
            number = SequenceField("letters", scope="firm")
            firm = models.CharField(max_length=9)
            title = models.CharField(max_length=9)

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return self.title

    rows = Letter.objects.using(using)
    with tables(using, Letter):
        rows.create(firm="A")
        row = rows.create(firm="A")
        stale = rows.get(pk=row.pk)
        row.firm = "B"
        renumber(row, using=using)
        stale.firm, stale.title = "B", "new"
        stale.save()
        assert rows.values_list("firm", "number", "title").get(pk=row.pk) == ("B", 1, "new")
