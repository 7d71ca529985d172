"""django-reversion: a version that is reverted brings its row back, number and all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import reversion
from reversion.errors import RevertError
from reversion.models import Version

from sequences_core import get_last_value
from tests.ecosystem.projects import (
    assert_migrations_settle,
    messages_of_ours,
    no_counter_touched,
)
from tests.ecosystem.revisions.models import Invoice, Seat

pytestmark = pytest.mark.django_db(transaction=True)


def create(model: Any, **values: Any) -> Any:
    with reversion.create_revision():
        return model.objects.create(**values)


def recover(model: Any, number: int) -> None:
    """Bring a deleted row back, as the package's own admin page does it."""
    deleted = Version.objects.get_deleted(model)
    (version,) = [each for each in deleted if each.field_dict["number"] == number]
    version.revision.revert()


def numbers(model: Any) -> list[int]:
    return list(model.objects.order_by("number").values_list("number", flat=True))


def test_a_version_has_the_number() -> None:
    """This includes the version of the revision that creates the row."""
    invoice = create(Invoice)
    with reversion.create_revision():
        invoice.note = "changed"
        invoice.save()
    versions = Version.objects.get_for_object(invoice)
    assert [version.field_dict["number"] for version in versions] == [1, 1]


def test_a_revision_that_fails_consumes_no_number() -> None:
    """A revision is a transaction: what it took is given back with it."""

    @reversion.create_revision()  # type: ignore[untyped-decorator]
    def fail() -> None:
        assert Invoice.objects.create().number == 1
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            fail()
    assert create(Invoice).number == 1


def test_an_older_version_of_a_row_that_exists() -> None:
    """Reverting is an update then, and touches no counter."""
    invoice = create(Invoice, note="first")
    create(Invoice)
    with reversion.create_revision():
        invoice.note = "second"
        invoice.save()
    version = Version.objects.get_for_object(invoice).last()
    assert version is not None
    with no_counter_touched():
        version.revision.revert()
    invoice.refresh_from_db()
    assert (invoice.number, invoice.note) == (1, "first")


@pytest.mark.parametrize("number", [1, 2, 3], ids=["first", "middle", "last"])
def test_a_deleted_row_keeps_its_number(number: int) -> None:
    """The row comes back with it, and the counter goes on where it was."""
    for _ in range(3):
        create(Invoice)
    Invoice.objects.get(number=number).delete()
    recover(Invoice, number)
    assert numbers(Invoice) == [1, 2, 3]
    assert get_last_value("invoices") == 3
    assert create(Invoice).number == 4


def test_a_row_that_is_recovered_late() -> None:
    """Numbers given in the meantime are not given again."""
    first = create(Invoice)
    first.delete()
    assert [create(Invoice).number for _ in range(2)] == [2, 3]
    recover(Invoice, 1)
    assert create(Invoice).number == 4
    assert numbers(Invoice) == [1, 2, 3, 4]


def test_a_number_that_was_reused() -> None:
    """Two rows can't have it: the package says that the version can't be reverted."""
    for _ in range(2):
        create(Seat, room="hall")
    Seat.objects.get(number=1).delete()
    recover(Seat, 1)
    assert create(Seat, room="hall").number == 3
    Seat.objects.get(number=1).delete()
    assert create(Seat, room="hall").number == 1
    with pytest.raises(RevertError):
        recover(Seat, 1)
    assert numbers(Seat) == [1, 2, 3]
    assert create(Seat, room="hall").number == 4


def test_checks_say_nothing() -> None:
    """The package copies no field, so there is nothing to say."""
    assert messages_of_ours() == []


def test_makemigrations(tmp_path: Path) -> None:
    """The migration that is written for the models is complete."""
    assert_migrations_settle("revisions", tmp_path)
