"""The proxy delays, holds and cuts connections as requested."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.proxy import Proxy


def _echo(listener: socket.socket, seen: list[bytes]) -> None:
    """Echo each chunk, on any number of connections, until the listener closes."""

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while chunk := connection.recv(4096):
                seen.append(chunk)
                connection.sendall(chunk)

    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()


@pytest.fixture
def seen() -> list[bytes]:
    """The chunks that the server has received."""
    return []


@pytest.fixture
def port(seen: list[bytes]) -> Iterator[int]:
    """The port of a server that echoes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=[listener, seen], daemon=True).start()
        yield listener.getsockname()[1]
        # close() alone doesn't interrupt accept() in the thread.
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(port: int) -> Iterator[Proxy]:
    """A proxy in front of it."""
    with Proxy(port) as proxy:
        yield proxy


def _connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """A client that is connected through the proxy."""
    with _connect(proxy) as client:
        yield client


def _round_trip(client: socket.socket, request: bytes = b"ping") -> float:
    """Return the seconds between the request and its reply."""
    begun = time.perf_counter()
    client.sendall(request)
    assert client.recv(4096) == request
    return time.perf_counter() - begun


def test_a_round_trip_takes_twice_the_latency(port: int, client: socket.socket) -> None:
    """The latency is in milliseconds, one way."""
    with Proxy(port, latency=20) as far, _connect(far) as distant:
        assert 0.04 <= _round_trip(distant) < 0.2
    assert min(_round_trip(client) for _ in range(5)) < 0.02


def test_what_is_held_does_not_arrive(
    proxy: Proxy, client: socket.socket, seen: list[bytes]
) -> None:
    """A held connection stays open, without a response."""
    proxy.hold()
    client.sendall(b"ping")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(4096)
    assert seen == []


def test_a_cut_ends_what_is_open_and_lets_in_what_is_new(
    proxy: Proxy, client: socket.socket
) -> None:
    """cut() is an outage that ends at once."""
    _round_trip(client)
    assert proxy.cut() == 1
    assert _is_cut(client)
    with _connect(proxy) as new:
        _round_trip(new)


@pytest.mark.parametrize(("lost", "served"), [("reply", [b"COMMIT"]), ("request", [])])
def test_a_commit_is_lost(
    proxy: Proxy, client: socket.socket, seen: list[bytes], lost: Any, served: list[bytes]
) -> None:
    """The server executes the request if only its reply is lost; the client can't know which."""
    proxy.lose(lost, b"COMMIT")
    _round_trip(client, b"INSERT")
    assert proxy.is_armed
    client.sendall(b"COMMIT")
    assert _is_cut(client)
    assert seen == [b"INSERT", *served]
    assert not proxy.is_armed


def _is_cut(client: socket.socket) -> bool:
    try:
        return client.recv(4096) == b""
    except ConnectionResetError:
        return True
