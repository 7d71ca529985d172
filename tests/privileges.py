"""Database users with fewer privileges than the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

POOR = "sequences_poor"


@contextmanager
def connected_as(using: str, *privileges: str, everywhere: bool = False) -> Iterator[None]:
    """Connect as a user with only these privileges, in this database or in all.

    The server is PostgreSQL, MariaDB or MySQL.
    """
    connection = connections[using]
    settings = connection.settings_dict
    name = "*" if everywhere else connection.ops.quote_name(settings["NAME"])
    granted = ", ".join(privileges)
    if connection.vendor == "postgresql":
        create = f"CREATE ROLE {POOR} LOGIN PASSWORD '{POOR}'"
        grant = f"GRANT {granted} ON ALL TABLES IN SCHEMA public TO {POOR}"
        drop = f"DROP OWNED BY {POOR}; DROP USER {POOR}"
    else:
        create = f"CREATE USER {POOR} IDENTIFIED BY '{POOR}'"
        grant = f"GRANT {granted} ON {name}.* TO {POOR}"
        drop = f"DROP USER {POOR}"
    with connection.cursor() as cursor:
        cursor.execute(create)
        cursor.execute(grant)
    user, password = settings["USER"], settings["PASSWORD"]
    connection.close()
    settings["USER"] = settings["PASSWORD"] = POOR
    try:
        yield
    finally:
        connection.close()
        settings["USER"], settings["PASSWORD"] = user, password
        with connection.cursor() as cursor:
            cursor.execute(drop)
