"""The register of void numbers, there only if ``"sequences_contrib"`` is in INSTALLED_APPS."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sequences_core.models import NameField


class Void(models.Model):
    """A number that was given and that no row has any more; made by ``record_void()``."""

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
    """The audit pages' place in the admin, which has places for models only."""

    class Meta:
        proxy = True
        default_permissions = ()  # a page is for those who may view the models that it is about
        verbose_name = _("audit of numbers")
        verbose_name_plural = _("audit of numbers")
