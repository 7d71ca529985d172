from django.apps import AppConfig

from sequences_core.signals import sequence_renamed


class SequencesContribConfig(AppConfig):
    """The app is in INSTALLED_APPS only where the register of voids is wanted."""

    name = "sequences_contrib"
    verbose_name = "Sequences: void numbers"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from .voids import follow_rename  # which needs the models

        sequence_renamed.connect(follow_rename, dispatch_uid=follow_rename)
