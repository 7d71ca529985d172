"""Two servers never get the same port."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from tests.servers import ports
from tests.servers.errors import ServerError


def test_reservation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port is returned once, and its server can listen on it again and again."""
    monkeypatch.setattr(ports, "PORTS", range(19_000, 19_010))
    found = []
    with suppress(ServerError):
        while True:
            found.append(ports.free_port())
    assert found
    assert len(set(found)) == len(found)
    for _ in range(2):
        with socket.create_server((ports.HOST, found[0])):
            assert ports.listens(found[0])
        assert not ports.listens(found[0])
