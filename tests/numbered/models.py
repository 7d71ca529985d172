"""Models that SequenceField numbers, one for each of its options."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Value
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.periods import FiscalYear, Month, Year
from sequences_contrib.texts import FormattedNumberField


class Company(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Project(models.Model):
    company = models.ForeignKey(Company, on_delete=models.CASCADE, null=True)
    code = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.code


class Invoice(models.Model):
    number = SequenceField("invoices", unique=True)
    note = models.CharField(max_length=50, default="", unique=False)

    def __str__(self) -> str:
        return f"{self.number}"


class Plain(models.Model):
    """The default name; a constraint that a save can fail by."""

    number = SequenceField()
    code = models.CharField(max_length=50, unique=True)

    def __str__(self) -> str:
        return self.code


class Ticket(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    number = SequenceField(unique_with="project")
    title = models.CharField(max_length=50, default="")

    def __str__(self) -> str:
        return f"{self.project}-{self.number}"


class Receipt(models.Model):
    """Numbered by company, if there is one."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True)
    number = SequenceField("receipts", scope=[Value("r"), F("project__company")], null=True)

    def __str__(self) -> str:
        return f"{self.number}"


def by_kind(document: Any) -> list[str] | None:
    return [document.kind, "x"] if document.kind else None


def after_hundred(document: Any) -> int:
    return 100


class Document(models.Model):
    kind = models.CharField(max_length=50, default="", blank=True)
    number = SequenceField(scope=by_kind, null=True, initial_value=after_hundred)
    page = SequenceField("pages", initial_value=0, reset_value=3)

    def __str__(self) -> str:
        return self.kind


class Seat(models.Model):
    """Takes over the numbers of deleted rows."""

    room = models.CharField(max_length=50)
    number = SequenceField(unique_with=("room",), initial_value=0, reuse="gaps")
    label = SequenceField(scope="room", reuse="last")

    class Meta:
        indexes = [models.Index(fields=["room", "label"], name="numbered_seat_label")]

    def __str__(self) -> str:
        return f"{self.room} {self.number}"


class Patient(models.Model):
    number = SequenceField("patients", nowait=True, db_column="no", primary_key=True)

    def __str__(self) -> str:
        return f"{self.number}"


class Delivery(models.Model):
    """Numbered when it is posted."""

    kind = models.CharField(max_length=9, default="a")
    posted = models.BooleanField(default=False)
    number = SequenceField("deliveries", when="posted", unique=True)

    def __str__(self) -> str:
        return f"{self.number}"


class Voucher(models.Model):
    """Numbered when it is posted, by company, which may be gone, and month."""

    company = models.ForeignKey(Company, models.DO_NOTHING, null=True, db_constraint=False)
    issued_on = models.DateField("date of issue")
    posted = models.BooleanField(default=False)
    number = SequenceField("vouchers", scope=["company", Month("issued_on")], when="posted")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["company", "issued_on", "number"], name="numbered_voucher_number"
            )
        ]

    def __str__(self) -> str:
        return f"{self.number}"


class Numbered(models.Model):
    number = SequenceField()

    class Meta:
        abstract = True


class CreditNote(Numbered):
    reason = models.CharField(max_length=50, default="")

    def __str__(self) -> str:
        return f"{self.number}"


class SpecialInvoice(Invoice):
    """Multi-table inheritance: the parent's row has the number, and this one its own."""

    own = SequenceField()


class InvoiceProxy(Invoice):
    class Meta:
        proxy = True


class First(models.Model):
    """A number before the primary key, which MySQL must return all the same."""

    number = SequenceField()
    id = models.BigAutoField(primary_key=True)

    def __str__(self) -> str:
        return f"{self.number}"


AUCKLAND = Year("sent_at", tz="Pacific/Auckland")
FISCAL = FiscalYear("issued_on", start=(4, 1))


class Bill(models.Model):
    """Numbered by company and fiscal year, as text too; drafts of no company have no number."""

    company = models.ForeignKey(Company, on_delete=models.CASCADE, null=True)
    issued_on = models.DateField()
    number = SequenceField("bills", scope=["company", FISCAL], null=True)
    text = FormattedNumberField(
        NumberFormat("B{company.pk}/{year}-{number:04d}", year=FISCAL), max_length=50, null=True
    )
    sheet = models.IntegerField(unique=True, null=True)

    def __str__(self) -> str:
        return f"{self.text}"


class Dispatch(models.Model):
    """The text before the number, by the year of a moment in Auckland."""

    ref = FormattedNumberField(
        NumberFormat("D{year}-{number:05d}", year=AUCKLAND),
        number="no",
        max_length=30,
    )
    sent_at = models.DateTimeField()
    no = SequenceField("dispatches", scope=AUCKLAND)

    def __str__(self) -> str:
        return f"{self.ref}"
