"""django-polymorphic: the children of one parent are numbered in the parent's sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from sequences_core import get_last_value
from tests.ecosystem.polymorphs.models import Bug, CreditNote, Document, Invoice, Project, Task
from tests.ecosystem.projects import (
    assert_migrations_settle,
    messages_of_ours,
    no_counter_touched,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_sequence() -> None:
    """Rows of the parent and of each child, in the order in which they are saved."""
    made = [
        Invoice.objects.create(code="i1"),
        CreditNote.objects.create(code="c1"),
        Document.objects.create(),
        CreditNote.objects.create(code="c2"),
        Invoice.objects.create(code="i2"),
    ]
    assert [each.number for each in made] == [1, 2, 3, 4, 5]
    assert [each.own for each in made if isinstance(each, CreditNote)] == [1, 2]


def test_a_query_of_the_parent() -> None:
    """It returns instances of the child classes, with the parent's number."""
    Invoice.objects.create(code="i")
    CreditNote.objects.create(code="c")
    found = [(type(each), each.number) for each in Document.objects.order_by("number")]
    assert found == [(Invoice, 1), (CreditNote, 2)]


def test_a_child_is_changed() -> None:
    """Saving what a query of the parent returned is an update: it touches no counter."""
    Invoice.objects.create(code="i")
    CreditNote.objects.create(code="c")
    with no_counter_touched():
        documents: Any = Document.objects.all()  # which are children
        for each in documents:
            each.code += "!"
            each.save()
    assert get_last_value("documents") == 2


def test_a_child_that_fails_consumes_no_number() -> None:
    """The parent's row was inserted before, and is rolled back with its number."""
    first = CreditNote.objects.create(code="taken")
    instance = CreditNote(code="taken")
    for _ in range(2):
        with pytest.raises(IntegrityError):
            instance.save()
    with transaction.atomic():
        Invoice.objects.create(code="i")
        with pytest.raises(IntegrityError), transaction.atomic():
            instance.save()
        transaction.set_rollback(True)
    instance.code = "free"
    instance.save()
    other = CreditNote.objects.create(code="other")
    assert [(each.number, each.own) for each in (first, instance, other)] == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]


def test_a_child_that_failed_is_saved_after_another() -> None:
    """By then another row has the number that the instance had for a moment."""
    CreditNote.objects.create(code="taken")
    instance = CreditNote(code="taken")
    with pytest.raises(IntegrityError):
        instance.save()
    other = CreditNote.objects.create(code="other")
    assert (other.number, other.own) == (2, 2)
    instance.pk = instance.id = None  # Django keeps it, and SQLite has given it to the other row
    instance.code = "free"
    instance.save()
    assert (instance.number, instance.own) == (3, 3)
    assert list(CreditNote.objects.order_by("number").values_list("code", flat=True)) == [
        "taken",
        "other",
        "free",
    ]


def test_scoped_children() -> None:
    """A scope that is a polymorphic row itself; parent's and children's rows share the counter."""
    web, app = (Project.objects.create(name=name) for name in ("web", "app"))
    made = [
        Task.objects.create(project=web),
        Bug.objects.create(project=web),
        Bug.objects.create(project=app),
        Task.objects.create(project_id=web.pk),
    ]
    assert [each.number for each in made] == [1, 2, 1, 3]


def test_checks_say_nothing() -> None:
    """A child that inherits the number shares no counter with its parent: it is the same."""
    assert messages_of_ours() == []


def test_makemigrations(tmp_path: Path) -> None:
    """The migration that is written for parent and children is complete."""
    assert_migrations_settle("polymorphs", tmp_path)
