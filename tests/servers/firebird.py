"""A private Firebird: the machine's program, with a configuration and users of its own."""

from __future__ import annotations

import os
import shutil
import signal
from functools import cached_property
from pathlib import Path

from tests.servers.base import Server
from tests.servers.install import install
from tests.servers.ports import HOST

USER, PASSWORD = "SYSDBA", "sequences"

NAME = "sequences"
ALIASES = (NAME, f"test_{NAME}")
"""The database to start with, and the one that Django's tests make."""

SHARED = Path(f"/usr/lib/{os.uname().machine}-linux-gnu/firebird/3.0")
LINKED = ("firebird.msg", "intl", "lib", "plugins", "plugins.conf")
"""What Debian's package has beside the configuration."""

USERS = Path("/var/lib/firebird/3.0/system/security3.fdb")
"""Debian's database of users, to which one is added in a copy."""


class Firebird(Server):
    """Firebird with a user who may do everything."""

    name = "firebird"
    title = "Firebird"
    user = "firebird"
    stop_signal = signal.SIGTERM

    def install(self) -> None:
        """Provide the programs."""
        install("firebird")

    @cached_property
    def version(self) -> str:
        """Such as "3.0.11"."""
        banner = self.run([install("firebird"), "-z"])
        return ".".join(banner.partition("-V")[2].split(".")[:3])

    @property
    def url(self) -> str:
        """Where it is, as the user who may do everything."""
        return f"firebird://{USER}:{PASSWORD}@{HOST}:{self.port}/{NAME}"

    def environment(self) -> dict[str, str]:
        """Where it finds its configuration, and puts its locks and temporary files."""
        return {name: str(self.data) for name in ("FIREBIRD", "FIREBIRD_LOCK", "FIREBIRD_TMP")}

    def initialise(self, data: Path) -> None:
        """Make the databases."""
        data.mkdir()
        for name in LINKED:
            (data / name).symlink_to(SHARED / name)
        shutil.copy(USERS, data / "users.fdb")
        if owner := self.owner():
            for path in (data, data / "users.fdb"):
                os.chown(path, *owner)
        self.configure()
        # Without a server, who may read the file may do everything.
        users = ["env", *(f"{name}={value}" for name, value in self.environment().items())]
        users += ["isql-fb", "-quiet", "-user", USER, str(data / "users.fdb")]
        self.run(users, f"CREATE OR ALTER USER {USER} PASSWORD '{PASSWORD}';\nCOMMIT;\n")
        create = f"CREATE DATABASE '{data / NAME}.fdb' DEFAULT CHARACTER SET UTF8;\n"
        self.run([*users[:-1], "-bail"], create)

    def configure(self) -> None:
        """Write the configuration, which has the port and the paths."""
        settings = {
            "RemoteBindAddress": HOST,
            "RemoteServicePort": self.port,
            "SecurityDatabase": self.data / "users.fdb",
            "UserManager": "Srp",
            "AuthServer": "Srp",
            **self.settings,
        }
        lines = (f"{name} = {value}\n" for name, value in settings.items())
        (self.data / "firebird.conf").write_text("".join(lines))
        databases = "".join(f"{alias} = {self.data / alias}.fdb\n" for alias in ALIASES)
        (self.data / "databases.conf").write_text(databases)

    def command(self) -> list[str | Path]:
        """The server, with its configuration as it is now."""
        self.configure()
        return [install("firebird")]
