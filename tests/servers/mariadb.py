"""A private MariaDB."""

from __future__ import annotations

import subprocess
from functools import cached_property
from pathlib import Path

from tests.servers.errors import ServerError
from tests.servers.install import install, which
from tests.servers.mysqld import Mysqld


class MariaDB(Mysqld):
    """MariaDB with a user who may do everything."""

    name = "mariadb"
    title = "MariaDB"
    log_size = "innodb_log_file_size"

    def install(self) -> None:
        """Provide the programs."""
        install("mariadb")

    @cached_property
    def version(self) -> str:
        """Such as "10.11.18"."""
        banner = subprocess.check_output([install("mariadb"), "--version"], text=True)
        return banner.partition("Ver ")[2].partition("-")[0]

    def initialise(self, data: Path) -> None:
        """Make the system tables and the user."""
        setup = self.setup_file()
        made = subprocess.run(
            [
                which("mariadb-install-db") or "mariadb-install-db",
                "--no-defaults",
                f"--datadir={data}",
                f"--tmpdir={self.tmpdir}",
                f"--extra-file={setup}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                "--innodb-log-file-size=32M",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            **self.popen(),
        )
        if made.returncode:
            raise ServerError(f"mariadb-install-db failed:\n{made.stdout}")

    def program(self) -> list[str | Path]:
        """The server's program."""
        return [install("mariadb")]
