"""A private PostgreSQL."""

from __future__ import annotations

import signal
import subprocess
from functools import cached_property
from pathlib import Path

from tests.servers.base import Server
from tests.servers.errors import ServerError
from tests.servers.install import install
from tests.servers.ports import HOST

# Commits are waited for as usual, which costs little without fsync: early release is tested.
FAST = {"fsync": "off", "full_page_writes": "off"}


class PostgreSQL(Server):
    """PostgreSQL with a superuser `postgres`, trusted on loopback."""

    name = "postgresql"
    title = "PostgreSQL"
    user = "postgres"
    stop_signal = signal.SIGINT

    @cached_property
    def binaries(self) -> Path:
        """The folder of its programs."""
        return install("postgresql")

    def install(self) -> None:
        """Provide the programs."""
        assert self.binaries

    @cached_property
    def version(self) -> str:
        """Such as "15.18"."""
        banner = subprocess.check_output([self.binaries / "postgres", "--version"], text=True)
        return banner.split()[2]

    @property
    def url(self) -> str:
        """Where it is, as the superuser."""
        return f"postgresql://postgres@{HOST}:{self.port}/postgres"

    def initialise(self, data: Path) -> None:
        """Make a database cluster that sorts by byte, whatever the machine's locale."""
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
        made = subprocess.run(
            [self.binaries / "initdb", f"--pgdata={data}", "--no-sync", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            **self.popen(),
        )
        if made.returncode:
            raise ServerError(f"initdb failed:\n{made.stdout}")

    def command(self) -> list[str | Path]:
        """The server on TCP alone, with room for the connections of every test's threads."""
        settings = {
            "port": self.port,
            "listen_addresses": HOST,
            # The path of a socket in a deep temporary directory can be too long.
            "unix_socket_directories": "",
            # Inside the data directory, so that SIGKILL leaves nothing in /dev/shm.
            "dynamic_shared_memory_type": "mmap",
            "max_connections": 200,
            **({} if self.durable else FAST),
            **self.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self.binaries / "postgres", "-D", self.data, *options]

    def answers(self) -> bool:
        """Whether it takes connections: while it recovers it only answers."""
        address = ["--host", HOST, "--port", str(self.port)]
        ready = subprocess.run([self.binaries / "pg_isready", "--quiet", *address], cwd="/")
        return ready.returncode == 0
