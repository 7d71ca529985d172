"""Issue an invoice in one transaction, in four ways."""

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
"""Which database do the other ways use? On SQLite, one with the settings that Django has."""

atomic_today = transaction.atomic(using=TODAY)


@retry_atomic()
def issue_invoice(customer: str, amount: Decimal) -> Invoice:
    """Issue an invoice with the next number; whatever fails in here gives the number back."""
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
    """Issue an invoice with the number that the database's auto-increment gives it."""
    return AutoInvoice.objects.using(TODAY).create(customer=customer, amount=amount)


SERVICES: dict[str, Callable[[str, Decimal], Any]] = {
    "SequenceField": issue_invoice,
    "MAX + 1": issue_by_max,
    "COUNT + 1": issue_by_count,
    "auto-increment": issue_by_auto_increment,
}
"""The ways to number an invoice, as the demo calls them."""
