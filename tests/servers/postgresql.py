"""A private PostgreSQL: the machine's own, or another release."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from functools import cached_property
from pathlib import Path

from tests.servers.base import Server
from tests.servers.install import install, postgresql_release
from tests.servers.ports import HOST

# The default synchronous_commit costs little without fsync, and tests of early release need it.
FAST = {"fsync": "off", "full_page_writes": "off"}


class PostgreSQL(Server):
    """PostgreSQL with a superuser `postgres` that needs no password on loopback."""

    name = "postgresql"
    title = "PostgreSQL"
    user = "postgres"
    stop_signal = signal.SIGINT
    releases = {
        "14": "14.23.0-beta.17",
        "15": "15.18.0-beta.17",
        "16": "16.14.0-beta.17",
        "17": "17.10.0-beta.17",
        "18": "18.4.0-beta.17",
    }
    """The versions of the npm packages with its programs, which have their own build numbers."""

    @cached_property
    def binaries(self) -> Path:
        """The folder of its programs."""
        release = self.releases.get(self.release)
        return postgresql_release(release) if release else install("postgresql").resolve().parent

    def install(self) -> None:
        """Install the programs."""
        assert self.binaries

    @cached_property
    def version(self) -> str:
        """The version, such as "15.18"."""
        return self.run([self.binaries / "postgres", "--version"]).split()[2]

    @property
    def url(self) -> str:
        """The URL, with the superuser."""
        return f"postgresql://postgres@{HOST}:{self.port}/postgres"

    def initialise(self, data: Path) -> None:
        """Create a database cluster that sorts by byte, whatever the machine's locale is."""
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
        self.run([self.binaries / "initdb", f"--pgdata={data}", "--no-sync", *options])

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
        settings = {**self.options(), **self.settings}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self.binaries / "postgres", "-D", self.data, *options]

    def close(self) -> None:
        """Close it, and remove the shared memory block that a killed server leaves."""
        block = ""
        if "directory" in vars(self):
            with contextlib.suppress(FileNotFoundError, IndexError):
                block = (self.data / "postmaster.pid").read_text().splitlines()[6].split()[1]
        super().close()
        if block:
            subprocess.run(["ipcrm", "-m", block], stderr=subprocess.DEVNULL)
