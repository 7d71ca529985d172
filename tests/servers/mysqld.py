"""Private MariaDB and MySQL: the machine's own, or one in a small Debian system for chroot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from tests.servers.base import TIED, Server
from tests.servers.install import debian, mysqld_on_path
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

    address = f"mysql://{NAME}:{NAME}@{HOST}:{{port}}/{NAME}"
    log_size: ClassVar[str]
    """The setting for the size of the redo log, which is small because each server gets a copy."""

    @cached_property
    def root(self) -> Path | None:
        """The root of a small Debian system for chroot; None if it is the machine's own server."""
        return debian(*self.releases[self.release]) if self.release else None

    @property
    def prefix(self) -> Sequence[str | Path]:
        """The command that runs its programs in its system, as nobody, who may use chroot there."""
        user = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        right = ["--inh-caps=+sys_chroot", "--ambient-caps=+sys_chroot"]
        return [*TIED, *user, *right, "chroot", self.root] if self.root else []

    def parent(self) -> Path:
        """Return the temporary directory, which in a chroot system is that system's own."""
        return self.root / "tmp" if self.root else super().parent()

    def seen(self, path: Path) -> Path:
        """Return the path of `path` as the server sees it."""
        return Path("/") / path.relative_to(self.root) if self.root else path

    def folders(self) -> dict[str, str | int]:
        """Return its options for the data, and for temporary files: it may have no other place."""
        return {"datadir": str(self.seen(self.data)), "tmpdir": str(self.seen(self.directory))}

    def options(self) -> dict[str, str | int]:
        """Return the settings of this server."""
        fast = {} if self.durable else {**FAST, self.log_size: "32M"}
        return {**COMMON, **fast, "port": self.port, **self.folders()}

    def command(self) -> list[str | Path]:
        """Return the command of the server with its options."""
        return arguments(self.program(), {**self.options(), **self.settings})


def arguments(program: str | Path, options: Mapping[str, str | int]) -> list[str | Path]:
    """Return the command of a program with these options, and with none of a configuration file."""
    # The first option must be this one.
    return [program, "--no-defaults", *(f"--{name}={value}" for name, value in options.items())]


class MariaDB(Mysqld):
    """MariaDB with a user that has all privileges."""

    name = "mariadb"
    title = "MariaDB"
    log_size = "innodb_log_file_size"
    releases = {
        "10.5": ("bullseye", "mariadb-server-core-10.5", "mariadb-client-core-10.5"),
        "10.11": ("bookworm", "mariadb-server-core", "mariadb-client-core"),
        "11.8": ("trixie", "mariadb-server-core", "mariadb-client-core"),
    }
    """The Debian release of each, and the names of its packages there."""

    def program(self) -> str | Path:
        """Return the program in its system."""
        return "/usr/sbin/mariadbd" if self.root else super().program()

    def initialise(self) -> None:
        """Create the system tables and the user."""
        options = {**self.folders(), "innodb_log_file_size": "32M"}
        script = arguments("mariadb-install-db", options)
        accounts = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        self.run([*script, *accounts, "--skip-name-resolve"])
        self.run([*arguments(self.program(), options), "--bootstrap"], SETUP)


class MySQL(Mysqld):
    """MySQL with a binary log, a user that has all privileges, and functions by any user."""

    name = "mysql"
    title = "MySQL"
    log_size = "innodb_redo_log_capacity"

    @cached_property
    def root(self) -> Path | None:
        """The root of Debian's unstable release, the only one with MySQL."""
        return None if mysqld_on_path() else debian("sid", "mysql-server-core")

    def program(self) -> str | Path:
        """Return the program in its system."""
        return "/usr/sbin/mysqld" if self.root else mysqld_on_path() or ""

    def initialise(self) -> None:
        """Create the data dictionary and the user."""
        setup = self.directory / "setup.sql"
        setup.write_text(SETUP)
        options = {
            **self.folders(),
            "init_file": str(self.seen(setup)),
            "innodb_flush_method": "nosync",
            "innodb_redo_log_capacity": "32M",
        }
        self.run([*arguments(self.program(), options), "--initialize-insecure"])
        # This is the server's identity: each copy must generate its own.
        (self.data / "auto.cnf").unlink()

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
