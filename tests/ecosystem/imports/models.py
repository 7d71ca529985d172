"""Numbered models that django-import-export fills."""

from __future__ import annotations

from django.db import models
from sequences_contrib.fields import SequenceField


class Invoice(models.Model):
    number = SequenceField("invoices", unique=True)
    customer = models.CharField(max_length=20)

    def __str__(self) -> str:
        return f"{self.number}"


class Ticket(models.Model):
    project = models.CharField(max_length=20)
    number = SequenceField("tickets", unique_with="project")
    title = models.CharField(max_length=20, unique=True)

    def __str__(self) -> str:
        return f"{self.project}-{self.number}"
