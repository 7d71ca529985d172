"""The row that gets a number."""

from django.db import models


class Invoice(models.Model):
    """Without a unique constraint, so that a number given twice can't hide behind an error."""

    scope = models.CharField(max_length=40)
    number = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.scope} {self.number}"
