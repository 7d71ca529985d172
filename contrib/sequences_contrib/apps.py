from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from sequences_core.signals import sequence_renamed


class SequencesContribConfig(AppConfig):
    """The app, which adds the register of voids and the audit pages.

    The fields and functions of the package work without it in ``INSTALLED_APPS``.
    """

    name = "sequences_contrib"
    verbose_name = _("Sequences: audit")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from .voids import follow_rename  # only now: the import needs the models to be loaded

        sequence_renamed.connect(follow_rename, dispatch_uid=follow_rename)
