"""A TCP proxy that simulates a network: it delays and cuts connections.

It runs in a thread. Its clients are other processes, so it doesn't slow down what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import threading
from collections.abc import Coroutine
from typing import Any, Literal, Self, TypeVar

from tests.servers.ports import HOST

CHUNK = 1 << 16

T = TypeVar("T")


class Proxy:
    """A proxy that listens on a free port of 127.0.0.1 and forwards to `port`; a context manager.

    `latency` is the delay of each chunk in one direction, in milliseconds: half of a round trip.
    """

    def __init__(self, port: int, *, latency: float = 0.0, host: str = HOST) -> None:
        self._place = host, port
        self._latency = latency / 1000
        self._lost, self._marker = "", b""
        self._connections: set[tuple[asyncio.StreamWriter, ...]] = set()
        self._runner = asyncio.Runner(loop_factory=_exact_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._connect, HOST, 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def url(self, url: str) -> str:
        """Return the database `url` of a private server with the port of the proxy."""
        return url.replace(f":{self._place[1]}/", f":{self.port}/")

    def cut(self) -> int:
        """Reset every connection, and return their number; new connections are accepted."""

        async def reset() -> int:
            for connection in self._connections:
                _reset(*connection)
            return len(self._connections)

        return self._run(reset())

    def lose(self, what: Literal["request", "reply"], marker: bytes) -> None:
        """Cut the connection of the next request that contains `marker`, instead of forwarding it.

        If `what` is "reply", the server executes the request, and the client gets no reply, as when
        the network fails between COMMIT and its confirmation. The client can't distinguish them.
        """
        self._marker = marker
        self._lost = what

    @property
    def is_armed(self) -> bool:
        """Whether what lose() has requested hasn't happened yet."""
        return bool(self._lost)

    def close(self) -> None:
        """Cut all connections, and accept no more."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._server.close)
            self.cut()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the proxy's thread, and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either side closes the connection."""
        try:
            onward, back = await asyncio.open_connection(*self._place)
        except OSError:
            _reset(writer)
            return
        lost = ""

        async def carry(what: str, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            """Forward chunks, each after its delay, with several in transit at once."""
            nonlocal lost
            with contextlib.suppress(OSError):
                while chunk := await source.read(CHUNK):
                    if what == "request" and self._lost and self._marker in chunk:
                        lost, self._lost = self._lost, ""
                    if what == lost:
                        _reset(writer, back)
                        return
                    self._loop.call_later(self._latency, to.write, chunk)
            self._loop.call_later(self._latency, to.close)

        self._connections.add((writer, back))
        # The end of the proxy cancels this, which Python 3.11 would print as a failure.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(carry("request", reader, back), carry("reply", onward, writer))
        self._connections.discard((writer, back))


def _reset(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.transport.abort()


def _exact_loop() -> asyncio.AbstractEventLoop:
    """Return a loop with exact timers: epoll, the default, rounds to milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())
