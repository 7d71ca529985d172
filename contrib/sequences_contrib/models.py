"""The register of void numbers. It needs ``"sequences_contrib"`` in ``INSTALLED_APPS``."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sequences_core.models import NameField


class Void(models.Model):
    """A number that is void, and why. ``record_void()`` creates the entry."""

    counter = NameField(_("counter"), max_length=255, help_text=_("the name of the counter"))
    number = models.BigIntegerField(_("number"))
    text = models.CharField(
        _("text"),
        max_length=255,
        blank=True,
        default="",
        help_text=_("the number as it was printed"),
    )
    reason = models.TextField(_("reason"), blank=True, default="")
    who = models.CharField(_("who"), max_length=255, blank=True, default="")
    when = models.DateTimeField(_("when"), default=timezone.now)

    class Meta:
        verbose_name = _("void number")
        verbose_name_plural = _("void numbers")
        constraints = [
            models.UniqueConstraint(fields=["counter", "number"], name="sequences_contrib_one_void")
        ]

    def __str__(self) -> str:
        return f"{self.counter}: {self.number}"


class Audit(Void):
    """A proxy model that lists the audit pages in the admin, which can list only models."""

    class Meta:
        proxy = True
        default_permissions = ()  # the pages check the permissions of the numbered models
        verbose_name = _("audit of numbers")
        verbose_name_plural = _("audit of numbers")
