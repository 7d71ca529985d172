"""Models that the tests number."""

from django.db import models


class Invoice(models.Model):
    number = models.BigIntegerField()

    def __str__(self) -> str:
        return str(self.number)
