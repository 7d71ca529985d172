"""Find settings of a connection that this backend doesn't support."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db.backends.base.base import BaseDatabaseWrapper

FOUND_ROWS = 2
"""The client flag that Django sets by default (MySQLdb.constants.CLIENT)."""


def messages(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    """Yield a message for each unsupported setting of this connection."""
    if connection.settings_dict["ENGINE"] == "django_tidb":
        yield Error(
            f"Database {connection.alias!r} is TiDB, which has no stored functions and which this "
            f"backend doesn't support.",
            hint='pip install sequences-orm, and leave SEQUENCES_BACKEND at "auto".',
            id="sequences_mysql.E001",
        )
    flags = connection.settings_dict.get("OPTIONS", {}).get("client_flag", FOUND_ROWS)
    if isinstance(flags, int) and not flags & FOUND_ROWS:  # the driver refuses other types
        yield Error(
            f"Database {connection.alias!r} has a client_flag without CLIENT.FOUND_ROWS, which "
            f"Django requires: without it, an UPDATE that changes no value reports no row.",
            hint="Add CLIENT.FOUND_ROWS to client_flag.",
            id="sequences_mysql.E002",
        )


def check_name(connection: Any, name: str) -> None:
    """Raise ValueError if the connection can't send the name of a sequence to the function.

    Without strict mode, the function would get ``"????"`` for characters that utf8mb3 doesn't have.
    For other character sets, Python refuses to encode the name.
    """
    if max(name) <= "\uffff":
        return
    connection.ensure_connection()
    charset = connection.connection.character_set_name()
    if charset != "utf8mb4":
        raise ValueError(
            f"the connection to database {connection.alias!r} can't send the name {name!r}, "
            f"because its charset is {charset}: use utf8mb4"
        )
