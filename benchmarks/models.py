"""The numbered models.

They have no unique constraint where the package allows that, so that a duplicate is stored and
found. Those of Posting have the constraint and the index that docs/posting.rst recommends.
"""

from __future__ import annotations

from autosequence import AutoSequenceField
from django.db import connection, models
from django.db.backends.signals import connection_created
from django.db.models import Index, Q, UniqueConstraint
from django_seq.models import SequenceField as SeqField
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.texts import FormattedNumberField

from tests.app.apps import read_committed

connection_created.connect(read_committed)


class Row(models.Model):
    scope = models.CharField(max_length=40)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.scope} {getattr(self, 'number', None)}"


class Invoice(Row):
    number = models.BigIntegerField()


class FieldInvoice(Row):
    number = SequenceField("benchmarks", scope="scope")


class SeqInvoice(Row):
    """django-seq's field, keyed as in its README."""

    number = SeqField(key=["benchmarks", models.F("scope")])


class AutoInvoice(Row):
    """django-autosequence's field, as in its README: one sequence for the table."""

    number = AutoSequenceField()


class ScopedAutoInvoice(Row):
    """The same field with one sequence for each scope."""

    number = AutoSequenceField(unique_with="scope")


PARTIAL = connection.features.supports_partial_indexes
NUMBERED, DRAFTS = (Q(number__isnull=null) if PARTIAL else None for null in (False, True))
COLUMNS = ["company", "issued_on", "id"] if PARTIAL else ["company", "number", "issued_on"]


class Document(models.Model):
    company = models.IntegerField()
    issued_on = models.DateField()
    posted = models.BooleanField(default=False)

    class Meta:
        abstract = True
        constraints = [
            UniqueConstraint(
                fields=["company", "number"], condition=NUMBERED, name="%(class)s_once"
            )
        ]
        indexes = [Index(fields=COLUMNS, condition=DRAFTS, name="%(class)s_drafts")]

    def __str__(self) -> str:
        return f"{self.company} {getattr(self, 'number', None)}"


class Posted(Document):
    number = SequenceField("posted", scope="company", when="posted")


class Bill(Document):
    number = SequenceField("bills", scope="company", when="posted")
    text = FormattedNumberField(
        NumberFormat("INV-{company}-{number:05d}"), max_length=40, null=True
    )


class PostedByHand(Document):
    """The table of Posted, for contestants that assign the numbers themselves."""

    number = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = Posted._meta.db_table


class BillByHand(Document):
    """The table of Bill, for contestants that assign the numbers themselves."""

    number = models.BigIntegerField(null=True)
    text = models.CharField(max_length=40, null=True)  # noqa: DJ001 # until it is posted

    class Meta:
        managed = False
        db_table = Bill._meta.db_table
