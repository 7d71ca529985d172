from django.apps import AppConfig


class SequencesContribConfig(AppConfig):
    """The app is in INSTALLED_APPS only where the register of voids is wanted."""

    name = "sequences_contrib"
    verbose_name = "Sequences: void numbers"
    default_auto_field = "django.db.models.BigAutoField"
