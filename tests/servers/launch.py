"""Functions that start servers by name, in parallel, and return their URLs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.servers import folders
from tests.servers.base import Server, listed
from tests.servers.errors import ServerError
from tests.servers.firebird import Firebird
from tests.servers.mysqld import MariaDB, MySQL
from tests.servers.postgresql import PostgreSQL

KINDS: dict[str, type[Server]] = {
    kind.name: kind for kind in (PostgreSQL, MariaDB, MySQL, Firebird)
}
DEFAULT = ("sqlite", "postgresql", "mariadb", "mysql")
KNOWN = ("sqlite", *KINDS, "oracle")

MEMORY = Path("/dev/shm")
"""A file system in memory, where syncing takes no time; containers often have only 64 MB of it."""


def variable(name: str) -> str:
    """Return the environment variable for the URL of database `name`, such as POSTGRESQL_URL."""
    return f"{name.upper()}_URL"


def chosen(names: str | None) -> tuple[str, ...]:
    """Return the databases that `names` lists, with commas or spaces between; all if it is empty.

    Raise ServerError for an unknown name, or an unknown release after its "@".
    """
    releases = listed(names)
    for name, release in releases.items():
        if name not in KNOWN:
            raise ServerError(f"Unknown database {name!r}; choose from {', '.join(KNOWN)}.")
        known = KINDS[name].releases if name in KINDS else {}
        if release and release not in known:
            hint = ", ".join(known) or "none but its default"
            raise ServerError(f"Unknown release {name}@{release}; known: {hint}.")
    return tuple(releases) or DEFAULT


def boot(servers: Iterable[Server]) -> None:
    """Start several servers in parallel; if one of them fails, close all."""
    servers = list(servers)
    with ExitStack() as opened, ThreadPoolExecutor() as pool:
        for server in servers:
            opened.callback(server.close)
        list(pool.map(Server.prepare, servers))
        for server in servers:
            server.launch()
        for server in servers:
            server.wait()
        opened.pop_all()


def start(
    names: Iterable[str] = DEFAULT,
    *,
    durable: bool = False,
    given: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Return the URL of each database in `names`; start its server unless `given` has its `…_URL`.

    The servers end with this process, or with stop(). Raise ServerError if a server can't be
    installed or doesn't start.
    """
    urls: dict[str, str] = {}
    servers: dict[str, Server] = {}
    for name in names:
        if url := given.get(variable(name)):
            urls[name] = url
        elif name == "sqlite":
            urls[name] = _sqlite(durable)
        elif name in KINDS:
            servers[name] = KINDS[name](durable=durable)
        else:
            raise ServerError(f"No {name} server can be started: set {variable(name)}.")
    boot(servers.values())
    return urls | {name: server.url for name, server in servers.items()}


def _sqlite(durable: bool) -> str:
    has_room = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2**29
    folder = folders.temporary("sqlite", MEMORY if has_room and not durable else None)
    return f"sqlite:///{folder / 'db.sqlite3'}"
