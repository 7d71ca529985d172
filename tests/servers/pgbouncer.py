"""PgBouncer in front of a PostgreSQL server."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.servers.base import Server
from tests.servers.ports import HOST, listens
from tests.servers.postgresql import PostgreSQL


class PgBouncer(Server):
    """A pool of `sessions` server sessions, which clients use for one `mode` at a time.

    A session that is unused for `idle` seconds is closed.
    """

    name = "pgbouncer"
    title = "PgBouncer"
    user = "postgres"
    stop_signal = signal.SIGINT

    def __init__(
        self, server: PostgreSQL, *, sessions: int = 1, idle: int = 600, mode: str = "transaction"
    ) -> None:
        super().__init__()
        self.mode = mode
        self.server = server
        self.sessions = sessions
        self.idle = idle

    @property
    def url(self) -> str:
        """The URL of the server's database through the pool."""
        return self.server.url.replace(f":{self.server.port}/", f":{self.port}/")

    def command(self) -> list[str | Path]:
        """Return the command, after writing its configuration."""
        file = self.data / "pgbouncer.ini"
        file.write_text(
            f"""
[databases]
* = host={HOST} port={self.server.port} user=postgres
[pgbouncer]
listen_addr = {HOST}
listen_port = {self.port}
unix_socket_dir =
auth_type = any
pool_mode = {self.mode}
default_pool_size = {self.sessions}
server_idle_timeout = {self.idle}
server_login_retry = 1
"""
        )
        return [self.program(), file]

    def answers(self) -> bool:
        """Return whether it accepts connections."""
        return listens(self.port)
