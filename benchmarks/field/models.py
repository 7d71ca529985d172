"""SequenceField, one sequence per scope."""

from django.db import models
from sequences_contrib.fields import SequenceField


class FieldInvoice(models.Model):
    scope = models.CharField(max_length=40)
    number = SequenceField("benchmarks", scope="scope")

    def __str__(self) -> str:
        return f"{self.scope} {self.number}"
