"""The address and the ports on which servers listen."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

from tests.servers.errors import ServerError

HOST = "127.0.0.1"

PORTS = range(20_000, 32_000)
"""The ports to choose from.

They are below the kernel's range for clients, so that no client takes one while a killed server
restarts.
"""

_reserved: list[socket.socket] = []
"""Sockets that are bound to the ports that :func:`free_port` has returned."""


def listens(port: int) -> bool:
    """Return whether a server accepts connections at a port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def free_port() -> int:
    """Return a TCP port that is free, and reserve it until this process ends.

    A cluster needs a dozen ports before its servers listen. Without a reservation, two of them, or
    those of two processes, would sometimes be equal.
    """
    for port in random.SystemRandom().sample(PORTS, min(100, len(PORTS))):
        reserved = socket.socket()
        with suppress(OSError):
            reserved.bind((HOST, port))
            # Servers set this option, too, so they can listen. Linux compares the options when the
            # second socket is bound, so another process that looks for a free port can't bind it.
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _reserved.append(reserved)
            return port
        reserved.close()
    raise ServerError(f"No free port between {PORTS.start} and {PORTS.stop}.")
