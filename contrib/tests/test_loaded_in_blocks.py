"""Instances that were loaded in a block of atomic() that was rolled back, and that are saved."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, models, transaction
from django.test.utils import isolate_apps
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.texts import FormattedNumberField

from tests.numbered.blocks import letters, rolled_back, tables
from tests.numbered.models import Patient

APPS = ["tests.numbered", "sequences_contrib"]


def family() -> list[Any]:
    """Return a model whose primary key is a number, a child of it, and a child of that."""
    with isolate_apps("tests.numbered"):

        class Letter(models.Model):
            number = SequenceField("letters", primary_key=True)
            title = models.CharField(max_length=9)

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return self.title

        class Sealed(Letter):
            seal = models.CharField(max_length=9)

            class Meta:
                app_label = "numbered"

        class Stamped(Sealed):
            stamp = models.CharField(max_length=9)

            class Meta:
                app_label = "numbered"

    return [Letter, Sealed, Stamped]


def refreshed(rows: Any) -> Any:
    """Return an instance that was made by the caller, and then read from the database."""
    row = rows.model(pk=rows.get().pk)
    row.refresh_from_db(using=rows.db)
    return row


LOADS: dict[str, Callable[[Any], Any]] = {
    "get": lambda rows: rows.get(),
    "defer": lambda rows: rows.defer("title").get(),
    "only": lambda rows: rows.only("title").get(),
    "raw": lambda rows: rows.raw(*rows.only("title").query.get_compiler(rows.db).as_sql())[0],
    "iterator": lambda rows: next(rows.iterator()),
    "in_bulk": lambda rows: rows.in_bulk()[1],
    "annotate": lambda rows: rows.annotate(titles=models.Count("title")).get(),
    "refresh": refreshed,
}


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("generation", [0, 1, 2])
def test_a_key(load: str, generation: int, using: str) -> None:
    """However a row was loaded, its instance doesn't overwrite the row that has its number now."""
    family_of_models = family()
    model = family_of_models[generation]
    with tables(using, *family_of_models):
        rows = model._default_manager.using(using)
        with rolled_back(using):
            rows.create(title="lost")
            loaded = LOADS[load](rows)
        rows.create(title="stored")
        loaded.title = "again"
        if loaded.get_deferred_fields() - {"number", "letter_ptr_id"}:
            with pytest.raises(ValueError, match="no primary key"):
                loaded.save(using=using)
        else:
            loaded.save(using=using)
            assert loaded.pk == 2
        assert rows.values_list("title").get(pk=1) == ("stored",)


def test_a_lost_instance_that_is_loaded_again(using: str) -> None:
    """Its new row is lost in the next block as well."""
    rows = Patient.objects.using(using)
    patient = Patient()
    with rolled_back(using):
        patient.save(using=using)
    with rolled_back(using):
        rows.create()
        patient.refresh_from_db(using=using)
    rows.create()
    patient.save(using=using)
    assert patient.pk == 2


def test_an_explicit_key(using: str) -> None:
    """An instance that was loaded gets a new key. Only the caller's own one keeps what was set."""
    rows = Patient.objects.using(using)
    created = Patient(number=1)
    with rolled_back(using):
        created.save(using=using)
        loaded = rows.get()
    rows.create()
    loaded.save(using=using)
    assert (created.pk, loaded.pk, rows.count()) == (1, 2, 2)


def test_values_as_they_are_stored(using: str) -> None:
    """The rest of a composite primary key may be set to text, which the database converts."""
    with isolate_apps("tests.numbered"):

        class Letter(models.Model):
            pk = models.CompositePrimaryKey("office", "day", "number")
            office = models.IntegerField()
            day = models.DateField()
            number = SequenceField("letters", scope=["office", "day"])

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return str(self.number)

    with tables(using, Letter):
        rows = Letter._default_manager.using(using)
        with rolled_back(using):
            rows.create(office="7", day="2026-11-27")
            loaded = rows.get()
        rows.create(office=7, day="2026-11-27")
        loaded.save(using=using)
        assert (loaded.number, rows.count()) == (2, 2)


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("bulk", [False, True])
@pytest.mark.parametrize("scope", [None, "office"])
def test_a_number_that_is_no_key(scope: str | None, bulk: bool, taken: bool, using: str) -> None:
    """The row gets a new number, whether or not another row has the old one by then."""
    with letters(
        using,
        id=models.UUIDField(primary_key=True, default=uuid.uuid4),
        number=SequenceField("letters", scope=scope),
        text=FormattedNumberField(NumberFormat("L-{number}"), max_length=9),
        office=models.IntegerField(default=1),
    ) as rows:
        with rolled_back(using):
            rows.bulk_create([rows.model() for _ in range(3)])
            loaded = rows.get(number=3)
        others = 3 if taken else 1
        rows.bulk_create([rows.model() for _ in range(others)])
        if bulk:
            rows.bulk_create([loaded])
        else:
            loaded.save(using=using)
        assert (loaded.number, loaded.text) == (others + 1, f"L-{others + 1}")
        assert rows.get(pk=loaded.pk).text == loaded.text


def test_a_deleted_row(using: str) -> None:
    """It keeps its number, in the block in which it was deleted and afterwards."""
    with letters(using, number=SequenceField("letters", unique=True)) as rows:
        created = rows.create()
        with transaction.atomic(using=using):
            loaded = rows.get()
            for _ in range(2):
                rows.filter(pk=created.pk).delete()
                loaded.save(using=using)
        rows.create()
        rows.filter(pk=created.pk).delete()
        loaded.save(using=using)
        assert sorted(rows.values_list("number", flat=True)) == [1, 2]


def test_rows_that_update_themselves(using: str) -> None:
    """With update_conflicts, the instance of a stored row keeps its number."""
    with letters(
        using, number=SequenceField("letters"), text=models.CharField(max_length=9)
    ) as rows:
        rows.create()
        with transaction.atomic(using=using):
            loaded = rows.get()
            loaded.text = "new"
            unique = [] if connections[using].vendor == "mysql" else ["id"]
            rows.bulk_create(
                [loaded], update_conflicts=True, unique_fields=unique, update_fields=["text"]
            )
        assert rows.values_list("number", "text").get() == (1, "new")


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("load", ["get", "refresh", "only"])
@pytest.mark.parametrize("child", [False, True])
def test_a_posting(child: bool, load: str, taken: bool, using: str) -> None:
    """An instance that was loaded after the posting is posted again by its next save()."""
    with isolate_apps("tests.numbered"):

        class Letter(models.Model):
            number = SequenceField("letters", when="posted", unique=True)
            text = FormattedNumberField(NumberFormat("L-{number}"), max_length=9, null=True)
            posted = models.BooleanField(default=False)

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return str(self.text)

        class Sealed(Letter):
            seal = models.CharField(max_length=9)

            class Meta:
                app_label = "numbered"

    with tables(using, Letter, Sealed):
        rows: Any = (Sealed if child else Letter)._default_manager.using(using)
        loaded, other = rows.create(), rows.create()
        with rolled_back(using):
            posted = rows.get(pk=loaded.pk)
            posted.posted = True
            posted.save(using=using)
            if load == "refresh":
                loaded.refresh_from_db()
            elif load == "get":
                loaded = rows.get(pk=loaded.pk)
            else:
                loaded = rows.only("number", "posted").get(pk=loaded.pk)
            assert loaded.number == 1
            loaded.save(using=using)
        if taken:
            other.posted = True
            other.save(using=using)
        loaded.save(using=using)
        stored = rows.get(pk=loaded.pk)
        assert stored.number == loaded.number == (2 if taken else 1)
        assert stored.text == f"L-{stored.number}"
