"""django-autosequence's field, as in its README: one sequence per table, or per scope."""

from autosequence import AutoSequenceField
from django.db import models


class AutoInvoice(models.Model):
    scope = models.CharField(max_length=40)
    number = AutoSequenceField()

    def __str__(self) -> str:
        return f"{self.scope} {self.number}"


class ScopedAutoInvoice(models.Model):
    scope = models.CharField(max_length=40)
    number = AutoSequenceField(unique_with="scope")

    def __str__(self) -> str:
        return f"{self.scope} {self.number}"
