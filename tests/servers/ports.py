"""The address and the ports on which servers listen."""

from __future__ import annotations

import random
import socket

from tests.servers.errors import ServerError

HOST = "127.0.0.1"


def listens(port: int) -> bool:
    """Return whether a server accepts connections at a port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def free_port() -> int:
    """Return a TCP port that is free.

    It is below the kernel's range for clients, so that no client takes it while a killed server
    restarts.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerError("No free port between 20000 and 32000.")
