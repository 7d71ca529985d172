"""The proxy delays connections, and loses what it is told to lose."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Literal

import pytest

from tests.servers.proxy import Proxy


class Echo(BaseRequestHandler):
    """The handler of a server that sends back each chunk, and keeps it."""

    seen: list[bytes]

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := self.request.recv(4096):
                self.seen.append(chunk)
                self.request.sendall(chunk)


@pytest.fixture
def port() -> Iterator[int]:
    """The port of such a server."""
    Echo.seen = []
    with ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=[0.01]).start()
        yield server.server_address[1]
        server.shutdown()


def _round_trip(client: socket.socket, request: bytes = b"ping") -> float:
    """Return the seconds between the request and its reply."""
    begun = time.perf_counter()
    client.sendall(request)
    assert client.recv(4096) == request
    return time.perf_counter() - begun


def test_a_round_trip_takes_twice_the_latency(port: int) -> None:
    """The latency is in milliseconds, one way."""
    for latency, least, most in ((20, 0.04, 0.2), (0, 0, 0.02)):
        with (
            Proxy(port, latency=latency) as proxy,
            socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client,
        ):
            assert least <= min(_round_trip(client) for _ in range(5)) < most


@pytest.mark.parametrize(("lost", "served"), [("reply", [b"COMMIT"]), ("request", [])])
def test_a_commit_is_lost(
    port: int, lost: Literal["reply", "request"], served: list[bytes]
) -> None:
    """The server executes the request if only its reply is lost; the client can't know which."""
    with (
        Proxy(port) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client,
    ):
        proxy.lose(lost, b"COMMIT")
        _round_trip(client, b"INSERT")
        assert proxy.is_armed
        client.sendall(b"COMMIT")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(4096) == b""
        assert Echo.seen == [b"INSERT", *served]
        assert not proxy.is_armed
