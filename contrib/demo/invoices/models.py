"""Invoices, numbered in two ways."""

from __future__ import annotations

from django.db import models


class Invoice(models.Model):
    """An invoice with a gapless number."""

    # In your model say unique=True. Here a duplicate shall show up in the count, not be refused.
    number = models.PositiveBigIntegerField()
    customer = models.CharField(max_length=100)
    amount = models.DecimalField(max_digits=10, decimal_places=2)

    def __str__(self) -> str:
        return f"Invoice {self.number} for {self.customer}"


class PlainInvoice(models.Model):
    """The same, numbered by the database's auto-increment."""

    number = models.BigAutoField(primary_key=True)
    customer = models.CharField(max_length=100)
    amount = models.DecimalField(max_digits=10, decimal_places=2)

    def __str__(self) -> str:
        return f"Plain invoice {self.number} for {self.customer}"
