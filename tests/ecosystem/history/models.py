"""Numbered models whose changes django-simple-history keeps."""

from __future__ import annotations

from django.db import models
from sequences_contrib.fields import SequenceField
from simple_history.models import HistoricalRecords


class Invoice(models.Model):
    number = SequenceField("invoices", unique=True)
    note = models.CharField(max_length=20, default="")
    history = HistoricalRecords()

    def __str__(self) -> str:
        return f"{self.number}"


class Ticket(models.Model):
    project = models.CharField(max_length=20)
    number = SequenceField("tickets", unique_with="project")
    title = models.CharField(max_length=20, default="")
    history = HistoricalRecords()

    def __str__(self) -> str:
        return f"{self.project}-{self.number}"


class Parcel(models.Model):
    """Numbered only once it has a shop; its numbers are given again."""

    shop = models.CharField(max_length=20, null=True)  # noqa: DJ001 - null is "no number"
    number = SequenceField("parcels", scope="shop", null=True, reuse="gaps")
    history = HistoricalRecords()

    def __str__(self) -> str:
        return f"{self.shop}-{self.number}"
