from django.apps import AppConfig
from django.core.signals import setting_changed
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class SequencesConfig(AppConfig):
    name = "sequences_core"
    verbose_name = _("Sequences")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # These modules need the model, which can't be imported earlier.
        from . import checks  # noqa: F401 - importing registers the system checks
        from .early_release import forget_durabilities
        from .functions import forget_functions, make_function
        from .operations import install_without_migrations
        from .registry import forget_allocators
        from .waits import read_slow_wait

        changes = (forget_allocators, forget_functions, forget_durabilities, read_slow_wait)
        for receiver in changes:
            setting_changed.connect(receiver, dispatch_uid=receiver)
            receiver()  # a setting may have changed before
        post_migrate.connect(
            install_without_migrations, sender=self, dispatch_uid=install_without_migrations
        )
        connection_created.connect(make_function, dispatch_uid=make_function)
        for connection in connections.all(initialized_only=True):
            if connection.connection is not None:  # another app's ready() has opened it
                make_function(connection)
