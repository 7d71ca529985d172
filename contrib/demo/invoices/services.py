"""Issuing an invoice: one transaction, run again if it lost a conflict with another one."""

from __future__ import annotations

from decimal import Decimal

from invoices.models import Invoice, PlainInvoice
from sequences_core import get_next_value, retry_atomic


@retry_atomic()
def issue_invoice(customer: str, amount: Decimal) -> Invoice:
    """Issue an invoice with the next number; whatever fails in here gives the number back."""
    # Others wait from here to the commit: do what takes long, such as a look-up, before.
    number = get_next_value("invoices")
    return Invoice.objects.create(number=number, customer=customer, amount=amount)


@retry_atomic()
def issue_plain_invoice(customer: str, amount: Decimal) -> PlainInvoice:
    """Issue an invoice with whatever number the database's auto-increment gives it."""
    return PlainInvoice.objects.create(customer=customer, amount=amount)
