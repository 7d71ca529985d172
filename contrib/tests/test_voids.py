"""The register of void numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.db.models.signals import post_save
from sequences_contrib.afterwards import void
from sequences_contrib.models import Void
from sequences_contrib.voids import record_void

from tests.numbered.blocks import PATIENCE
from tests.numbered.models import Invoice, Project, Ticket

APPS = ["sequences_contrib", "tests.numbered"]


@contextmanager
def when_recorded(receiver: Callable[..., None]) -> Iterator[None]:
    """Call the receiver when a void is stored."""
    post_save.connect(receiver, Void)
    try:
        yield
    finally:
        post_save.disconnect(receiver, Void)


def refuse(**kwargs: Any) -> None:
    raise IntegrityError("refused by a receiver")


def voids(using: str) -> list[tuple[str, int]]:
    return list(Void.objects.using(using).order_by("pk").values_list("counter", "number"))


def test_a_deleted_rows_number_is_recorded(using: str) -> None:
    """The register keeps counter, number, text, reason, who, and when."""
    Invoice.objects.using(using).create()
    Invoice.objects.using(using).create().delete()
    made = record_void("invoices", 2, text="INV-2", reason="spoilt", user="Ada", using=using)
    made.refresh_from_db()
    assert (made.counter, made.number, made.text) == ("invoices", 2, "INV-2")
    assert (made.reason, made.who) == ("spoilt", "Ada")
    assert made.when.tzinfo is not None
    assert Invoice.objects.using(using).create().number == 3


def test_it_belongs_to_the_transaction(using: str) -> None:
    """A deletion and its void are committed together, or not at all."""
    invoice = Invoice.objects.using(using).create()
    with transaction.atomic(using=using):
        invoice.delete()
        record_void("invoices", 1, using=using)
        transaction.set_rollback(True, using=using)
    assert voids(using) == []
    with transaction.atomic(using=using):
        row = Invoice.objects.using(using).create()
        row.delete()
        record_void("invoices", 2, using=using)
    assert voids(using) == [("invoices", 2)]


def test_what_was_never_taken_is_no_void(using: str) -> None:
    """A number above the counter, or without a counter, can't be void."""
    with pytest.raises(ValueError, match="never taken: the counter doesn't exist"):
        record_void("invoices", 1, using=using)
    Invoice.objects.using(using).create().delete()
    remedy = rf"manage\.py sequences sync --apply --database={using}$"
    with pytest.raises(ValueError, match=f"never taken: the counter is at 1 .* {remedy}"):
        record_void("invoices", 2, using=using)
    assert voids(using) == []


def test_a_second_void_is_refused(using: str) -> None:
    """The error leaves the caller's transaction usable; another counter's number is its own."""
    Invoice.objects.using(using).create().delete()
    project = Project.objects.using(using).create()
    Ticket.objects.using(using).create(project=project).delete()
    with transaction.atomic(using=using):
        record_void("invoices", 1, using=using)
        with pytest.raises(ValueError, match="already void"):
            record_void("invoices", 1, using=using)
        record_void(f"numbered_ticket.number.{project.pk}", 1, using=using)
    assert len(voids(using)) == 2


def test_a_number_that_a_row_has_is_refused(using: str) -> None:
    """The row is looked for in the counter's own scope, unless the caller keeps it."""
    one, two = (Project.objects.using(using).create() for _ in range(2))
    kept = Ticket.objects.using(using).create(project=one)
    Ticket.objects.using(using).create(project=two).delete()
    with pytest.raises(ValueError, match=f"numbered.Ticket {kept.pk} has it"):
        record_void(f"numbered_ticket.number.{one.pk}", 1, using=using)
    record_void(f"numbered_ticket.number.{two.pk}", 1, using=using)
    record_void(f"numbered_ticket.number.{one.pk}", 1, row_kept=True, using=using)


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"counter": 1}, TypeError, "counter must be a str"),
    ({"counter": ""}, ValueError, "characters"),
    ({"counter": "a "}, ValueError, "white space"),
    ({"number": True}, TypeError, "number must be an int"),
    ({"number": -1}, ValueError, "between 0"),
    ({"number": 2**63}, ValueError, "between 0"),
    ({"text": None}, TypeError, "text must be a str"),
    ({"text": "x" * 256}, ValueError, "more than 255"),
    ({"user": "x" * 256}, ValueError, "more than 255"),
    ({"reason": "a\0b"}, ValueError, "must not have NUL"),
]


@pytest.mark.parametrize(("wrong", "error", "text"), BAD)
def test_bad_arguments(wrong: dict[str, Any], error: type[Exception], text: str) -> None:
    """Invalid arguments raise the same error on every database, without a query."""
    arguments: dict[str, Any] = {"counter": "invoices", "number": 1} | wrong
    with pytest.raises(error, match=text):
        record_void(**arguments)


def test_the_app_must_be_installed(settings: Any) -> None:
    """Without the app, there is no table; the error contains the remedy."""
    apps = [app for app in settings.INSTALLED_APPS if app != "sequences_contrib"]
    settings.INSTALLED_APPS = apps
    with pytest.raises(ImproperlyConfigured, match="INSTALLED_APPS"):
        record_void("invoices", 1)


def test_it_waits_for_who_holds_the_counter(using: str) -> None:
    """A row that gets the number at the same moment is seen: the counter is locked first."""
    errors: list[str] = []

    def void() -> None:
        try:
            record_void("invoices", 1, using=using)
        except ValueError as error:
            errors.append(str(error))
        finally:
            connections[using].close()

    rows = Invoice.objects.using(using)
    rows.create().delete()
    other = threading.Thread(target=void)
    with transaction.atomic(using=using):
        rows.create(number=1)
        other.start()
        other.join(0.3)
        assert other.is_alive()
    other.join(PATIENCE)
    assert len(errors) == 1
    assert "has it" in errors[0]


@pytest.mark.django_db
def test_the_migration_is_complete() -> None:
    """Makemigrations finds nothing to do."""
    call_command("makemigrations", "sequences_contrib", "--check", "--dry-run", verbosity=0)


def test_an_error_of_a_receiver_is_its_own(using: str) -> None:
    """It doesn't mean that the number is void already."""

    Invoice.objects.using(using).create().delete()
    with when_recorded(refuse), pytest.raises(IntegrityError, match="refused by a receiver"):
        record_void("invoices", 1, using=using)
    assert voids(using) == []


def test_after_an_error_the_row_can_be_made_void_again(using: str) -> None:
    """The deletion is undone, and with it what Django has changed on the instance."""

    invoice = Invoice.objects.using(using).create()
    key = invoice.pk
    with when_recorded(refuse), pytest.raises(IntegrityError, match="refused by a receiver"):
        void(invoice, reason="spoilt", delete=True, using=using)
    assert invoice.pk == key
    assert Invoice.objects.using(using).filter(pk=key).exists()
    void(invoice, reason="spoilt", delete=True, using=using)
    assert invoice.pk is None
    assert voids(using) == [("invoices", 1)]


def test_after_a_rollback_the_row_can_be_made_void_again(using: str) -> None:
    """Django doesn't tell instances of a rollback: the primary key is None until it is needed."""
    invoice = Invoice.objects.using(using).create()
    for _ in range(2):
        with transaction.atomic(using=using):
            void(invoice, reason="spoilt", delete=True, using=using)
            transaction.set_rollback(True, using=using)
    void(invoice, reason="spoilt", delete=True, using=using)
    assert voids(using) == [("invoices", 1)]


def test_a_hook_that_fails_after_the_commit_changes_nothing(using: str) -> None:
    """The row is deleted then, so the instance has no primary key."""

    def fail() -> None:
        raise RuntimeError("a hook")

    def register(**kwargs: Any) -> None:
        transaction.on_commit(fail, using=using)

    invoice = Invoice.objects.using(using).create()
    with when_recorded(register), pytest.raises(RuntimeError, match="a hook"):
        void(invoice, reason="spoilt", delete=True, using=using)
    assert invoice.pk is None
    assert voids(using) == [("invoices", 1)]
