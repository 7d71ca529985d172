"""The migration operation that lets the chosen backend prepare the database."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.operations.base import Operation

from .exceptions import BackendError
from .functions import forget_functions
from .models import Counter
from .registry import default_allocator, get_allocator


def install(connection: BaseDatabaseWrapper) -> None:
    """Let the chosen backend prepare this database; idempotent."""
    get_allocator(connection).install(connection)
    forget_functions()


def uninstall(connection: BaseDatabaseWrapper) -> None:
    """Undo what the chosen backend did to this database, and what the default one did; idempotent.

    The setting may have been another one when :func:`install` was called: most often none.
    """
    get_allocator(connection).uninstall(connection)
    with suppress(BackendError):  # then it can't have installed anything
        default_allocator(connection).uninstall(connection)
    forget_functions()


class InstallBackend(Operation):
    """Call ``Allocator.install`` on each database that holds the table of counters.

    Installing is idempotent, so after choosing another backend run it again: by a migration of
    your own with this operation, or by ``manage.py sequences install``. Backwards it undoes what
    the backend that is chosen by then installs, and what the one that "auto" stands for does.
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
        return "Prepare the database for the chosen sequences backend"
