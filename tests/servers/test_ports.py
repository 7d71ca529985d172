"""Two servers never get the same port."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.servers import ports
from tests.servers.errors import ServerError

OTHER = """
import sys
from tests.servers import ports
ports.PORTS = range(int(sys.argv[1]), int(sys.argv[1]) + 1)
print(ports.free_port())
"""


def test_reservation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port is returned once, to one process, and its server can listen on it again and again."""
    monkeypatch.setattr(ports, "PORTS", range(19_000, 19_010))
    found = []
    with suppress(ServerError):
        while True:
            found.append(ports.free_port())
    assert found
    assert len(set(found)) == len(found)
    command = [sys.executable, "-c", OTHER, str(found[0])]
    other = subprocess.run(command, capture_output=True, text=True)
    assert "No free port" in other.stderr
    for _ in range(2):
        with socket.create_server((ports.HOST, found[0])):
            assert ports.listens(found[0])
        assert not ports.listens(found[0])
