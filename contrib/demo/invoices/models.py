"""Invoices that are numbered by different methods."""

from __future__ import annotations

from django.db import models
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.periods import Year
from sequences_contrib.texts import FormattedNumberField


class Document(models.Model):
    """The fields of all invoices, except for the number."""

    customer = models.CharField(max_length=100)
    amount = models.DecimalField(max_digits=10, decimal_places=2)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"Invoice {self.pk} for {self.customer}"


class Invoice(Document):
    """An invoice with a gapless number."""

    # Use unique=True in your model. Here, a duplicate must be stored, so that the demo can show it.
    number = SequenceField("invoices")


class MaxInvoice(Document):
    """An invoice numbered by ``MAX(number) + 1``."""

    number = models.PositiveBigIntegerField(unique=True)


class CountInvoice(Document):
    """An invoice numbered by the count of invoices, plus one."""

    number = models.PositiveBigIntegerField(unique=True)


class AutoInvoice(Document):
    """An invoice numbered by the database's auto-increment."""

    number = models.BigAutoField(primary_key=True)


class PostedInvoice(Document):
    """An invoice that is numbered per year when it is posted."""

    issued_on = models.DateField()
    posted = models.BooleanField(default=False)
    number = SequenceField("posted invoices", scope=Year("issued_on"), when="posted")
    text = FormattedNumberField(
        NumberFormat("INV-{issued_on:%Y}-{number:04d}"), max_length=40, null=True
    )

    def __str__(self) -> str:
        return self.text or "draft"
