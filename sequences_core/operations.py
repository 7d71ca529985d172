"""The migration operation that lets the configured backend prepare the database."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from .exceptions import BackendError
from .functions import forget_functions, has_function
from .models import Counter, has_table
from .registry import default_allocator, get_allocator


def install(connection: BaseDatabaseWrapper) -> None:
    """Let the configured backend prepare this database; idempotent."""
    get_allocator(connection).install(connection)
    forget_functions()


def uninstall(connection: BaseDatabaseWrapper) -> None:
    """Uninstall the configured backend and the default one from this database; idempotent.

    The setting may have been different, usually unset, when :func:`install` was called.
    """
    get_allocator(connection).uninstall(connection)
    with suppress(BackendError):  # without a default backend, there is nothing to uninstall
        default_allocator(connection).uninstall(connection)
    forget_functions()


def install_without_migrations(*, using: str, **kwargs: Any) -> None:
    """Install the backend if migrations are disabled, as in tests: a receiver of ``post_migrate``.

    Then ``migrate --run-syncdb`` has created the table from the model.
    """
    module, _ = MigrationLoader.migrations_module(Counter._meta.app_label)
    if module is None and router.allow_migrate_model(using, Counter):
        connection = connections[using]
        if not has_function(connection) and has_table(connection):
            install(connection)


class InstallBackend(Operation):
    """Call ``Allocator.install`` on each database where the router allows the table of counters.

    Installing is idempotent. After you have configured another backend, install it by a migration
    of your own with this operation, or by ``manage.py sequences install``. The reverse operation
    uninstalls the currently configured backend and the default one.
    """

    reduces_to_sql = False
    reversible = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change no model."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if router.allow_migrate_model(schema_editor.connection.alias, Counter):
            install(schema_editor.connection)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if router.allow_migrate_model(schema_editor.connection.alias, Counter):
            uninstall(schema_editor.connection)

    def describe(self) -> str:
        return "Prepare the database for the configured sequences backend"
