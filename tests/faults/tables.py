"""The tables that writers fill, and functions that create, empty and read them in a new process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.apps.registry import Apps
from django.conf import settings
from django.core.management import call_command
from django.core.signals import setting_changed
from django.db import OperationalError, connection, connections, models, transaction
from sequences_contrib.fields import SequenceField

from sequences_core import run_atomic
from sequences_core.models import Counter
from sequences_core.testing.history import Row
from tests.servers.errors import wait_until

OTHER_SESSIONS = {
    "postgresql": """
        SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()
           AND backend_type = 'client backend'
    """,
    "mysql": """
        SELECT count(*) FROM information_schema.processlist
         WHERE db = database() AND id <> connection_id()
    """,
}
"""Queries for other sessions; SQLite has no sessions that outlive their processes."""


class Numbered(models.Model):
    """A numbered row. The number has no constraint, so that duplicates are stored and found."""

    counter = models.CharField(max_length=255)
    number = models.BigIntegerField(null=True)
    transaction = models.CharField(max_length=100)

    class Meta:
        apps = Apps()  # it has no migration
        app_label = "faults"
        db_table = "faults_numbered"

    def __str__(self) -> str:
        return f"{self.counter} {self.number}"


class Document(models.Model):
    """The same row with a SequenceField, which takes from the counter "documents"."""

    counter = models.CharField(max_length=255, default="documents")
    number = SequenceField("documents")
    transaction = models.CharField(max_length=100)

    class Meta:
        apps = Apps()
        app_label = "faults"
        db_table = "faults_numbered"
        managed = False

    def __str__(self) -> str:
        return f"{self.counter} {self.number}"


@dataclass(frozen=True)
class Place:
    """A database: Django's settings of it, and those of sequences_core."""

    database: dict[str, Any]
    backend: str = "auto"
    early: bool = False
    """SEQUENCES_EARLY_RELEASE."""


def go(place: Place) -> None:
    """Make a place the default database of this process."""
    connections.close_all()
    with suppress(AttributeError):  # there was no connection yet
        del connections["default"]
    connections.settings = connections.configure_settings({"default": dict(place.database)})
    for name, value in (
        ("SEQUENCES_BACKEND", place.backend),
        ("SEQUENCES_EARLY_RELEASE", place.early),
    ):
        setattr(settings, name, value)
        setting_changed.send(sender=None, setting=name, value=value, enter=True)


def make(place: Place) -> None:
    """Create both tables."""
    go(place)
    call_command("migrate", "sequences_core", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Numbered)


def empty(place: Place) -> None:
    """Delete all rows and counters."""

    def delete() -> None:
        Numbered._base_manager.all().delete()
        Counter.objects.all().delete()

    go(place)
    run_atomic(delete, attempts=50)  # on a cluster, the last writer's commit may still arrive


def read(places: Sequence[Place]) -> tuple[list[Row], dict[str, int]]:
    """Return the rows and the counters at the last place, once no other session is left."""
    for place in places[:-1]:
        go(place)
        with suppress(OperationalError):  # a server that is gone has no sessions
            connection.ensure_connection()
            wait_until_alone()
    go(places[-1])
    wait_until_alone()
    with transaction.atomic():
        rows = Numbered._base_manager.values_list("counter", "number", "transaction")
        return [Row(*row) for row in rows], dict(Counter.objects.values_list("name", "last"))


def run(place: Place, *statements: str) -> None:
    """Run statements in autocommit."""
    go(place)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def wait_until_alone() -> None:
    """Wait until other sessions end: those of killed clients may end late, or after a COMMIT."""
    statement = OTHER_SESSIONS.get(connection.vendor, "SELECT 0")

    def is_alone() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return bool(cursor.fetchone() == (0,))

    wait_until(is_alone, "Some sessions did not end")
