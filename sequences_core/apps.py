from django.apps import AppConfig


class SequencesConfig(AppConfig):
    name = "sequences_core"
    verbose_name = "Sequences"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401 - importing registers the system checks
