"""What a project on Firebird needs: see docs/backends/orm.rst."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class Config(AppConfig):
    """Sets the isolation level of each connection."""

    name = "tests.app"

    def ready(self) -> None:
        connection_created.connect(read_committed)


def read_committed(connection: Any, **kwargs: Any) -> None:
    """Let transactions on Firebird wait for each other."""
    if connection.vendor == "firebird":
        from firebird.driver import Isolation, tpb

        transactions = connection.connection.main_transaction
        transactions.default_tpb = tpb(Isolation.READ_COMMITTED)
