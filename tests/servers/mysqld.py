"""Private MariaDB and MySQL: the machine's own, or in a small Debian system for chroot."""

from __future__ import annotations

import abc
import signal
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from tests.servers.base import Server
from tests.servers.install import debian, install, mysqld_on_path
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
    # Relative to the data directory: an absolute path can be too long for a socket.
    "socket": "server.sock",
    "pid_file": "server.pid",
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
    daemon: ClassVar[str]
    """Its program, in a system of its own."""
    log_size: ClassVar[str]
    """The setting for the size of the redo log, small here: it is copied for each server."""

    @abc.abstractmethod
    def own(self) -> Path | None:
        """The machine's program, installed if it can be; None where a system must have it."""

    @abc.abstractmethod
    def system(self) -> Path:
        """The root of a system with the release that is asked for."""

    @cached_property
    def root(self) -> Path | None:
        """The root of the system that it is in; None when it is the machine's own."""
        return None if not self.release and self.own() else self.system()

    def program(self, name: str | Path, *arguments: str) -> list[str | Path]:
        """The command that runs a program where the server is."""
        # Without the machine's own configuration files, which must be said first.
        command = [name, "--no-defaults", *arguments]
        return ["chroot", "--userspec=mysql:mysql", self.root, *command] if self.root else command

    def server(self, *arguments: str) -> list[str | Path]:
        """The command that runs the server."""
        return self.program(
            f"/usr/sbin/{self.daemon}" if self.root else str(self.own()), *arguments
        )

    def install(self) -> None:
        """Provide the program."""
        assert self.root or self.own()

    @cached_property
    def version(self) -> str:
        """Such as "10.11.18"."""
        banner = self.run(self.server("--version"))
        return banner.partition("Ver ")[2].split()[0].partition("-")[0]

    def parent(self) -> Path:
        """In its own root it can see no other temporary directory."""
        return self.root / "tmp" if self.root else super().parent()

    def seen(self, path: Path) -> Path:
        """The path by which the server itself finds `path`."""
        return Path("/") / path.relative_to(self.root) if self.root else path

    def owner(self) -> tuple[int, int] | None:
        """The user's ids, in its own root."""
        if not self.root:
            return super().owner()
        lines = (self.root / "etc/passwd").read_text().splitlines()
        entry = next(line.split(":") for line in lines if line.startswith(f"{self.user}:"))
        return int(entry[2]), int(entry[3])

    def popen(self) -> dict[str, Any]:
        """chroot needs root, and changes the user itself."""
        return {**super().popen(), **({"user": 0, "group": 0} if self.root else {})}

    @property
    def url(self) -> str:
        """Where it is, as the user who may do everything."""
        return f"mysql://{NAME}:{NAME}@{HOST}:{self.port}/{NAME}"

    @property
    def tmpdir(self) -> str:
        """Where it puts temporary files: TMPDIR may be closed to its user, or outside its root."""
        return str(self.seen(self.directory))

    def options(self) -> dict[str, str | int]:
        """The settings of this server."""
        return {
            **COMMON,
            **({} if self.durable else {**FAST, self.log_size: "32M"}),
            "port": self.port,
            "datadir": str(self.seen(self.data)),
            "tmpdir": self.tmpdir,
        }

    def command(self) -> list[str | Path]:
        """The server with its options."""
        options = {**self.options(), **self.settings}
        return self.server(
            *(f"--{name.replace('_', '-')}={value}" for name, value in options.items())
        )


class MariaDB(Mysqld):
    """MariaDB with a user who may do everything."""

    name = "mariadb"
    title = "MariaDB"
    daemon = "mariadbd"
    log_size = "innodb_log_file_size"
    releases = {
        "10.5": ("bullseye", "mariadb-server-core-10.5", "mariadb-client-core-10.5"),
        "10.11": ("bookworm", "mariadb-server-core", "mariadb-client-core"),
        "11.8": ("trixie", "mariadb-server-core", "mariadb-client-core"),
    }
    """The release of Debian that has it, and its packages there."""

    def own(self) -> Path | None:
        """The machine's program."""
        return install("mariadb")

    def system(self) -> Path:
        """The root of a system with the release."""
        return debian(*self.releases[self.release])

    def initialise(self, data: Path) -> None:
        """Make the system tables and the user."""
        places = [f"--datadir={self.seen(data)}", f"--tmpdir={self.tmpdir}"]
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        size = "--innodb-log-file-size=32M"
        script = "mariadb-install-db"
        self.run(self.program(script, *places, *options, "--skip-name-resolve", size))
        self.run(self.server(*places, size, "--bootstrap"), SETUP)


class MySQL(Mysqld):
    """MySQL with a user who may do everything, binary logging, and functions by any user."""

    name = "mysql"
    title = "MySQL"
    daemon = "mysqld"
    log_size = "innodb_redo_log_capacity"

    def own(self) -> Path | None:
        """The machine's program, where it is that of MySQL 8 or newer."""
        return mysqld_on_path()

    def system(self) -> Path:
        """Debian's unstable release, the one that has MySQL, with libraries too new to mix."""
        return debian("sid", "mysql-server-core")

    def initialise(self, data: Path) -> None:
        """Make the data dictionary and the user."""
        setup = self.directory / "setup.sql"
        setup.write_text(SETUP)
        self.run(
            self.server(
                "--initialize-insecure",
                f"--datadir={self.seen(data)}",
                f"--tmpdir={self.tmpdir}",
                f"--init-file={self.seen(setup)}",
                "--innodb-flush-method=nosync",
                "--innodb-redo-log-capacity=32M",
            )
        )
        # The server's identity: each copy must make its own.
        (data / "auto.cnf").unlink()

    def options(self) -> dict[str, str | int]:
        """MySQL's own settings."""
        return {
            **super().options(),
            "log_bin_trust_function_creators": "ON",
            "mysqlx": "OFF",
            "performance_schema": "OFF",
            # The folder that Debian compiles in as the default may be missing.
            "secure_file_priv": "",
        }
