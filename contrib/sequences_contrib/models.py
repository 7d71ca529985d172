"""The register of void numbers, there only if ``"sequences_contrib"`` is in INSTALLED_APPS."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from sequences_core.models import NameField


class Void(models.Model):
    """A number that was given and that no row has any more; made by ``record_void()``."""

    counter = NameField(max_length=255, help_text="the name of the counter")
    number = models.BigIntegerField()
    text = models.CharField(
        max_length=255, blank=True, default="", help_text="the number as it was printed"
    )
    reason = models.TextField(blank=True, default="")
    who = models.CharField(max_length=255, blank=True, default="")
    when = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["counter", "number"], name="sequences_contrib_one_void")
        ]

    def __str__(self) -> str:
        return f"{self.counter}: {self.number}"
