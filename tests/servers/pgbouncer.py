"""PgBouncer in front of a PostgreSQL server."""

from __future__ import annotations

from pathlib import Path

from tests.servers.base import Server
from tests.servers.ports import HOST, listens
from tests.servers.postgresql import PostgreSQL


class PgBouncer(Server):
    """A pool of sessions of a server: by default one session, used for a transaction at a time.

    `settings` are PgBouncer's, such as `pool_mode`.
    """

    name = "pgbouncer"
    title = "PgBouncer"

    def __init__(self, server: PostgreSQL, **settings: str | int) -> None:
        super().__init__(settings=settings)
        self.server = server

    @property
    def url(self) -> str:
        """The URL of the server's database through the pool."""
        return self.server.url.replace(f":{self.server.port}/", f":{self.port}/")

    def options(self) -> dict[str, str | int]:
        """Return the settings: TCP only, without passwords."""
        return {
            "listen_addr": HOST,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": 1,
            "server_login_retry": 1,
        }

    def command(self) -> list[str | Path]:
        """Return the command, after writing its configuration."""
        server = f"* = host={HOST} port={self.server.port} user=postgres"
        file = self.data / "pgbouncer.ini"
        file.write_text("\n".join(["[databases]", server, "[pgbouncer]", *self.configuration()]))
        return [self.program(), file]

    def answers(self) -> bool:
        """Return whether it accepts connections."""
        return listens(self.port)
