"""Fields whose ``pre_save()`` reads the number of the row that is being inserted."""

from __future__ import annotations

from typing import Any

import django
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage
from django.db import models
from django.test.utils import isolate_apps
from sequences_contrib.fields import SequenceField

from tests.numbered.blocks import MODES, atomic_if, model_with, statements, tables


class Label(models.CharField):  # type: ignore[type-arg] # not generic at run time
    """A text that the field itself makes from the number, as fields for slugs do."""

    def pre_save(self, model_instance: Any, add: bool) -> str:
        label = f"no. {model_instance.number}"
        setattr(model_instance, self.attname, label)
        return label


def path_of(instance: Any, filename: str) -> str:
    return f"{instance.number}/{filename}"


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
def test_a_field_reads_the_number(in_transaction: bool, using: str) -> None:
    """It reads the number on every database, and not the expression that would take it."""
    with isolate_apps("tests.numbered"):
        number = SequenceField("labelled", unique=True)
        model = model_with(number=number, label=Label(max_length=99))
    with tables(using, model), atomic_if(in_transaction, using):
        row = model.objects.using(using).create()
        model.objects.using(using).bulk_create([model()])
        assert (row.number, row.label) == (1, "no. 1")
        stored = model.objects.using(using).order_by("number").values_list("number", "label")
        assert list(stored) == [(1, "no. 1"), (2, "no. 2")]


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
def test_a_path_contains_the_number(in_transaction: bool, using: str) -> None:
    """From Django 6.0 on, save() stores a file before the row has a number, which is None then."""
    storage = InMemoryStorage()
    with isolate_apps("tests.numbered"):
        number = SequenceField("scans", unique=True)
        file = models.FileField(upload_to=path_of, storage=storage)
        model = model_with(number=number, file=file)
    with tables(using, model), atomic_if(in_transaction, using):
        row = model.objects.using(using).create(file=ContentFile(b"scan", name="a.pdf"))
        expected = "None" if django.VERSION >= (6, 0) else "1"
        assert (row.number, row.file.name) == (1, f"{expected}/a.pdf")


def test_other_fields_do_not_matter(using: str) -> None:
    """The INSERT still takes the number if only Django's own fields are in the model."""
    with isolate_apps("tests.numbered"):
        model = model_with(
            number=SequenceField("papers", unique=True),
            day=models.DateField(auto_now=True),
            moment=models.DateTimeField(auto_now_add=True),
            time=models.TimeField(auto_now=True),
            file=models.FileField(upload_to="papers/%Y"),
        )
    with tables(using, model):
        model.objects.using(using).create()
        with statements(using, {"": 1, "mysql": 2}):
            assert model.objects.using(using).create().number == 2
