"""Which fields use a sequence, as the models say it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections, models
from django.test.utils import isolate_apps

from sequences_core import NextValue
from sequences_core.users import fields_using
from tests.numbered.models import Bill, Invoice

pytestmark = pytest.mark.django_db

EXPECTED = {
    "pages": ["numbered.Document.page"],
    "numbered_plain.number": ["numbered.Plain.number"],
    "numbered_creditnote.number": ["numbered.CreditNote.number"],
    "numbered_specialinvoice.own": ["numbered.SpecialInvoice.own"],
    "receipts.r.7": ["numbered.Receipt.number"],
    "receipts.x.7.8": [],  # a text too many
    "bills.1.2026": ["numbered.Bill.number"],
    "bills.1%2E2.2026": ["numbered.Bill.number"],
    "bills": [],
    "Pages": [],
    "numbered_document.number.a.x": ["numbered.Document.number"],
    "nobody's": [],
}


def test_fields_are_found_by_the_names_of_their_counters() -> None:
    """A scoped field uses every name that it could make; proxies and abstract models add none."""
    assert fields_using(EXPECTED, "default") == EXPECTED


def test_all_fields_of_a_sequence_are_named() -> None:
    """Two models may share one."""
    found = fields_using(["invoices", "invoices.1.2026"], "default")
    assert found == {
        "invoices": ["numbered.Invoice.number"],
        "invoices.1.2026": ["books.Invoice.number"],
    }


@isolate_apps("tests.app")
def test_a_default_of_the_database_is_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """NextValue in ``db_default`` uses its sequence, inside another expression too."""

    class Order(models.Model):
        number = models.BigIntegerField(db_default=NextValue("orders") + 1000)
        other = models.BigIntegerField(db_default=NextValue(models.functions.Lower("number")))
        plain = models.BigIntegerField(db_default=3)

        class Meta:
            app_label = "app"

        def __str__(self) -> str:
            return f"{self.number}"

    apps = Order._meta.apps
    monkeypatch.setattr("sequences_core.users.apps", apps)
    assert fields_using(["orders", "default"], "default") == {
        "orders": ["app.Order.number"],
        "default": [],
    }


class NoBooks:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label != "books"


def test_the_router_says_which_models_a_database_has(settings: Any) -> None:
    """A model whose table is elsewhere uses no counter of this database."""
    settings.DATABASE_ROUTERS = ["tests.test_users.NoBooks"]
    assert fields_using(["invoices.1.2026"], "default") == {"invoices.1.2026": []}


def test_a_field_says_what_its_rows_use() -> None:
    """The name of each counter that numbers a row is one that its field claims; a copy has none."""
    connection = connections["default"]
    for model, row in ((Invoice, Invoice()), (Bill, Bill(company_id=3, issued_on="2026-05-01"))):
        field: Any = model._meta.get_field("number")
        (name,) = field.names_of([row], connection)
        assert field.uses_sequence(name)
        copied = field.__copy__()
        assert not copied.uses_sequence(name)
