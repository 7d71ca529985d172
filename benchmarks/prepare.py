"""The first step on a database: make it, fill in its tables, and see who can take part.

The suite works in a database of its own, so that it can be pointed at any server. (Oracle has
schemas instead: there it uses the one that it is given.)
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import django
from django.apps import apps
from django.core.management import call_command
from django.db import DatabaseError, connection, connections

from benchmarks.environment import URL
from benchmarks.events import emit

SETTINGS = {
    "postgresql": "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', "
    "'synchronous_commit', 'shared_buffers', 'autovacuum', 'full_page_writes')",
    "mysql": "SHOW VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', "
    "'innodb_flush_method', 'sync_binlog', 'log_bin', 'innodb_buffer_pool_size')",
}
"""What decides about the speed of a commit."""


def main() -> None:
    """Make the database, or with ``drop`` remove it."""
    django.setup()
    if sys.argv[1:] == ["drop"]:
        return drop()
    url = create(os.environ[URL])
    unable = migrate()
    emit("result", url=url, settings=server_settings())
    from benchmarks.contestants import everyone

    for contestant in everyone(connection.vendor):
        emit(
            "contestant",
            name=contestant.name,
            kind=contestant.kind,
            version=installed_version(contestant.requires),
            left_out=contestant.unfit() or unable.get(contestant.app),
        )
    return None


def create(url: str) -> str:
    """Make a fresh database beside the one at ``url``; return its own URL."""
    if connection.vendor == "oracle":
        return url
    if connection.vendor == "sqlite":
        for alias in connections:
            name = str(connections[alias].settings_dict["NAME"])
            for suffix in ("", "-wal", "-shm"):
                Path(name + suffix).unlink(missing_ok=True)
        return url
    # create_test_db() would migrate at once, and give up where one peer can't.
    creation: Any = connection.creation
    name = creation._create_test_db(verbosity=0, autoclobber=True)
    connection.close()
    for alias in connections:
        connections[alias].settings_dict["NAME"] = name
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def drop() -> None:
    """Remove the database."""
    if connection.vendor == "sqlite":
        create(os.environ[URL])
    elif connection.vendor != "oracle":
        name = str(connection.settings_dict["NAME"])
        assert name.startswith("test_"), f"{name} isn't the suite's own"
        connection.creation.destroy_test_db(verbosity=0)


def migrate() -> dict[str, str]:
    """Make all tables; return the apps whose migrations fail here, with the reason."""
    unable = {}
    # Of two aliases for one database the first, which asks for no privilege.
    aliases = {connections[one].settings_dict["NAME"]: one for one in reversed([*connections])}
    for alias in aliases.values():
        for app in apps.get_app_configs():
            unmigrated = not (Path(app.path) / "migrations").exists()
            try:
                call_command(
                    "migrate", app.label, database=alias, run_syncdb=unmigrated, verbosity=0
                )
            except DatabaseError as error:
                if app.name.startswith(("sequences_", "benchmarks.app")):
                    raise
                unable[app.name.rpartition(".")[2]] = f"its migration fails: {error}"
    return unable


def server_settings() -> dict[str, str]:
    """The server's settings that decide about the speed."""
    if connection.vendor == "sqlite":
        return {name: str(pragma(name)) for name in ("journal_mode", "synchronous", "cache_size")}
    if connection.vendor not in SETTINGS:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(SETTINGS[connection.vendor])
        return {str(name): str(value) for name, value in sorted(cursor.fetchall())}


def pragma(name: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {name}")
        return cursor.fetchone()[0]


def installed_version(distribution: str | None) -> str:
    """The installed version of a peer; ours have one together."""
    with suppress(PackageNotFoundError):
        return version(distribution or "sequences-core")
    return ""


if __name__ == "__main__":
    main()
