"""What is numbered while the power fails."""

from django.db import models
from sequences_contrib.fields import SequenceField


class Invoice(models.Model):
    number = SequenceField("invoices")
    text = models.TextField()

    def __str__(self) -> str:
        return str(self.number)
