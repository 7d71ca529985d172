"""A database of each kind that lists its locks, and that a test may damage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from sequences_core.models import Counter
from tests.aliases import known_to_django
from tests.servers import Server
from tests.servers.launch import DEFAULT, KINDS, chosen

# The MySQL of other tests has no performance schema, which saves memory.
SETTINGS: dict[str, dict[str, str | int]] = {
    "mysql": {"performance_schema": "ON"},
    "postgresql": {"max_prepared_transactions": 1},
}


SERVERS: dict[str, Server] = {}
"""The server of each private alias that has one."""


@pytest.fixture(
    scope="package", params=[name for name in chosen(os.environ.get("DB")) if name in DEFAULT]
)
def private(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: Any,
) -> Iterator[str]:
    """The alias of a database of its own, with the table of counters."""
    kind: str = request.param
    alias = f"private_{kind}"
    with ExitStack() as stack:
        if kind in KINDS:
            server = stack.enter_context(KINDS[kind](settings=SETTINGS.get(kind)))
            SERVERS[alias] = server
            url = server.url
        else:
            file: Path = tmp_path_factory.mktemp("doctor") / "db.sqlite3"
            url = f"sqlite:///{file}?transaction_mode=IMMEDIATE"
        stack.enter_context(django_db_blocker.unblock())
        stack.enter_context(known_to_django({alias: url}))
        yield alias


@contextmanager
def another(alias: str, name: str, **changed: Any) -> Iterator[str]:
    """A second alias of the database, with other settings."""
    handler: Any = connections
    handler.settings[name] = {**handler.settings[alias], **changed}
    try:
        yield name
    finally:
        connections[name].close()
        del connections[name]
        del handler.settings[name]


@pytest.fixture
def alias(private: str) -> str:
    """The alias of such a database without the table of counters."""
    Counter.objects.using(private).all().delete()
    connections[private].close()
    return private


@pytest.fixture(autouse=True)
def _silenced(settings: Any) -> None:
    """The collations of the tests' models don't matter here."""
    settings.SILENCED_SYSTEM_CHECKS = ["sequences_contrib.E005"]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close the connections to all databases, which the doctor opens and a command leaves open.

    Otherwise the tests' own databases could not be dropped after the last test.
    """
    yield
    for connection in connections.all(initialized_only=True):
        connection.close()
