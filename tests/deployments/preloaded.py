"""gunicorn's configuration for a project whose master has used the database before it forks."""

from typing import Any

from django.db import connections

preload_app = True


def when_ready(server: Any) -> None:
    """Use the database, so that the master has a connection, and a pool if there is one."""
    from tests.numbered.models import Plain  # the project is set up by now

    Plain.objects.create(code="master")


def pre_fork(server: Any, worker: Any) -> None:
    """Close what the worker must not share: a copy of a connection, or of a pool."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        if hasattr(connection, "close_pool"):
            connection.close_pool()
