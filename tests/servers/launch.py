"""Functions that start servers by name, in parallel, and return their URLs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.servers import reaper
from tests.servers.base import Server, close_all, listed
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


def has_room(folder: Path) -> bool:
    """Return whether a folder exists, can be written and has space for the tests' database."""
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 2**29


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
            hint = ", ".join(f"{name}@{one}" for one in known)
            hint = f"choose from {hint}" if hint else "only its default release is available"
            raise ServerError(f"Unknown release {name}@{release}; {hint}.")
    return tuple(releases) or DEFAULT


def boot(servers: Iterable[Server]) -> None:
    """Start several servers in parallel; if one of them fails, close all."""
    servers = list(servers)
    try:
        with ThreadPoolExecutor(max_workers=max(len(servers), 1)) as pool:
            list(pool.map(lambda server: server.prepare(), servers))
        for server in servers:
            server.launch()
        for server in servers:
            server.wait()
    except BaseException:
        for server in servers:
            server.close()
        raise


def prepared(
    names: Iterable[str],
    sqlite: Callable[[], str],
    *,
    durable: bool,
    given: Mapping[str, str] = os.environ,
) -> tuple[dict[str, str], dict[str, Server]]:
    """Return the URLs of the databases that run already, and the servers to start for the others.

    Raise ServerError for a database that has no server to start.
    """
    urls: dict[str, str] = {}
    servers: dict[str, Server] = {}
    for name in names:
        if url := given.get(variable(name)):
            urls[name] = url
        elif name == "sqlite":
            urls[name] = sqlite()
        elif name in KINDS:
            servers[name] = KINDS[name](durable=durable)
        else:
            raise ServerError(f"No {name} server can be started: set {variable(name)}.")
    return urls, servers


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
    urls, servers = prepared(names, lambda: _sqlite(durable), durable=durable, given=given)
    boot(servers.values())
    return urls | {name: server.url for name, server in servers.items()}


def _sqlite(durable: bool) -> str:
    place = MEMORY if not durable and has_room(MEMORY) else None
    folder = Path(tempfile.mkdtemp(prefix="sequences-sqlite-", dir=place))
    reaper.watch(folder)
    return f"sqlite:///{folder / 'db.sqlite3'}"


def stop() -> None:
    """End all servers that this process has started, and remove their data."""
    close_all()
