"""Numbers and texts that are set on an instance, or removed from it, before it is saved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.db import models
from django.db.models import F, signals
from django.forms import modelform_factory
from django.test.utils import isolate_apps
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.texts import FormattedNumberField

from sequences_core import get_last_value
from tests.numbered.blocks import letters, model_with, tables
from tests.numbered.models import Company

APPS = ["tests.numbered", "sequences_contrib"]


def fields(when: str | None) -> dict[str, Any]:
    """A number with a text, which can both be null."""
    return {
        "number": SequenceField("letters", when=when, null=True),
        "text": FormattedNumberField(NumberFormat("L-{number}"), max_length=22, null=True),
        "title": models.CharField(max_length=9),
        "posted": models.BooleanField(default=True),
    }


@pytest.fixture(params=[None, "posted"])
def rows(request: pytest.FixtureRequest, using: str) -> Iterator[Any]:
    """The rows of a model that has a number from the start, or from its posting on."""
    with letters(using, **fields(request.param)) as rows:
        yield rows


def change_as_others(rows: Any) -> None:
    rows.update(number=5, text="L-5")


def stored(rows: Any) -> list[Any]:
    return list(rows.order_by("pk").values_list("number", "text", "title"))


@pytest.mark.parametrize("empty", [None, ""])
@pytest.mark.parametrize("names", [None, ["text"], ["title", "text"]])
@pytest.mark.parametrize("number", [1, 9])
def test_a_removed_text(number: int, names: Any, empty: Any, rows: Any) -> None:
    """The row keeps the text of its number, whatever number the instance has."""
    rows.create()
    row = rows.get()
    change_as_others(rows)
    row.number, row.text = number, empty
    row.save(update_fields=names)
    expected = (9, "L-9") if number == 9 and names is None else (5, "L-5")
    assert stored(rows) == [(*expected, "")]
    assert row.text == expected[1]


@pytest.mark.parametrize("text", ["by hand", None])
def test_the_number_is_deferred(text: str | None, rows: Any) -> None:
    """A text that is set is stored, and the instance keeps it; one that is removed stays."""
    rows.create()
    row = rows.defer("number").get()
    row.text = text
    row.save()
    assert row.text == (text or "L-1")
    assert stored(rows) == [(1, row.text, "")]


@pytest.mark.parametrize("names", [None, ["text"], ["number", "text"]])
@pytest.mark.parametrize("posted", [False, True])
@pytest.mark.parametrize("how", ["never", "removed", "deferred"])
def test_a_text_without_a_number(how: str, posted: bool, names: Any, rows: Any) -> None:
    """It is refused, as in an INSERT, and the instance and the row stay as they are."""
    rows.create()
    if how == "removed":
        row = rows.get()
        row.number = None
    else:
        rows.update(number=None, text=None, posted=posted)
        row = (rows.defer("number") if how == "deferred" else rows).get()
    before = stored(rows)
    row.text = "by hand"
    with pytest.raises(ValueError, match="but has no number"):
        row.save(update_fields=names)
    assert (row.number, row.text) == (None, "by hand")
    assert stored(rows) == before


def test_an_explicit_text_is_known_afterwards(rows: Any) -> None:
    """The next save() doesn't store it again, so it stays as others have changed it."""
    rows.create()
    row = rows.get()
    row.text = "by hand"
    row.save()
    assert stored(rows) == [(1, "by hand", "")]
    change_as_others(rows)
    row.save()
    assert stored(rows) == [(5, "L-5", "")]


@pytest.mark.parametrize("names", [None, ["number"], ["number", "text"]])
def test_a_number_that_others_have_stored(names: Any, rows: Any) -> None:
    """The row keeps it, and no other number is taken."""
    rows.create()
    row = rows.get()
    change_as_others(rows)
    row.number = 5
    row.save(update_fields=names)
    assert stored(rows) == [(5, "L-5", "")]
    assert (row.number, row.text) == (5, "L-5")
    assert get_last_value("letters", using=rows.db) in (1, 5)


@pytest.mark.parametrize("names", [None, ["number"]])
def test_a_number_that_only_the_database_knows(names: Any, rows: Any) -> None:
    """Its text can't be written, so it is refused."""
    rows.create()
    row = rows.get()
    row.number = F("number") + 1
    with pytest.raises(ValueError, match="only the database knows"):
        row.save(update_fields=names)
    assert stored(rows) == [(1, "L-1", "")]


@pytest.mark.parametrize("when", [None, "posted"])
def test_an_expression(when: str | None, using: str) -> None:
    """As in any field, each save() stores it until Django 6.0, and one save() from there on."""
    with letters(
        using,
        number=SequenceField("letters", when=when, null=True),
        posted=models.BooleanField(default=True),
    ) as rows:
        row = rows.create()
        row.number = F("number") + 1
        row.save()
        assert rows.get().number == 2
        rows.update(number=7)
        row.save()
        assert rows.get().number == (8 if django.VERSION < (6, 0) else 7)


def test_a_handler_that_changes_the_number(rows: Any) -> None:
    """Its text is stored with it, although the handler is called after save()."""

    def change(instance: Any, **kwargs: Any) -> None:
        instance.number = 7

    rows.create()
    row = rows.get()
    signals.pre_save.connect(change, sender=rows.model)
    try:
        row.save(update_fields=["number"])
    finally:
        signals.pre_save.disconnect(change, sender=rows.model)
    assert stored(rows) == [(7, "L-7", "")]
    assert row.text == "L-7"


@pytest.mark.parametrize("posted", [False, True])
def test_an_instance_made_by_hand(posted: bool, rows: Any) -> None:
    """An instance with the key of a row doesn't remove its number, and has it afterwards."""
    key = rows.create().pk
    row = rows.model(pk=key, title="new", posted=posted)
    for _ in range(2):
        row.save(using=rows.db)
        assert stored(rows) == [(1, "L-1", "new")]
        assert (row.number, row.text) == (1, "L-1")
    row = rows.model(pk=key + 1, title="another")
    row.save(using=rows.db)
    assert stored(rows) == [(1, "L-1", "new"), (2, "L-2", "another")]


@pytest.mark.parametrize("text", ["", "by hand"])
def test_an_empty_field_of_a_form(text: str, using: str) -> None:
    """A number that can't be null stays, whether the text is removed or changed."""
    with letters(
        using,
        number=SequenceField("letters", editable=True),
        text=FormattedNumberField(NumberFormat("L-{number}"), max_length=22, editable=True),
        title=models.CharField(max_length=9),
    ) as rows:
        rows.create()
        names = ["number", "text", "title"]
        form = modelform_factory(rows.model, fields=names)(
            {"number": "", "text": text, "title": "new"}, instance=rows.get()
        )
        form.instance.validate_unique = lambda exclude: None  # It would ask the default database.
        row = form.save()
        assert stored(rows) == [(1, text or "L-1", "new")]
        assert (row.number, row.text) == (1, text or "L-1")


@pytest.mark.parametrize("when", [None, "posted"])
def test_a_child_of_an_existing_row(when: str | None, using: str) -> None:
    """The parent's row keeps its number, and the child has it."""
    with isolate_apps("tests.numbered"):
        parent = model_with(**fields(when))
        meta = type("Meta", (), {"app_label": "numbered"})
        child: Any = type("Child", (parent,), {"__module__": __name__, "Meta": meta})
    with tables(using, parent, child):
        row = parent.objects.using(using).create()
        made = child(letter_ptr=row, title="new")
        made.save(using=using)
        assert stored(child.objects.using(using)) == [(1, "L-1", "new")]
        assert (made.number, made.text) == (1, "L-1")


class Replicas:
    """A router that reads from replicas."""

    def __init__(self, using: str) -> None:
        self.using = using

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return self.using


def test_loaded_from_a_replica(rows: Any, settings: Any) -> None:
    """The instance undoes no change, and a copy gets a number of its own."""
    settings.DATABASE_ROUTERS = [Replicas(rows.db)]
    rows.create()
    row, copied = rows.get(), rows.get()
    change_as_others(rows)
    row._state.db = copied._state.db = "replica"
    row.title = "new"
    row.save()
    assert stored(rows) == [(5, "L-5", "new")]
    copied.pk, copied._state.adding = None, True
    copied.save()
    assert stored(rows) == [(5, "L-5", "new"), (2, "L-2", "")]


@pytest.mark.parametrize("loaded_from", [None, "elsewhere"])
def test_the_text_is_about_rows_of_the_database_that_stores_it(
    loaded_from: str | None, using: str
) -> None:
    """The database that the instance was loaded from can have other rows."""
    company = Company.objects.using(using).create(name="acme")
    with letters(
        using,
        company=models.ForeignKey(Company, models.CASCADE, related_name="+"),
        number=SequenceField("letters"),
        text=FormattedNumberField(NumberFormat("{company.name}-{number}"), max_length=80),
    ) as rows:
        row = rows.create(company=company)
        row._state.db, row.number = loaded_from, 8
        row.save(using=using)
        assert rows.get().text == "acme-8"


@pytest.mark.parametrize("when", [None, "posted"])
def test_a_number_in_the_scope_of_another(when: str | None, using: str) -> None:
    """The row is numbered in the scope that it has, not in that of the outdated instance."""
    with letters(
        using,
        number=SequenceField("letters", when=when, null=True),
        revision=SequenceField("revisions", scope="number", when="released", null=True),
        text=FormattedNumberField(
            NumberFormat("{number}"), number="revision", max_length=22, null=True, unique=False
        ),
        posted=models.BooleanField(default=True),
        released=models.BooleanField(default=False),
    ) as rows:
        rows.create()
        row = rows.get()
        rows.update(number=5)
        row.released = True
        row.save()
        rows.create(number=5, released=True)
        assert list(rows.values_list("number", "revision").order_by("pk")) == [(5, 1), (5, 2)]


def test_a_function_gets_the_values_that_are_saved(using: str) -> None:
    """Also those that can't be pickled."""
    seen: list[bytes] = []

    def first(row: Any) -> int:
        seen.append(bytes(row.blob))
        return 1

    number = SequenceField("letters", when="posted", initial_value=first)
    posted = models.BooleanField(default=False)
    with letters(using, blob=models.BinaryField(), posted=posted, number=number) as rows:
        row = rows.create(blob=b"old")
        row.blob, row.posted = memoryview(b"new"), True
        row.save()
    assert (seen, row.number) == ([b"new"], 1)
