"""Issue an invoice in one transaction, by different methods."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from invoices.models import AutoInvoice, CountInvoice, Invoice, MaxInvoice
from sequences_core import retry_atomic

TODAY = "as_django_does" if "as_django_does" in settings.DATABASES else "default"
"""The database of the other methods: on SQLite, one with Django's default settings."""

atomic_today = transaction.atomic(using=TODAY)


@retry_atomic()
def issue_invoice(customer: str, amount: Decimal) -> Invoice:
    """Issue an invoice with the next number. If it fails, the rollback gives the number back."""
    return Invoice.objects.create(customer=customer, amount=amount)


@atomic_today
def issue_by_max(customer: str, amount: Decimal) -> MaxInvoice:
    """Issue an invoice with the number after the highest one."""
    invoices = MaxInvoice.objects.using(TODAY)
    highest = invoices.aggregate(highest=Max("number"))["highest"] or 0
    return invoices.create(number=highest + 1, customer=customer, amount=amount)


@atomic_today
def issue_by_count(customer: str, amount: Decimal) -> CountInvoice:
    """Issue an invoice whose number is the count of invoices, plus one."""
    invoices = CountInvoice.objects.using(TODAY)
    number = invoices.count() + 1
    return invoices.create(number=number, customer=customer, amount=amount)


@atomic_today
def issue_by_auto_increment(customer: str, amount: Decimal) -> AutoInvoice:
    """Issue an invoice with a number from the database's auto-increment."""
    return AutoInvoice.objects.using(TODAY).create(customer=customer, amount=amount)


SERVICES: dict[str, Callable[[str, Decimal], Any]] = {
    "SequenceField": issue_invoice,
    "MAX + 1": issue_by_max,
    "COUNT + 1": issue_by_count,
    "auto-increment": issue_by_auto_increment,
}
"""The methods, by the names that the demo shows."""
