"""Instances whose INSERT was rolled back, and that are saved again."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.test import TestCase
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.texts import FormattedNumberField

from sequences_core import get_last_value
from tests.numbered.blocks import letters, rolled_back
from tests.numbered.models import Invoice, Patient

APPS = ["tests.numbered"]


@pytest.fixture
def patients(using: str) -> Any:
    """The rows of a model whose primary key is a number."""
    return Patient.objects.using(using)


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
    patient = Patient()
    with rolled_back(using):
        patient.save(using=using)
    other = patients.create()
    assert other.pk == patient.pk
    with pytest.raises(ValueError, match="its number attribute is set to None"):
        patient.delete()
    assert patients.get() == other


def test_update_only(patients: Any, using: str) -> None:
    """A save that may only update doesn't update somebody else's row."""
    patient = Patient()
    with rolled_back(using):
        patient.save(using=using)
    patients.create()
    with pytest.raises(ValueError, match="force an update"):
        patient.save(using=using, force_update=True)


def test_an_instance_that_is_loaded_again(patients: Any, using: str) -> None:
    """After refresh_from_db(), it is an instance of the row that it was loaded from."""
    patient = Patient()
    with rolled_back(using):
        patient.save(using=using)
    other = patients.create()
    patient.refresh_from_db(using=using)
    patient.save(using=using)
    assert patients.get() == other == patient


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

    result = Test("test").run()
    assert result is not None
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
