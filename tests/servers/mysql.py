"""A private MySQL, 8 or newer: the machine's own program, or one in a small system for chroot."""

from __future__ import annotations

import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.servers.errors import ServerError
from tests.servers.install import install, mysqld_on_path
from tests.servers.mysqld import Mysqld


class MySQL(Mysqld):
    """MySQL with a user who may do everything, binary logging, and functions by any user."""

    name = "mysql"
    title = "MySQL"
    log_size = "innodb_redo_log_capacity"

    @cached_property
    def root(self) -> Path | None:
        """The root of the system that MySQL is in; None when it is the machine's own."""
        return None if mysqld_on_path() else install("mysql")

    def install(self) -> None:
        """Provide the program."""
        assert self.root or mysqld_on_path()

    @cached_property
    def version(self) -> str:
        """Such as "9.7.4"."""
        banner = subprocess.check_output([*self.program(), "--version"], text=True)
        return banner.partition("Ver ")[2].split()[0].partition("-")[0]

    def program(self) -> list[str | Path]:
        """The server's program, in its own root if need be."""
        if self.root:
            return ["chroot", "--userspec=mysql:mysql", self.root, "/usr/sbin/mysqld"]
        return [mysqld_on_path() or "mysqld"]

    def parent(self) -> Path:
        """In its own root it can see no other temporary directory."""
        return self.root / "tmp" if self.root else super().parent()

    def seen(self, path: Path) -> Path:
        """The path inside its own root."""
        return Path("/") / path.relative_to(self.root) if self.root else path

    def owner(self) -> tuple[int, int] | None:
        """The user's ids, in its own root."""
        if not self.root:
            return super().owner()
        for line in (self.root / "etc/passwd").read_text().splitlines():
            name, _, uid, gid, *_ = line.split(":")
            if name == self.user:
                return int(uid), int(gid)
        raise ServerError(f"There is no user {self.user} in {self.root}: remove it and try again.")

    def popen(self) -> dict[str, Any]:
        """chroot needs root, and changes the user itself."""
        return {} if self.root else super().popen()

    def initialise(self, data: Path) -> None:
        """Make the data dictionary and the user."""
        made = subprocess.run(
            [
                *self.program(),
                "--no-defaults",
                "--initialize-insecure",
                f"--datadir={self.seen(data)}",
                f"--tmpdir={self.tmpdir}",
                f"--init-file={self.setup_file()}",
                "--innodb-flush-method=nosync",
                "--innodb-redo-log-capacity=32M",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            **self.popen(),
        )
        if made.returncode:
            raise ServerError(f"mysqld --initialize-insecure failed:\n{made.stdout}")
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
