"""A private Firebird: the machine's program with its own configuration and users."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.servers.base import Server
from tests.servers.ports import HOST

USER, PASSWORD = "SYSDBA", "sequences"

NAME = "sequences"
ALIASES = (NAME, f"test_{NAME}")
"""The database to start with, and the one that Django's tests create."""

SHARED = Path(f"/usr/lib/{os.uname().machine}-linux-gnu/firebird/3.0")
LINKED = ("firebird.msg", "intl", "lib", "plugins", "plugins.conf")
"""The entries of Debian's package that are used unchanged."""

USERS = Path("/var/lib/firebird/3.0/system/security3.fdb")
"""Debian's database of users; the server uses a copy with one more user."""


class Firebird(Server):
    """Firebird with a user that has all privileges."""

    name = "firebird"
    title = "Firebird"
    address = f"firebird://{USER}:{PASSWORD}@{HOST}:{{port}}/{NAME}"
    version_option = "-z"

    def environment(self) -> dict[str, str]:
        """Return the folders of the configuration, of locks and of temporary files."""
        return {name: str(self.data) for name in ("FIREBIRD", "FIREBIRD_LOCK", "FIREBIRD_TMP")}

    def initialise(self) -> None:
        """Create the databases."""
        for name in LINKED:
            (self.data / name).symlink_to(SHARED / name)
        shutil.copy(USERS, self.data / "users.fdb")
        self.give(self.data / "users.fdb")
        self.command()
        # Without a server, anybody who can read the file has all privileges.
        users = ["env", *(f"{name}={value}" for name, value in self.environment().items())]
        users += ["isql-fb", "-quiet", "-user", USER, str(self.data / "users.fdb")]
        self.run(users, f"CREATE OR ALTER USER {USER} PASSWORD '{PASSWORD}';\nCOMMIT;\n")
        create = f"CREATE DATABASE '{self.data / NAME}.fdb' DEFAULT CHARACTER SET UTF8;\n"
        self.run([*users[:-1], "-bail"], create)

    def options(self) -> dict[str, str | int]:
        """Return the settings: TCP only, and accounts of its own."""
        return {
            "RemoteBindAddress": HOST,
            "RemoteServicePort": self.port,
            "SecurityDatabase": str(self.data / "users.fdb"),
            "UserManager": "Srp",
            "AuthServer": "Srp",
            # Inserts of one key can deadlock after rollbacks. The default is 10 s for each of them.
            "DeadlockTimeout": 1,
        }

    def command(self) -> list[str | Path]:
        """Return the command, after writing its configuration with the port and the paths."""
        (self.data / "firebird.conf").write_text("\n".join(self.configuration()))
        databases = "".join(f"{alias} = {self.data / alias}.fdb\n" for alias in ALIASES)
        (self.data / "databases.conf").write_text(databases)
        return [self.program()]
