"""Where servers listen."""

from __future__ import annotations

import random
import socket

from tests.servers.errors import ServerError

HOST = "127.0.0.1"


def free_port() -> int:
    """A TCP port that nobody listens on.

    It is below the range that the kernel hands out to clients, so that it is still free when a
    server that was killed comes back to it.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerError("No free port between 20000 and 32000.")
