"""django-seq's field, keyed as in its README."""

from django.db import models
from django_seq.models import SequenceField


class SeqInvoice(models.Model):
    scope = models.CharField(max_length=40)
    number = SequenceField(key=["benchmarks", models.F("scope")])

    def __str__(self) -> str:
        return f"{self.scope} {self.number}"
