from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SequencesContribConfig(AppConfig):
    """The app is in INSTALLED_APPS only where the register of voids and the pages are wanted."""

    name = "sequences_contrib"
    verbose_name = _("Sequences: audit")
    default_auto_field = "django.db.models.BigAutoField"
