"""Copies of the field, such as those of packages that keep history, are not the field."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from django.db import connections, models
from django.db.migrations.state import ModelState
from django.test.utils import CaptureQueriesContext, isolate_apps
from sequences_contrib.fields import SequenceField

from sequences_core import get_last_value
from tests.numbered.blocks import model_with, tables
from tests.numbered.models import CreditNote, Invoice, Ticket

APPS = ["tests.numbered"]


def rebuilt(field: Any) -> Any:
    """Make a field anew from what a copy deconstructs to, as django-pghistory does."""
    _, path, args, kwargs = copy.deepcopy(field).deconstruct()
    assert path == "django.db.models.BigIntegerField"
    return models.BigIntegerField(*args, **{**kwargs, "unique": False})


WAYS = {"copy.copy": copy.copy, "copy.deepcopy": copy.deepcopy, "deconstructed": rebuilt}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_copied_field_is_a_plain_integer(way: Any, using: str) -> None:
    """A copy adds no constraint, takes no number, and has no checks."""
    with isolate_apps("tests.numbered"):
        copied = way(Ticket._meta.get_field("number"))
        history = model_with(project=models.IntegerField(), number=copied)
        assert history.check() == []
    assert history._meta.constraints == []
    with tables(using, history):
        rows = history.objects.using(using)
        with CaptureQueriesContext(connections[using]) as queries:
            for _ in range(2):
                rows.create(project=1, number=5)
            rows.bulk_create([history(project=1, number=5)])
        assert not any("sequences_core_counter" in query["sql"] for query in queries)
    assert get_last_value("numbered_ticket.number.1", using=using) is None


def test_migrations_of_a_copy_hold_a_plain_integer() -> None:
    """A migration of a history table knows nothing of sequences."""
    with isolate_apps("tests.numbered"):
        history = model_with(number=copy.copy(Invoice._meta.get_field("number")))
    state = ModelState.from_model(history)
    assert type(state.fields["number"]) is models.BigIntegerField


def test_the_fields_of_abstract_models_are_no_copies() -> None:
    """Django copies the fields of an abstract model into its children, and those do number."""
    field: Any = CreditNote._meta.get_field("number")
    assert isinstance(field, SequenceField)
    assert not field.is_copy
    assert field.deconstruct()[1] == "sequences_contrib.fields.SequenceField"
    assert not field.clone().is_copy
