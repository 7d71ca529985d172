"""Protection of numbered rows."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import django
import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connections, models, transaction
from django.db.migrations.state import ModelState
from django.db.models import F, ProtectedError
from django.db.models.signals import pre_delete
from django.test.utils import isolate_apps
from django.utils import deprecation
from sequences_contrib.afterwards import renumber, void
from sequences_contrib.exceptions import NumberProtected
from sequences_contrib.fields import SequenceField
from sequences_contrib.protection import ProtectedQuerySet, ProtectNumbered, _refuse_deletion

from sequences_core import SequencesError, get_last_value
from tests.numbered.blocks import MODES, PATIENCE, atomic_if, model_with, tables
from tests.numbered.models import Invoice

APPS = ["tests.numbered", "sequences_contrib"]

DAY = date(2026, 1, 5)


@pytest.fixture
def made(using: str) -> Iterator[tuple[Any, Any]]:
    """Protected vouchers, which are numbered by company once they have one, and the companies."""
    with isolate_apps("tests.numbered"):

        class Firm(models.Model):
            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return f"{self.pk}"

        class Deed(ProtectNumbered):
            firm = models.ForeignKey(Firm, models.CASCADE, null=True, related_name="vouchers")
            issued_on = models.DateField(default=DAY)
            note = models.CharField(max_length=9, default="")
            number = SequenceField(
                "vouchers", scope="firm", ascending="issued_on", null=True, db_index=True
            )

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return f"{self.number}"

    with tables(using, Firm, Deed):
        yield models.QuerySet(Firm, using=using), Deed.objects.using(using)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "number": lambda firms: 7,
    "no number": lambda firms: None,
    "expression": lambda firms: F("number") + 1,
    "firm": lambda firms: firms.create(),
    "no firm": lambda firms: None,
    "issued_on": lambda firms: date(2026, 1, 6),
}


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_refused(change: str, in_transaction: bool, using: str, made: Any) -> None:
    """Number, scope and date of a numbered row stay as they are; forms are told before."""
    firms, vouchers = made
    row = vouchers.create(firm=firms.create())
    name = {"expression": "number"}.get(change, change.removeprefix("no "))
    setattr(row, name, CHANGES[change](firms))
    with atomic_if(in_transaction, using):
        with pytest.raises(NumberProtected, match=r"Deed\.number is numbered 1"):
            row.save(using=using)
        with pytest.raises(NumberProtected):
            row.save(using=using, update_fields=["number", "firm_id", "issued_on"])
        row.save(using=using, update_fields=["note"])
        with pytest.raises(ValidationError) as caught:
            row.full_clean()
        (error,) = caught.value.error_dict["__all__"]
        assert error.code == "protected"
        labels = "firm, issued on, number"
        assert error.messages == [f"The number 1 is assigned, so this can't change: {labels}."]
        assert vouchers.create(firm=row.firm or firms.create()).number  # the transaction is fine
    assert vouchers.filter(number=1, issued_on=DAY, firm__isnull=False, pk=row.pk).exists()


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
def test_other_changes_are_free(in_transaction: bool, using: str, made: Any) -> None:
    """What the number doesn't depend on may change, and all of a row that has none."""
    firms, vouchers = made
    row = vouchers.create(firm=firms.create())
    with atomic_if(in_transaction, using):
        row.note, row.issued_on, row.number = "new", "2026-01-05", "1"
        row.save(using=using)
        row.full_clean(exclude=["number"])
        vouchers.filter(pk=row.pk).update(note="newer")
        vouchers.only("note").get(pk=row.pk).save(using=using)
        draft = vouchers.create()
        draft.issued_on = date(2026, 2, 1)
        draft.save(using=using)
        assert vouchers.filter(pk=draft.pk).update(issued_on=date(2026, 3, 1)) == 1
        vouchers.model(pk=10**6, firm=row.firm).save(using=using)
        vouchers.model(pk=10**7, firm=row.firm).save(using=using, force_insert=True)
        draft.delete()
    assert sorted(vouchers.values_list("number", "note")) == [(1, "newer"), (2, ""), (3, "")]


def test_what_counts_is_the_database(using: str, made: Any) -> None:
    """An instance that was loaded before its row was numbered can't hide the number."""
    firms, vouchers = made
    draft = vouchers.create()
    stale = vouchers.get()
    vouchers.filter(pk=draft.pk).update(firm=firms.create(), number=1)
    stale.issued_on = date(2026, 2, 1)
    with pytest.raises(NumberProtected):
        stale.save(using=using)
    with pytest.raises(NumberProtected):
        stale.delete(using=using)
    stale = vouchers.model(pk=draft.pk, note="overwritten")
    with pytest.raises(NumberProtected):
        stale.save(using=using)
    assert vouchers.get().number == 1


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
def test_a_deletion_is_refused(in_transaction: bool, using: str, made: Any) -> None:
    """Deletion is refused for an instance, a query and a cascade; drafts can be deleted."""
    firms, vouchers = made
    firm = firms.create()
    row, draft = vouchers.create(firm=firm), vouchers.create()
    for delete in (row.delete, vouchers.filter(pk=row.pk).delete, vouchers.delete, firm.delete):
        with (
            pytest.raises(NumberProtected, match="has a number") as caught,
            atomic_if(in_transaction, using),
        ):
            delete()
        assert {each.pk for each in caught.value.protected_objects} == {row.pk}
    assert vouchers.count() == 2
    draft.delete(using=using)
    assert list(vouchers) == [row]


def test_queries_that_update_are_refused(using: str, made: Any) -> None:
    """update() and bulk_update() touch no number, scope or date of a numbered row."""
    firms, vouchers = made
    firm = firms.create()
    row, draft = vouchers.create(firm=firm), vouchers.create()
    for values in ({"number": 9}, {"firm": None}, {"firm_id": None}, {"issued_on": DAY}):
        for some in (vouchers, vouchers.filter(note=""), firm.vouchers.using(using)):
            with pytest.raises(NumberProtected, match=next(iter(values))):
                some.update(**values)
    row.issued_on = draft.issued_on = date(2026, 3, 3)
    with pytest.raises(NumberProtected):
        vouchers.bulk_update([row, draft], ["issued_on"])
    vouchers.bulk_update([draft], ["issued_on"])
    assert sorted(vouchers.values_list("issued_on", flat=True)) == [DAY, date(2026, 3, 3)]


class Filtered(models.Manager):  # type: ignore[type-arg] # not generic at run time
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(note="")


def no_firm() -> None:
    """The value of a foreign key whose target is deleted."""


@pytest.mark.parametrize("on_delete", [models.SET_NULL, models.SET_DEFAULT, models.SET(no_firm)])
def test_updates_through_relations_are_refused(on_delete: Any, using: str) -> None:
    """Related managers and on_delete update rows by the base manager, and are refused, too."""
    with isolate_apps("tests.numbered"):
        firm = model_with("Firm")
        fields: dict[str, Any] = {
            "firm": models.ForeignKey(
                firm, on_delete, null=True, default=None, related_name="deeds"
            ),
            "note": models.CharField(max_length=9, default=""),
            "number": SequenceField("deeds", scope="firm", null=True),
        }
        meta = type("Meta", (), {"app_label": "numbered"})
        deed: Any = type(
            "Deed", (ProtectNumbered,), {"__module__": __name__, "Meta": meta, **fields}
        )
        fields = {
            "note": fields["note"].clone(),
            "number": SequenceField("other"),
            "objects": Filtered.from_queryset(ProtectedQuerySet)(),
        }
        other: Any = type(
            "Other", (ProtectNumbered,), {"__module__": __name__, "Meta": meta, **fields}
        )
    assert ModelState.from_model(deed).managers == []  # so that migrations don't change
    with tables(using, firm, deed):
        firms: Any = models.QuerySet(firm, using=using)
        one, two = firms.create(), firms.create()
        row = deed.objects.using(using).create(firm=one)
        for change in (
            lambda: two.deeds.add(row),
            lambda: one.deeds.remove(one.deeds.get()),
            one.deeds.clear,
            one.delete,
        ):
            with pytest.raises(NumberProtected, match="would change firm"):
                change()
        assert deed.objects.using(using).get().firm_id == one.pk
        draft = deed.objects.using(using).create()
        deed.objects.using(using).filter(pk=draft.pk).update(note="draft")
        two.deeds.add(draft)
        two.delete()
        draft.refresh_from_db()
        assert (draft.firm_id, draft.note) == (None, "draft")
    assert type(other._base_manager) is models.Manager  # one that filters would hide rows


def test_what_the_error_is() -> None:
    """NumberProtected is Django's ProtectedError, an IntegrityError."""
    assert issubclass(NumberProtected, ProtectedError)
    assert issubclass(NumberProtected, IntegrityError)
    assert issubclass(NumberProtected, SequencesError)
    assert str(NumberProtected("why")) == "why"


def test_the_way_out_leaves_a_trace(using: str, made: Any) -> None:
    """Only renumber() and void() may change or delete a protected row."""
    firms, vouchers = made
    row, other = (vouchers.create(firm=firms.create()) for _ in "ab")
    row.firm = other.firm
    renumber(row)
    assert vouchers.get(pk=row.pk).number == 2
    row.number = 9
    with pytest.raises(NumberProtected):
        row.save(using=using)
    row.refresh_from_db()
    void(row, reason="", delete=True)
    assert list(vouchers) == [other]


def test_rows_that_are_numbered_while_they_are_changed(using: str, made: Any) -> None:
    """A change or deletion waits for the transaction that numbers the row, and is then refused."""
    firms, vouchers = made
    firm = firms.create()

    def save(row: Any) -> None:
        row.issued_on = date(2026, 3, 3)
        row.save(using=using)

    def delete(row: Any) -> None:
        row.delete(using=using)

    def update(row: Any) -> None:
        vouchers.filter(pk=row.pk).update(issued_on=date(2026, 3, 3))

    for act in (save, delete, update):
        draft = vouchers.create()
        errors: list[Exception] = []

        def work(act: Any = act, pk: int = draft.pk, errors: list[Any] = errors) -> None:
            try:
                act(vouchers.get(pk=pk))
            except NumberProtected as error:
                errors.append(error)
            finally:
                connections[using].close()

        other = threading.Thread(target=work)
        with transaction.atomic(using=using):
            draft.firm = firm
            assert renumber(draft)
            other.start()
            other.join(0.3)
            assert other.is_alive()
        other.join(PATIENCE)
        stored = vouchers.get(pk=draft.pk)
        assert (stored.number, stored.issued_on) == (draft.number, DAY)
    assert get_last_value(f"vouchers.{firm.pk}", using=using) == 3


def test_a_model_of_the_same_identity(using: str, made: Any) -> None:
    """A class with the same id() as a deleted protected class isn't protected."""
    row = Invoice.objects.using(using).create()
    pre_delete.connect(_refuse_deletion, sender=Invoice)
    try:
        row.delete()
    finally:
        pre_delete.disconnect(_refuse_deletion, sender=Invoice)


def test_a_model_without_numbers() -> None:
    """E052: a model without a SequenceField has nothing to protect."""
    with isolate_apps("tests.numbered"):

        class Bare(ProtectNumbered):
            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return ""

        assert "sequences_contrib.E052" in [each.id for each in Bare.check()]


def test_a_default_manager_that_does_not_protect() -> None:
    """W052: the manager of a concrete parent that is named first, or one of the model's own."""
    with isolate_apps("tests.numbered"):

        class Parent(models.Model):
            number = SequenceField()

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return str(self.number)

        class Late(Parent, ProtectNumbered):
            class Meta:
                app_label = "numbered"

        class Early(ProtectNumbered, Parent):
            class Meta:
                app_label = "numbered"

        class Own(ProtectNumbered, Parent):
            objects: Any = models.Manager()

            class Meta:
                app_label = "numbered"

        found = {model: [each.id for each in model.check()] for model in (Late, Early, Own)}
    warning = "sequences_contrib.W052"
    assert found == {Late: [warning], Early: [], Own: [warning]}


@pytest.mark.skipif(not hasattr(models, "DB_CASCADE"), reason="new in Django 6.1")
def test_deletions_by_the_database() -> None:
    """E053: the database would delete a numbered row, or change its scope, without asking."""
    with isolate_apps("tests.numbered"):
        firm = model_with("Firm")

        def found(scope: str | None, on_delete: Any) -> list[str | None]:
            key = models.ForeignKey(firm, on_delete, null=True, db_default=None)
            number = SequenceField("deeds", scope=scope, null=True)
            meta = type("Meta", (), {"app_label": "numbered"})
            fields = {"__module__": __name__, "Meta": meta, "firm": key, "number": number}
            deed: Any = type("Deed", (ProtectNumbered,), fields)
            firm._meta.apps.all_models["numbered"].pop("deed")
            return [message.id for message in deed.check() if "E05" in str(message.id)]

        expected = ["sequences_contrib.E053"]
        assert found(None, getattr(models, "DB_CASCADE")) == expected  # noqa: B009 # for mypy
        for name in ("DB_SET_NULL", "DB_SET_DEFAULT"):
            assert found("firm", getattr(models, name)) == expected
            assert found(None, getattr(models, name)) == []
        for on_delete in (models.CASCADE, models.PROTECT, models.SET_NULL, models.DO_NOTHING):
            assert found("firm", on_delete) == []


def test_one_document_posted_twice(using: str) -> None:
    """An instance that was loaded before its row had a number saves what else has changed."""
    with isolate_apps("tests.numbered"):

        class Cheque(ProtectNumbered):
            posted = models.BooleanField(default=False)
            note = models.CharField(max_length=9, default="")
            number = SequenceField("cheques", unique=True, when="posted")

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return f"{self.number}"

    with tables(using, Cheque):
        cheques = Cheque.objects.using(using)
        first = cheques.create()
        second = cheques.get()
        first.posted = second.posted = True
        second.note = "second"
        first.save(using=using)
        second.save(using=using)
        stored = cheques.get()
        assert (first.number, second.number, stored.number, stored.note) == (1, 1, 1, "second")
        second.number = 5
        with pytest.raises(NumberProtected):
            second.save(using=using)


def test_a_replica(made: tuple[Any, Any], using: str, settings: Any) -> None:
    """update() asks the database that it writes to, because a replica can be behind."""

    class Behind:
        def db_for_read(self, model: Any, **hints: Any) -> str:
            return "behind"

        def db_for_write(self, model: Any, **hints: Any) -> str:
            return using

    firms, deeds = made
    deeds.create(firm=firms.create())
    settings.DATABASE_ROUTERS = [Behind()]
    with pytest.raises(NumberProtected):
        deeds.model.objects.update(firm=None)


def test_other_arguments_of_save(using: str, made: Any) -> None:
    """A model's own ``save()`` may pass positional arguments on where Django accepts them."""
    firms, vouchers = made
    row = vouchers.create(firm=firms.create())
    row.note = "posted"
    if django.VERSION >= (6, 0):
        with pytest.raises(TypeError, match="positional"):
            row.save(False, True, using, ["note"])
        return
    warning: Any = deprecation.RemovedInDjango60Warning  # type: ignore[attr-defined,unused-ignore]
    with pytest.warns(warning, match="positional"):
        row.save(False, True, using, ["note"])
    assert vouchers.get().note == "posted"
    row.firm = firms.create()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", warning)
        with pytest.raises(NumberProtected):
            row.save(False, False, using)
        row.save(False, False, using, ["note"])
        row.refresh_from_db()
        with pytest.raises(TypeError):
            row.save(False, False, using, None, None)
        with pytest.raises(TypeError):
            row.save(False, False, using, None, using=using)
