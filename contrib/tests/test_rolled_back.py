"""Instances whose INSERT was rolled back, and that are saved again."""

from __future__ import annotations

import copy
import pickle
import unittest
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, models, transaction
from django.test import TestCase
from django.test.utils import isolate_apps
from sequences_contrib.afterwards import renumber, void
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.protection import ProtectNumbered
from sequences_contrib.texts import FormattedNumberField

from sequences_core import get_last_value
from tests.numbered.blocks import letters, rolled_back, tables
from tests.numbered.models import Invoice, Patient

APPS = ["tests.numbered", "sequences_contrib"]


@pytest.fixture
def patients(using: str) -> Any:
    """The rows of a model whose primary key is a number."""
    return Patient.objects.using(using)


def lost_patient(using: str) -> Patient:
    """Return an instance whose INSERT was rolled back."""
    patient = Patient()
    with rolled_back(using):
        patient.save(using=using)
    return patient


@pytest.mark.parametrize("early", [True, False])
def test_a_hook_that_fails_after_the_commit(early: bool, patients: Any, using: str) -> None:
    """The row is stored, so saving again updates it, whenever the hook was registered."""
    patient = Patient()

    def fail() -> None:
        raise LookupError

    def save() -> None:
        with transaction.atomic(using=using):
            if early:
                transaction.on_commit(fail, using=using)
            patient.save(using=using)
            if not early:
                transaction.on_commit(fail, using=using)

    with pytest.raises(LookupError):
        save()
    patient.save(using=using)
    assert patients.get().pk == patient.pk == 1


def test_delete(patients: Any, using: str) -> None:
    """Deleting such an instance doesn't delete the row that has the number now."""
    patient = lost_patient(using)
    other = patients.create()
    assert other.pk == patient.pk
    with pytest.raises(ValueError, match="its number attribute is set to None"):
        patient.delete()
    assert patients.get() == other


def test_update_only(patients: Any, using: str) -> None:
    """A save that may only update doesn't update somebody else's row."""
    patient = lost_patient(using)
    patients.create()
    with pytest.raises(ValueError, match="force an update"):
        patient.save(using=using, force_update=True)


def test_an_instance_that_is_loaded_again(patients: Any, using: str) -> None:
    """After refresh_from_db(), it is an instance of the row that it was loaded from."""
    patient = lost_patient(using)
    other = patients.create()
    patient.refresh_from_db(using=using)
    patient.save(using=using)
    assert patients.get() == other == patient


def test_an_instance_that_is_loaded_again_before_the_rollback(patients: Any, using: str) -> None:
    """refresh_from_db() has read a row that doesn't exist after the rollback."""
    patient = Patient()
    with rolled_back(using):
        patient.save(using=using)
        patient.refresh_from_db(using=using)
    other = patients.create()
    patient.save(using=using)
    assert (other.pk, patient.pk) == (1, 2)
    patient.save(using=using)
    assert patients.count() == 2


@pytest.mark.parametrize("inner", [False, True])
def test_another_instance_that_is_loaded_before_the_rollback(
    inner: bool, patients: Any, using: str
) -> None:
    """It isn't an instance of the row that gets the number later, wherever it was loaded."""
    with rolled_back(using):
        created = patients.create()
        with transaction.atomic(using=using) if inner else nullcontext():
            loaded = patients.get(pk=created.pk)
    other = patients.create()
    loaded.save(using=using)
    assert (other.pk, loaded.pk) == (1, 2)
    with transaction.atomic(using=using):
        stored = patients.create()
        same = patients.get(pk=stored.pk)
    same.save(using=using)
    assert patients.count() == 3


def test_another_row_that_is_loaded_before_the_rollback(using: str) -> None:
    """With a composite primary key, a stored row can have the number of the one that is lost."""
    with isolate_apps("tests.numbered"):

        class Letter(models.Model):
            pk = models.CompositePrimaryKey("office", "number")
            office = models.IntegerField()
            number = SequenceField("rolled", scope="office")
            text = models.CharField(max_length=9)

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return self.text

    with tables(using, Letter):
        rows = Letter._default_manager.using(using)
        rows.create(office=8)
        with rolled_back(using):
            lost = rows.bulk_create([Letter(office=7), Letter(office=7)])
            stored = rows.get(office=8)
            loaded = rows.get(pk=lost[1].pk)
        for number, letter in enumerate((stored, loaded)):
            letter.text = str(number)
            letter.save(using=using)
        assert sorted(rows.values_list("office", "number", "text")) == [(7, 1, "1"), (8, 1, "0")]


def test_bulk_update(using: str) -> None:
    """It doesn't update the row that has the number now."""
    with letters(
        using,
        number=SequenceField("letters", primary_key=True),
        text=models.CharField(max_length=9),
    ) as rows:
        letter = rows.model(text="lost")
        with rolled_back(using):
            letter.save(using=using)
        rows.create(text="other")
        with pytest.raises(ValueError, match="must have a primary key set"):
            rows.bulk_update([letter], fields=["text"])
        assert rows.get().text == "other"


def test_bulk_update_of_a_draft(using: str) -> None:
    """It doesn't store the number that a block that was rolled back had given a draft."""
    with letters(
        using,
        number=SequenceField("cards", when="posted"),
        posted=models.BooleanField(default=False),
    ) as rows:
        row = rows.create()
        row.posted = True
        with rolled_back(using):
            row.save(using=using)
        rows.bulk_update(iter([row]), ["number"])
        assert rows.values_list("number").get() == (None,)


def test_bulk_create(patients: Any, using: str) -> None:
    """After bulk_create() has stored such an instance, save() updates its row."""
    patient = lost_patient(using)
    patients.create()
    patients.bulk_create([patient])
    assert patient.pk == 2
    patient.save(using=using)
    assert sorted(patients.values_list("pk", flat=True)) == [1, 2]


def test_numbers_of_others(patients: Any, using: str) -> None:
    """Such an instance is not stored, so its number, which somebody else has, can't be void."""
    patient = lost_patient(using)
    patients.create()
    with pytest.raises(ValueError, match="not stored yet"):
        void(patient, reason="mistake", using=using)
    with pytest.raises(ValueError, match="not stored yet"):
        renumber(patient, using=using)


def test_a_protected_row(using: str) -> None:
    """It isn't compared with the row that has its number now."""
    with isolate_apps("tests.numbered"):

        class Letter(ProtectNumbered):
            number = SequenceField("letters", primary_key=True, ascending="day")
            day = models.IntegerField()

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return str(self.number)

    with tables(using, Letter):
        letters = [Letter(day=1) for _ in range(2)]
        with rolled_back(using):
            for letter in letters:
                letter.save(using=using)
        Letter.objects.using(using).bulk_create([Letter(day=0), Letter(day=0)])
        letters[0].full_clean()
        for letter in letters:
            letter.save(using=using)
        assert [letter.number for letter in letters] == [3, 4]


def test_a_deep_copy(patients: Any, using: str) -> None:
    """A deep copy that was made before the rollback doesn't overwrite somebody else's row."""
    patient = Patient()
    with rolled_back(using):
        patient.save(using=using)
        other = copy.deepcopy(patient)
    patients.create()
    other.save(using=using)
    assert other.pk == 2


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda row: pickle.loads(pickle.dumps(row))]
)
def test_copies(copied: Callable[[Any], Any], patients: Any, using: str) -> None:
    """A copy that was made before the COMMIT updates its row after it."""
    with transaction.atomic(using=using):
        patient = patients.create()
        other = copied(patient)
    other.save(using=using)
    assert patients.get() == other == patient


def test_the_savepoints_of_a_test(using: str) -> None:
    """In a TestCase, a savepoint's rollback is seen as well, and other hooks are executed once."""
    executed: list[str] = []

    class Test(TestCase):
        databases = {using}

        def test(self) -> None:
            for text in "ab":
                with (
                    self.captureOnCommitCallbacks(using=using, execute=True),
                    transaction.atomic(using=using),
                ):
                    Patient().save(using=using)
                    transaction.on_commit(partial(executed.append, text), using=using)
            with self.captureOnCommitCallbacks(using=using) as callbacks:
                Invoice.objects.using(using).create()
                Patient.objects.using(using).create()
            assert callbacks == []
            patient = Patient()
            with rolled_back(using):
                patient.save(using=using)
            other = Patient.objects.using(using).create()
            patient.save(using=using)
            assert patient.pk == other.pk + 1

    result = unittest.TestResult()
    unittest.TestSuite([Test("test")]).run(result)
    assert (result.failures, result.errors) == ([], [])
    assert executed == ["a", "b"]


@pytest.fixture
def cards(using: str) -> Iterator[Any]:
    """The rows of a model with a number and its text."""
    with letters(
        using,
        number=SequenceField("cards"),
        text=FormattedNumberField(NumberFormat("C-{number}"), max_length=20),
    ) as rows:
        yield rows


@pytest.mark.parametrize("bulk", [False, True])
def test_explicit_numbers_and_texts(bulk: bool, cards: Any, using: str) -> None:
    """They are stored again, unlike those that were taken or written."""
    model = cards.model
    rows = [model(number=50), model(number=60, text="sixty"), model()]

    def store() -> None:
        if bulk:
            cards.bulk_create(rows)
        else:
            for row in rows:
                row.save(using=using)

    with rolled_back(using):
        store()
    assert rows[2].number == 61
    store()
    assert [(row.number, row.text) for row in rows] == [(50, "C-50"), (60, "sixty"), (61, "C-61")]
    assert get_last_value("cards", using=using) == 61


def test_the_text_of_an_insert_that_is_rolled_back_twice(using: str) -> None:
    """The text of the first number isn't taken for one that the caller has set."""
    with letters(
        using,
        id=models.UUIDField(primary_key=True, default=uuid.uuid4),
        number=SequenceField("cards"),
        text=FormattedNumberField(NumberFormat("C-{number}"), max_length=20),
    ) as rows:
        row = rows.model()
        with rolled_back(using):
            row.save(using=using)
        rows.create()
        with rolled_back(using):
            row.save(using=using)
            assert row.text == "C-2"
        row.save(using=using)
        assert (row.number, row.text) == (2, "C-2")
        assert sorted(rows.values_list("number", "text")) == [(1, "C-1"), (2, "C-2")]


def test_a_child_whose_second_row_fails(using: str) -> None:
    """After a save that failed, neither a copy nor a rolled-back row has an explicit number."""
    with isolate_apps("tests.numbered"):

        class Card(models.Model):
            id = models.UUIDField(primary_key=True, default=uuid.uuid4)
            number = SequenceField("cards")
            text = FormattedNumberField(NumberFormat("C-{number}"), max_length=20, unique=False)

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return str(self.text)

        class NamedCard(Card):
            name = models.CharField(max_length=9)

            class Meta:
                app_label = "numbered"

    with tables(using, Card, NamedCard):
        rows: Any = NamedCard._default_manager.using(using)
        rows.create(name="first")
        copied, lost = rows.get(), NamedCard()
        copied.pk = copied.id = None
        copied._state.adding = True
        with rolled_back(using):
            lost.save(using=using)
        for row in (copied, lost):
            row.name = None
            with pytest.raises(IntegrityError):
                row.save(using=using)
            row.name = "saved"
        for row in (copied, lost):
            row.save(using=using)
        stored = rows.order_by("number").values_list("number", "text", "name")
        assert list(stored) == [(1, "C-1", "first"), (2, "C-2", "saved"), (3, "C-3", "saved")]


def test_an_explicit_primary_key(using: str) -> None:
    """A model with two numbers keeps the explicit one, and gets the other anew."""
    with letters(
        using,
        number=SequenceField("keys", primary_key=True),
        code=SequenceField("codes"),
    ) as rows:
        letter = rows.model(code=5)
        with rolled_back(using):
            letter.save(using=using)
        rows.create()
        letter.save(using=using)
        assert (letter.number, letter.code) == (2, 5)


@pytest.mark.parametrize("when", [None, "posted"])
@pytest.mark.parametrize("names", [None, ["number"], ["number", "text"]])
def test_an_explicit_number_of_a_stored_row(names: Any, when: str | None, using: str) -> None:
    """An UPDATE that was rolled back has stored neither the number nor its text."""
    with letters(
        using,
        number=SequenceField("cards", when=when, null=True),
        text=FormattedNumberField(NumberFormat("C-{number}"), max_length=20, null=True),
        posted=models.BooleanField(default=True),
    ) as rows:
        row = rows.create()
        row.number = 50
        with transaction.atomic(using=using):
            with rolled_back(using):
                row.save(using=using, update_fields=names)
            row.save(using=using, update_fields=names)
        row.save(using=using)
        assert rows.values_list("number", "text").get() == (50, "C-50") == (row.number, row.text)


@pytest.mark.parametrize("when", [None, "posted"])
@pytest.mark.parametrize("inserted", [False, True])
@pytest.mark.parametrize("inner", [False, True])
def test_what_was_set_last_in_a_block(
    inner: bool, inserted: bool, when: str | None, using: str
) -> None:
    """The instance keeps the number and the text that the caller has set last, not the first."""
    with letters(
        using,
        number=SequenceField("cards", when=when, null=True),
        text=FormattedNumberField(NumberFormat("C-{number}"), max_length=20, null=True),
        posted=models.BooleanField(default=False),
    ) as rows:
        row = rows.model() if inserted else rows.create()
        with transaction.atomic(using=using):
            with rolled_back(using):
                row.posted = True
                row.save(using=using)
                for number in (5, 9):
                    row.number = number
                    with transaction.atomic(using=using) if inner else nullcontext():
                        row.save(using=using)
            row.save(using=using)
        assert rows.values_list("number", "text").get() == (9, "C-9") == (row.number, row.text)
        assert get_last_value("cards", using=using) == 9
        with rolled_back(using):
            for row.text in ("a", "b"):
                row.save(using=using)
        row.save(using=using)
        assert rows.get().text == "b" == row.text


def test_a_number_of_a_draft(using: str) -> None:
    """After its posting was rolled back, a draft has neither a number nor a text."""
    with letters(
        using,
        number=SequenceField("cards", when="posted"),
        text=FormattedNumberField(NumberFormat("C-{number}"), max_length=20, null=True),
        posted=models.BooleanField(default=False),
    ) as rows:
        row = rows.create()
        row.posted = True
        with rolled_back(using):
            row.save(using=using)
            assert (row.number, row.text) == (1, "C-1")
        row.posted = False
        row.save(using=using)
        assert (row.number, row.text) == (None, None)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("when", [None, "posted"])
def test_renumbering(when: str | None, again: bool, using: str) -> None:
    """After renumber() was rolled back, save() doesn't store the number, which was given back.

    It doesn't either if the instance was loaded again before the rollback.
    """
    with letters(
        using,
        number=SequenceField("cards", scope="firm", when=when, null=True),
        text=FormattedNumberField(NumberFormat("{firm}-{number}"), max_length=20, null=True),
        firm=models.CharField(max_length=9),
        posted=models.BooleanField(default=True),
    ) as rows:
        first, second = (rows.create(firm="A") for _ in range(2))
        second.firm = "B"
        with rolled_back(using):
            renumber(second, using=using)
            if again:
                second.refresh_from_db()
            assert (second.number, second.text) == (1, "B-1")
        second.firm = "A"
        second.save(using=using)
        assert [rows.get(pk=row.pk).text for row in (first, second)] == ["A-1", "A-2"]
        assert (second.number, second.text) == (2, "A-2")
        second.firm = "B"
        with transaction.atomic(using=using):
            with rolled_back(using):
                renumber(second, using=using)
            assert renumber(second, using=using)
        second.save(using=using)
        assert rows.values_list("number", "text").get(pk=second.pk) == (1, "B-1")
