"""A TCP proxy that simulates a network: it delays, holds and cuts connections.

It runs in a thread. Its clients are other processes, so it doesn't slow down what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal, Self, TypeVar

from tests.servers.ports import HOST

CHUNK = 1 << 16

T = TypeVar("T")

Deliver = Callable[[bytes], Awaitable[None]]
"""A function that delivers a chunk, or drops it; an empty chunk is the end."""


class Proxy:
    """A proxy that listens on a free port of 127.0.0.1 and forwards to `port`; a context manager.

    `latency` is the delay of each chunk in one direction, in milliseconds: half of a round trip.
    """

    def __init__(self, port: int, *, latency: float = 0.0, host: str = HOST) -> None:
        self._place = host, port
        self._latency = latency / 1000
        self._lost, self._marker = "", b""
        self._open = asyncio.Event()
        self._open.set()
        self._connections: set[tuple[asyncio.StreamWriter, ...]] = set()
        self._runner = asyncio.Runner(loop_factory=_exact_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listening = asyncio.start_server(self._connect, HOST, 0, limit=CHUNK)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    def url(self, url: str) -> str:
        """Return the database `url` of a private server with the port of the proxy."""
        return url.replace(f":{self._place[1]}/", f":{self.port}/")

    def hold(self) -> None:
        """Forward nothing from now on, like a network that loses its link without an error."""
        self._call(self._open.clear)

    def cut(self) -> int:
        """Reset every connection, and return their number; new connections are accepted."""

        def reset() -> int:
            for connection in self._connections:
                _reset(connection)
            return len(self._connections)

        return self._call(reset)

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
        """Close the proxy and its connections."""
        self._call(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _call(self, function: Callable[[], T]) -> T:
        """Call a function in the proxy's thread, and return its result."""

        async def call() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either side closes the connection."""
        try:
            onward, back = await asyncio.open_connection(*self._place, limit=CHUNK)
        except OSError:
            _reset((writer,))
            return
        connection = (writer, back)
        self._connections.add(connection)
        lost = ""

        async def request(chunk: bytes) -> None:
            nonlocal lost
            if self._lost and self._marker in chunk:
                lost, self._lost = self._lost, ""
            await pass_on(chunk, back, lost == "request")

        async def reply(chunk: bytes) -> None:
            await pass_on(chunk, writer, lost == "reply")

        async def pass_on(chunk: bytes, target: asyncio.StreamWriter, is_lost: bool) -> None:
            if is_lost:
                _reset(connection)
            elif chunk:
                target.write(chunk)
                await target.drain()
            else:
                target.write_eof()

        try:
            # The end of the proxy cancels this, which Python 3.11 would print as a failure.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(self._carry(reader, request), self._carry(onward, reply))
        finally:
            self._connections.discard(connection)
            _reset(connection)

    async def _carry(self, source: asyncio.StreamReader, deliver: Deliver) -> None:
        """Forward chunks, each after its delay, with several in transit at once."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(self._deliver(queue, deliver))
        chunk = b"-"
        while chunk:
            try:
                chunk = await source.read(CHUNK)
            except OSError:
                chunk = b""
            queue.put_nowait((time.monotonic() + self._latency, chunk))
        await delivery

    async def _deliver(self, queue: asyncio.Queue[tuple[float, bytes]], deliver: Deliver) -> None:
        """Deliver chunks when they are due, until an empty one."""
        chunk = b"-"
        with contextlib.suppress(OSError):
            while chunk:
                due, chunk = await queue.get()
                await asyncio.sleep(max(due - time.monotonic(), 0))
                await self._open.wait()
                await deliver(chunk)


def _reset(connection: Iterable[asyncio.StreamWriter]) -> None:
    for writer in connection:
        writer.transport.abort()


def _exact_loop() -> asyncio.AbstractEventLoop:
    """Return a loop with exact timers: epoll, the default, rounds to milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())
