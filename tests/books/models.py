"""The documents of two companies."""

from __future__ import annotations

from django.db import models
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.periods import FiscalYear
from sequences_contrib.texts import FormattedNumberField

YEAR = FiscalYear("issued_on", start=(4, 1), named="both")


class Company(models.Model):
    code = models.CharField(max_length=3, unique=True)

    def __str__(self) -> str:
        return self.code


class Invoice(models.Model):
    """Numbered when it is posted, per company and fiscal year."""

    company = models.ForeignKey(Company, on_delete=models.PROTECT)
    issued_on = models.DateField()
    posted = models.BooleanField(default=False)
    number = SequenceField("invoices", scope=["company", YEAR], when="posted")
    text = FormattedNumberField(
        NumberFormat("{company.code}-INV-{year}-{number:04d}", year=YEAR), max_length=40, null=True
    )

    class Meta:
        indexes = (
            models.Index(fields=["company", "number", "issued_on"], name="books_invoice_drafts"),
        )

    def __str__(self) -> str:
        return self.text or "draft"


class Project(models.Model):
    name = models.CharField(max_length=9)

    def __str__(self) -> str:
        return self.name


class Ticket(models.Model):
    """Numbered per project when it is inserted."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    number = SequenceField(unique_with="project")

    def __str__(self) -> str:
        return f"{self.project}-{self.number}"
