"""Private MariaDB and MySQL: the machine's own, or one in a small Debian system for chroot."""

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
"""The name of the user, its password, and the initial database."""

SETUP = f"""\
FLUSH PRIVILEGES;
CREATE USER '{NAME}'@'%' IDENTIFIED BY '{NAME}';
GRANT ALL PRIVILEGES ON *.* TO '{NAME}'@'%' WITH GRANT OPTION;
CREATE DATABASE {NAME} CHARACTER SET utf8mb4;
"""
"""SQL for a new data directory. Accounts can be created only after its first statement."""

COMMON: dict[str, str | int] = {
    "bind_address": HOST,
    "character_set_server": "utf8mb4",
    "max_connections": 300,
    # A reverse DNS lookup that fails takes seconds per connection.
    "skip_name_resolve": "ON",
    # This is relative to the data directory: an absolute path can be too long for a socket.
    "socket": "server.sock",
    "pid_file": "server.pid",
}

FAST: dict[str, str | int] = {
    "innodb_flush_log_at_trx_commit": 0,
    "innodb_doublewrite": "OFF",
    "innodb_buffer_pool_size": "64M",
    # The server writes, but never syncs.
    "innodb_flush_method": "nosync",
    "sync_binlog": 0,
}


class Mysqld(Server):
    """The base class of MariaDB and MySQL, with a user that has all privileges."""

    user = "mysql"
    stop_signal = signal.SIGTERM
    daemon: ClassVar[str]
    """The name of the program in a chroot system."""
    log_size: ClassVar[str]
    """The setting for the size of the redo log, which is small because each server gets a copy."""

    @abc.abstractmethod
    def own(self) -> Path | None:
        """Return the machine's program, installed if possible; None if it needs a chroot system."""

    @abc.abstractmethod
    def system(self) -> Path:
        """Return the root of a chroot system with the requested release."""

    @cached_property
    def root(self) -> Path | None:
        """The root of its chroot system; None if it is the machine's own."""
        return None if not self.release and self.own() else self.system()

    def program(self, name: str | Path, *arguments: str) -> list[str | Path]:
        """Return the command that runs a program in the server's system."""
        # This ignores the machine's configuration files; it must be the first option.
        command = [name, "--no-defaults", *arguments]
        return ["chroot", "--userspec=mysql:mysql", self.root, *command] if self.root else command

    def server(self, *arguments: str) -> list[str | Path]:
        """Return the command that runs the server."""
        return self.program(
            f"/usr/sbin/{self.daemon}" if self.root else str(self.own()), *arguments
        )

    def install(self) -> None:
        """Install the program."""
        assert self.root or self.own()

    @cached_property
    def version(self) -> str:
        """The version, such as "10.11.18"."""
        banner = self.run(self.server("--version"))
        return banner.partition("Ver ")[2].split()[0].partition("-")[0]

    def parent(self) -> Path:
        """Return the temporary directory, which in a chroot system is that system's own."""
        return self.root / "tmp" if self.root else super().parent()

    def seen(self, path: Path) -> Path:
        """Return the path of `path` as the server sees it."""
        return Path("/") / path.relative_to(self.root) if self.root else path

    def owner(self) -> tuple[int, int] | None:
        """Return the ids of the user in the server's system."""
        if not self.root:
            return super().owner()
        lines = (self.root / "etc/passwd").read_text().splitlines()
        entry = next(line.split(":") for line in lines if line.startswith(f"{self.user}:"))
        return int(entry[2]), int(entry[3])

    def popen(self) -> dict[str, Any]:
        """Return Popen's arguments: chroot needs root, and switches the user itself."""
        return {**super().popen(), **({"user": 0, "group": 0} if self.root else {})}

    @property
    def url(self) -> str:
        """The URL, with the user that has all privileges."""
        return f"mysql://{NAME}:{NAME}@{HOST}:{self.port}/{NAME}"

    @property
    def tmpdir(self) -> str:
        """The folder of temporary files: the server's user may not have access to TMPDIR."""
        return str(self.seen(self.directory))

    def options(self) -> dict[str, str | int]:
        """Return the settings of this server."""
        return {
            **COMMON,
            **({} if self.durable else {**FAST, self.log_size: "32M"}),
            "port": self.port,
            "datadir": str(self.seen(self.data)),
            "tmpdir": self.tmpdir,
        }

    def command(self) -> list[str | Path]:
        """Return the command of the server with its options."""
        options = {**self.options(), **self.settings}
        return self.server(
            *(f"--{name.replace('_', '-')}={value}" for name, value in options.items())
        )


class MariaDB(Mysqld):
    """MariaDB with a user that has all privileges."""

    name = "mariadb"
    title = "MariaDB"
    daemon = "mariadbd"
    log_size = "innodb_log_file_size"
    releases = {
        "10.5": ("bullseye", "mariadb-server-core-10.5", "mariadb-client-core-10.5"),
        "10.11": ("bookworm", "mariadb-server-core", "mariadb-client-core"),
        "11.8": ("trixie", "mariadb-server-core", "mariadb-client-core"),
    }
    """The Debian release of each, and the names of its packages there."""

    def own(self) -> Path | None:
        """Return the machine's program."""
        return install("mariadb")

    def system(self) -> Path:
        """Return the root of a chroot system with the release."""
        return debian(*self.releases[self.release])

    def initialise(self, data: Path) -> None:
        """Create the system tables and the user."""
        places = [f"--datadir={self.seen(data)}", f"--tmpdir={self.tmpdir}"]
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        size = "--innodb-log-file-size=32M"
        script = "mariadb-install-db"
        self.run(self.program(script, *places, *options, "--skip-name-resolve", size))
        self.run(self.server(*places, size, "--bootstrap"), SETUP)


class MySQL(Mysqld):
    """MySQL with a binary log, a user that has all privileges, and functions by any user."""

    name = "mysql"
    title = "MySQL"
    daemon = "mysqld"
    log_size = "innodb_redo_log_capacity"

    def own(self) -> Path | None:
        """Return the machine's program, if it is MySQL 8 or newer."""
        return mysqld_on_path()

    def system(self) -> Path:
        """Return the root of Debian's unstable release, the only one with MySQL."""
        return debian("sid", "mysql-server-core")

    def initialise(self, data: Path) -> None:
        """Create the data dictionary and the user."""
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
        # This is the server's identity: each copy must generate its own.
        (data / "auto.cnf").unlink()

    def options(self) -> dict[str, str | int]:
        """Return the settings, with those of MySQL alone."""
        return {
            **super().options(),
            "log_bin_trust_function_creators": "ON",
            "mysqlx": "OFF",
            "performance_schema": "OFF",
            # Debian's default folder may be missing.
            "secure_file_priv": "",
        }
