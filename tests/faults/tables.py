"""The tables that writers fill, seen from a process of its own: make, empty, read."""

from __future__ import annotations

import time
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

PATIENCE = 60
"""Seconds for the sessions of dead clients to end."""

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
"""How to see whether anybody is left; SQLite has no sessions that outlive their process."""


class Numbered(models.Model):
    """A numbered row. No constraint on the number: a duplicate must show, not fail."""

    counter = models.CharField(max_length=255)
    number = models.BigIntegerField(null=True)
    transaction = models.CharField(max_length=100)

    class Meta:
        apps = Apps()  # known to no migration
        app_label = "faults"
        db_table = "faults_numbered"

    def __str__(self) -> str:
        return f"{self.counter} {self.number}"


class Document(models.Model):
    """The same rows, numbered by the field: those of the counter "documents"."""

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
    """Make it this process's default database."""
    connections.close_all()
    with suppress(AttributeError):  # there was none
        del connections["default"]
    connections.settings = connections.configure_settings({"default": dict(place.database)})
    for name, value in (
        ("SEQUENCES_BACKEND", place.backend),
        ("SEQUENCES_EARLY_RELEASE", place.early),
    ):
        setattr(settings, name, value)
        setting_changed.send(sender=None, setting=name, value=value, enter=True)


def make(place: Place) -> None:
    """Make both tables."""
    go(place)
    call_command("migrate", "sequences_core", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Numbered)


def empty(place: Place) -> None:
    """Start anew."""

    def delete() -> None:
        Numbered._base_manager.all().delete()
        Counter.objects.all().delete()

    go(place)
    run_atomic(delete, attempts=50)  # in a cluster a last writer's may still be under way


def read(places: Sequence[Place]) -> tuple[list[Row], dict[str, int]]:
    """The rows and the counters at the last place, once nobody is left at any of them."""
    for place in places[:-1]:
        go(place)
        with suppress(OperationalError):  # nobody is left at a server that is gone
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
    """A server ends a killed client's session when it notices, which may be after a COMMIT."""
    deadline = time.monotonic() + PATIENCE
    while statement := OTHER_SESSIONS.get(connection.vendor):
        with connection.cursor() as cursor:
            cursor.execute(statement)
            (others,) = cursor.fetchone()
        if not others:
            break
        assert time.monotonic() < deadline, f"{others} sessions never ended"
        time.sleep(0.02)
