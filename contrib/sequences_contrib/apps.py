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
        # Only now, because these imports need the models to be loaded.
        from sequences_core.taking import OUR_MODELS

        from .models import Void
        from .voids import follow_rename

        OUR_MODELS.add(Void)
        sequence_renamed.connect(follow_rename, dispatch_uid=follow_rename)
