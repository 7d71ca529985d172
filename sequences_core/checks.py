"""System checks: what would break the promise, said before it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from .allocator import FUNCTION
from .exceptions import BackendError
from .models import Counter, has_table
from .registry import get_allocator


@register()
def check_settings(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Check the settings of every database that holds the table of counters."""
    mode = getattr(settings, "SEQUENCES_AUTOCOMMIT", "warn")
    if mode not in {"allow", "warn", "error"}:
        yield Error(
            f"SEQUENCES_AUTOCOMMIT is {mode!r}.",
            hint="Use 'allow', 'warn' or 'error'.",
            id="sequences_core.E003",
        )
    for connection in connections.all(initialized_only=False):
        if router.allow_migrate_model(connection.alias, Counter):
            yield from _check_connection(connection)
    alias = router.db_for_write(Counter)
    if not router.allow_migrate_model(alias, Counter):
        yield Error(
            f"Numbers are taken from database {alias!r}, where the router doesn't allow the table "
            f"of counters.",
            hint=f"Let allow_migrate({alias!r}, {Counter._meta.app_label!r}) be true, or "
            f"db_for_write name the database that holds the counters.",
            id="sequences_core.E004",
        )


@register(Tags.database)
def check_functions(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Check that the function of NextValue is there and current, where the backend has one."""
    for alias in databases or ():
        connection = connections[alias]
        try:
            allocator = get_allocator(connection)
        except BackendError:
            continue  # said by check_settings
        if not allocator.supports_function:
            continue
        if has_table(connection) and not allocator.is_installed(connection):
            yield Warning(
                f"Database {alias!r} has no current function {FUNCTION} that its user may "
                f"execute: numbers are taken by statements of their own, and NextValue can't be "
                f"used.",
                hint=f"Run manage.py sequences install --database={alias}",
                id="sequences_core.W001",
            )


def _check_connection(connection: BaseDatabaseWrapper) -> Iterable[CheckMessage]:
    try:
        allocator = get_allocator(connection)
    except BackendError as error:
        yield Error(str(error), id="sequences_core.E001")
        return
    if allocator.reads_uncommitted(connection):
        yield Error(
            f"Database {connection.alias!r} is set to READ UNCOMMITTED: a number that is rolled "
            f"back would have been seen, and could be given twice.",
            hint="Use READ COMMITTED.",
            id="sequences_core.E002",
        )
    yield from allocator.check(connection)
