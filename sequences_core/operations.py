"""The migration operation that lets the chosen backend prepare the database."""

from __future__ import annotations

from typing import Any

from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

from .expressions import forget_functions
from .registry import get_allocator


def install(connection: BaseDatabaseWrapper) -> None:
    """Let the chosen backend prepare this database; idempotent."""
    get_allocator(connection).install(connection)
    forget_functions()


class InstallBackend(Operation):
    """Call ``Allocator.install`` on each database that holds the table of counters.

    Installing is idempotent, so after choosing another backend run it again: by a migration of
    your own with this operation, or by ``manage.py sequences install``.
    """

    reduces_to_sql = False
    reversible = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change no model."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        connection = schema_editor.connection
        if router.allow_migrate(connection.alias, "sequences_core", model_name="counter"):
            install(connection)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        connection = schema_editor.connection
        if router.allow_migrate(connection.alias, "sequences_core", model_name="counter"):
            get_allocator(connection).uninstall(connection)
            forget_functions()

    def describe(self) -> str:
        return "Prepare the database for the chosen sequences backend"
