"""Numbered models that django-reversion keeps versions of."""

from __future__ import annotations

import reversion
from django.db import models
from sequences_contrib.fields import SequenceField


@reversion.register()
class Invoice(models.Model):
    number = SequenceField("invoices", unique=True)
    note = models.CharField(max_length=20, default="")

    def __str__(self) -> str:
        return f"{self.number}"


@reversion.register()
class Seat(models.Model):
    """Takes the numbers of deleted rows."""

    room = models.CharField(max_length=20)
    number = SequenceField("seats", unique_with="room", reuse="gaps")

    def __str__(self) -> str:
        return f"{self.room} {self.number}"
