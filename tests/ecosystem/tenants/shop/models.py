"""The numbered models of each tenant."""

from __future__ import annotations

from django.db import models
from sequences_contrib.fields import SequenceField


class Invoice(models.Model):
    number = SequenceField("invoices", unique=True)
    note = models.CharField(max_length=20, default="")

    def __str__(self) -> str:
        return f"{self.number}"


class Ticket(models.Model):
    project = models.CharField(max_length=20)
    number = SequenceField("tickets", unique_with="project")

    def __str__(self) -> str:
        return f"{self.project}-{self.number}"


class Payment(models.Model):
    """Numbered by ``NextValue``."""

    number = models.BigIntegerField(unique=True)

    def __str__(self) -> str:
        return f"{self.number}"
