from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from sequences_core.signals import sequence_renamed


class SequencesContribConfig(AppConfig):
    """The app is in INSTALLED_APPS only where the register of voids and the pages are wanted."""

    name = "sequences_contrib"
    verbose_name = _("Sequences: audit")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from .voids import follow_rename  # which needs the models

        sequence_renamed.connect(follow_rename, dispatch_uid=follow_rename)
