"""Start servers by name, side by side, and tell where they are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
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


def variable(name: str) -> str:
    """The environment variable with the URL of database `name`, such as POSTGRESQL_URL."""
    return f"{name.upper()}_URL"


def chosen(names: str | None) -> tuple[str, ...]:
    """The databases that `names` lists, with commas or spaces between them; all when empty.

    Raises ServerError for a name, or a release behind its "@", that isn't known.
    """
    releases = listed(names)
    for name, release in releases.items():
        if name not in KNOWN:
            raise ServerError(f"No database is called {name!r}; there is {', '.join(KNOWN)}.")
        known = KINDS[name].releases if name in KINDS else {}
        if release and release not in known:
            there = ", ".join(f"{name}@{one}" for one in known) or "no release to choose"
            raise ServerError(f"There is no {name}@{release}; there is {there}.")
    return tuple(releases) or DEFAULT


def boot(servers: Iterable[Server]) -> None:
    """Start several servers together; none is left when one of them fails."""
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
    names: Iterable[str], sqlite: Callable[[], str], *, durable: bool
) -> tuple[dict[str, str], dict[str, Server]]:
    """The URLs of the databases that run already, and the servers of the others, not started.

    Raises ServerError for a database that has no server to start.
    """
    urls: dict[str, str] = {}
    servers: dict[str, Server] = {}
    for name in names:
        if given := os.environ.get(variable(name)):
            urls[name] = given
        elif name == "sqlite":
            urls[name] = sqlite()
        elif name in KINDS:
            servers[name] = KINDS[name](durable=durable)
        else:
            raise ServerError(f"There is no {name} server to start: set {variable(name)}.")
    return urls, servers


def start(names: Iterable[str] = DEFAULT, *, durable: bool = False) -> dict[str, str]:
    """The URL of each database in `names`, its server started unless its `…_URL` is set.

    What was started ends with this process, or by stop(). Raises ServerError when a server can't
    be installed or doesn't start.
    """
    urls, servers = prepared(names, _sqlite, durable=durable)
    boot(servers.values())
    return urls | {name: server.url for name, server in servers.items()}


def _sqlite() -> str:
    folder = Path(tempfile.mkdtemp(prefix="sequences-sqlite-"))
    reaper.watch(folder)
    return f"sqlite:///{folder / 'db.sqlite3'}"


def stop() -> None:
    """End everything that this process started, and remove its data."""
    close_all()
