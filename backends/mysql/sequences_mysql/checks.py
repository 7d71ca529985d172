"""What of a connection's settings this backend can't work with."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error
from django.db.backends.base.base import BaseDatabaseWrapper

FOUND_ROWS = 2
"""The client's flag, for which Django asks (MySQLdb.constants.CLIENT)."""


def messages(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    """Say what is wrong with this connection's settings."""
    if connection.settings_dict["ENGINE"] == "django_tidb":
        yield Error(
            f"Database {connection.alias!r} is TiDB, which has no stored functions, and for "
            f"which this backend was not made.",
            hint='pip install sequences-orm, and leave SEQUENCES_BACKEND at "auto".',
            id="sequences_mysql.E001",
        )
    flags = connection.settings_dict.get("OPTIONS", {}).get("client_flag", FOUND_ROWS)
    if not flags & FOUND_ROWS:
        yield Error(
            f"Database {connection.alias!r} has a client_flag without CLIENT.FOUND_ROWS, on which "
            f"Django relies: an UPDATE that changes nothing looks like one that finds nothing.",
            hint="Add CLIENT.FOUND_ROWS to client_flag.",
            id="sequences_mysql.E002",
        )
