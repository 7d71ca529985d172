"""The proxy delays, holds and cuts connections as requested."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

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
def proxy(seen: list[bytes]) -> Iterator[Proxy]:
    """A proxy in front of a server that echoes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=[listener, seen], daemon=True).start()
        with Proxy(listener.getsockname()[1]) as proxy:
            yield proxy
        # close() alone doesn't interrupt accept() in the thread.
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """A client that is connected through the proxy."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        yield client


def _round_trip(client: socket.socket, request: bytes = b"ping") -> float:
    """Return the seconds between the request and its reply."""
    begun = time.perf_counter()
    client.sendall(request)
    assert client.recv(4096) == request
    return time.perf_counter() - begun


def test_a_round_trip_takes_twice_the_latency(proxy: Proxy, client: socket.socket) -> None:
    """The latency is in milliseconds, one way."""
    proxy.delay(20)
    assert 0.04 <= _round_trip(client) < 0.2
    proxy.delay(0)
    assert min(_round_trip(client) for _ in range(5)) < 0.02


def test_what_is_held_arrives_later(proxy: Proxy, client: socket.socket) -> None:
    """A held connection loses nothing."""
    proxy.hold()
    client.sendall(b"ping")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(4096)
    proxy.release()
    client.settimeout(5)
    assert client.recv(4096) == b"ping"


def test_a_cut_ends_what_is_open_and_lets_in_what_is_new(
    proxy: Proxy, client: socket.socket
) -> None:
    """cut() is an outage that ends at once."""
    _round_trip(client)
    assert proxy.cut() == 1
    assert _is_cut(client)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as new:
        _round_trip(new)


@pytest.mark.parametrize(("lost", "served"), [("reply", [b"COMMIT"]), ("request", [])])
def test_a_commit_is_lost(
    proxy: Proxy, client: socket.socket, seen: list[bytes], lost: str, served: list[bytes]
) -> None:
    """The server executes the request if only its reply is lost; the client can't know which."""
    getattr(proxy, f"cut_at_{lost}")(b"COMMIT")
    _round_trip(client, b"INSERT")
    assert proxy.is_armed()
    client.sendall(b"COMMIT")
    assert _is_cut(client)
    assert seen == [b"INSERT", *served]
    assert not proxy.is_armed()


def _is_cut(client: socket.socket) -> bool:
    try:
        return client.recv(4096) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "url", ["mysql://user:pass@localhost:3306/name?charset=utf8mb4", "postgresql://db/name"]
)
def test_the_url_keeps_all_but_the_place(proxy: Proxy, url: str) -> None:
    """The user, the database and the options are those of the server's URL."""
    assert f"127.0.0.1:{proxy.port}/name" in proxy.url(url)
    assert ("user:pass@" in proxy.url(url)) == ("user:pass@" in url)
    assert proxy.url(url).partition("?")[2] == url.partition("?")[2]
