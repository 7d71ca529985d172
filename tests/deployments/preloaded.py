"""A gunicorn configuration in which the master uses the database before it forks."""

from typing import Any

from django.db import connections

preload_app = True


def when_ready(server: Any) -> None:
    """Use the database, so that the master has a connection, and its pool if there is one."""
    from tests.numbered.models import Plain  # Django is set up only now

    Plain.objects.create(code="master")


def pre_fork(server: Any, worker: Any) -> None:
    """Close the connection and the pool, which workers must not share."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        if hasattr(connection, "close_pool"):
            connection.close_pool()
