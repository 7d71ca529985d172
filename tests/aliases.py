"""Additional databases in Django's settings during a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dj_database_url
from django.core.management import call_command
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


@contextmanager
def known_to_django(urls: dict[str, str]) -> Iterator[None]:
    """Add a database for each alias in ``urls``; create the table of counters in the first one.

    The connections stay open between requests, and are closed at the end.
    """
    handler: Any = connections
    databases: dict[str, Any] = {"default": {}}
    for alias, url in urls.items():
        databases[alias] = {**dj_database_url.parse(url), "CONN_MAX_AGE": None}
    configured = handler.configure_settings(databases)
    handler.settings.update({alias: configured[alias] for alias in urls})
    try:
        call_command("migrate", "sequences_core", database=next(iter(urls)), verbosity=0)
        yield
    finally:
        for alias in urls:
            # Django's close() keeps an in-memory SQLite database open.
            BaseDatabaseWrapper.close(connections[alias])
            del connections[alias]
            del handler.settings[alias]
