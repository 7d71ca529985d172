"""Numbered models whose events django-pghistory keeps, by triggers."""

from __future__ import annotations

from typing import Any

import pghistory as typeless
from django.db import models
from sequences_contrib.fields import SequenceField

pghistory: Any = typeless  # some of its functions have types, and some have none


@pghistory.track()
class Invoice(models.Model):
    number = SequenceField("invoices", unique=True)
    note = models.CharField(max_length=20, default="")

    def __str__(self) -> str:
        return f"{self.number}"


@pghistory.track(pghistory.InsertEvent(), pghistory.DeleteEvent(), pghistory.ManualEvent("manual"))
class Ticket(models.Model):
    project = models.CharField(max_length=20)
    number = SequenceField("tickets", unique_with="project")

    def __str__(self) -> str:
        return f"{self.project}-{self.number}"


class Parcel(models.Model):
    number = SequenceField("parcels", scope="shop", null=True)
    shop = models.CharField(max_length=20, null=True)  # noqa: DJ001 - null is "no number"

    def __str__(self) -> str:
        return f"{self.shop}-{self.number}"


ParcelEventBase: Any = pghistory.create_event_model(
    Parcel, fields=["number"], obj_field=pghistory.ObjForeignKey(related_name="+")
)


class ParcelEvent(ParcelEventBase):  # type: ignore[misc] # it is made at run time
    """An event model of one's own, of which the number is one of few fields."""
