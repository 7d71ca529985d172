"""What MariaDB's and MySQL's servers have in common."""

from __future__ import annotations

import abc
import signal
import socket
from pathlib import Path

from tests.servers.base import Server
from tests.servers.ports import HOST

NAME = "sequences"
"""The user, its password, and a database to start with."""

SETUP = f"""\
FLUSH PRIVILEGES;
CREATE USER '{NAME}'@'%' IDENTIFIED BY '{NAME}';
GRANT ALL PRIVILEGES ON *.* TO '{NAME}'@'%' WITH GRANT OPTION;
CREATE DATABASE {NAME} CHARACTER SET utf8mb4;
"""
"""Run once, when the data directory is made. The first line makes accounts work that early."""

COMMON: dict[str, str | int] = {
    "bind_address": HOST,
    "character_set_server": "utf8mb4",
    "max_connections": 300,
    # An address without a name in the DNS costs seconds per connection.
    "skip_name_resolve": "ON",
}

FAST: dict[str, str | int] = {
    "innodb_flush_log_at_trx_commit": 0,
    "innodb_doublewrite": "OFF",
    "innodb_buffer_pool_size": "64M",
    # Written, but never synced.
    "innodb_flush_method": "nosync",
    "sync_binlog": 0,
}


class Mysqld(Server):
    """A server of the mysqld kind, with a user who may do everything."""

    user = "mysql"
    stop_signal = signal.SIGTERM
    log_size: str
    """The setting for the size of the redo log, small here: it is copied for each server."""

    @abc.abstractmethod
    def program(self) -> list[str | Path]:
        """The server's program, and before it what runs it."""

    def seen(self, path: Path) -> Path:
        """The path by which the server itself finds `path`."""
        return path

    @property
    def url(self) -> str:
        """Where it is, as the user who may do everything."""
        return f"mysql://{NAME}:{NAME}@{HOST}:{self.port}/{NAME}"

    @property
    def tmpdir(self) -> str:
        """Where it puts temporary files: TMPDIR may be closed to its user, or outside its root."""
        return str(self.seen(self.directory))

    def setup_file(self) -> Path:
        """A file with SETUP, for the initialisation to run."""
        file = self.directory / "setup.sql"
        file.write_text(SETUP)
        return self.seen(file)

    def options(self) -> dict[str, str | int]:
        """The settings of this server."""
        return {
            **COMMON,
            **({} if self.durable else {**FAST, self.log_size: "32M"}),
            "port": self.port,
            "datadir": str(self.seen(self.data)),
            "tmpdir": self.tmpdir,
            # Relative to the data directory: an absolute path can be too long for a socket.
            "socket": "server.sock",
            "pid_file": "server.pid",
        }

    def command(self) -> list[str | Path]:
        """The server, without the machine's own configuration files."""
        options = {**self.options(), **self.settings}
        return [
            *self.program(),
            "--no-defaults",
            *(f"--{name.replace('_', '-')}={value}" for name, value in options.items()),
        ]

    def answers(self) -> bool:
        """Whether it greets with its protocol's version, 10, and not with an error, 255."""
        try:
            with socket.create_connection((HOST, self.port), timeout=2) as connection:
                greeting = connection.recv(5, socket.MSG_WAITALL)
        except OSError:
            return False
        return len(greeting) == 5 and greeting[4] == 10
