"""A TCP proxy that simulates a network: it delays, holds and cuts connections.

It runs in its own process, so that it doesn't slow down the interpreter that is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import selectors
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

HOST = "127.0.0.1"
CHUNK = 1 << 16

Deliver = Callable[[bytes], Awaitable[None]]
"""A function that delivers a chunk, or drops it; an empty chunk is the end."""


class Proxy:
    """A proxy that listens on a free port of 127.0.0.1 and forwards to `port`; a context manager.

    `latency` is the delay of each chunk in one direction, in milliseconds: half of a round trip.
    """

    def __init__(self, port: int, *, latency: float = 0.0, host: str = HOST) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port: int = self._tell("listen", host, port)
        self.delay(latency)

    def url(self, url: str) -> str:
        """Return the database `url` with the address of the proxy."""
        parts = urlsplit(url)
        user = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{user}{'@' * bool(user)}{HOST}:{self.port}"))

    def delay(self, latency: float) -> None:
        """Change the latency, in milliseconds one way."""
        self._tell("delay", latency)

    def hold(self) -> None:
        """Forward nothing until release(), like a network that loses its link without an error."""
        self._tell("hold")

    def release(self) -> None:
        """Undo hold(), and forward what was held."""
        self._tell("release")

    def cut(self) -> int:
        """Reset every connection, and return their number; new connections are accepted."""
        return self._tell("cut")

    def cut_at_reply(self, marker: bytes = b"") -> None:
        """Lose one reply: forward the next request that contains `marker`, then cut the connection.

        The server executes the request and the client gets no reply, as when the network fails
        between COMMIT and its confirmation.
        """
        self._tell("arm", "reply", marker.hex())

    def cut_at_request(self, marker: bytes = b"") -> None:
        """Lose one request: cut the connection instead of forwarding the next one with `marker`.

        The server never gets it, which the client can't distinguish from a lost reply.
        """
        self._tell("arm", "request", marker.hex())

    def is_armed(self) -> bool:
        """Return whether the requested cut at a request or reply hasn't happened yet."""
        return bool(self._tell("is_armed"))

    def close(self) -> None:
        """Close the proxy and its connections."""
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _tell(self, method: str, *arguments: Any) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise ConnectionError(f"The proxy ended with exit status {self._process.wait()}.")
        return int(answer)


class _Link:
    """The network in the other process; Proxy calls its methods by name."""

    def __init__(self) -> None:
        self.latency = 0.0
        self.lost = ""
        self.marker = b""
        self.open = asyncio.Event()
        self.open.set()
        self.hold, self.release = self.open.clear, self.open.set
        self.connections: set[tuple[asyncio.StreamWriter, ...]] = set()

    async def listen(self, host: str, port: int) -> int:
        self.place = host, port
        server = await asyncio.start_server(self.connect, HOST, 0, limit=CHUNK)
        return int(server.sockets[0].getsockname()[1])

    def delay(self, latency: float) -> None:
        self.latency = latency / 1000

    def cut(self) -> int:
        for connection in self.connections:
            _reset(connection)
        return len(self.connections)

    def arm(self, lost: str, marker: str) -> None:
        self.lost, self.marker = lost, bytes.fromhex(marker)

    def is_armed(self) -> bool:
        return bool(self.lost)

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either side closes the connection."""
        try:
            onward, back = await asyncio.open_connection(*self.place, limit=CHUNK)
        except OSError:
            _reset((writer,))
            return
        connection = (writer, back)
        self.connections.add(connection)
        lost = ""

        async def request(chunk: bytes) -> None:
            nonlocal lost
            if self.lost and self.marker in chunk:
                lost, self.lost = self.lost, ""
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
                await asyncio.gather(self.carry(reader, request), self.carry(onward, reply))
        finally:
            self.connections.discard(connection)
            _reset(connection)

    async def carry(self, source: asyncio.StreamReader, deliver: Deliver) -> None:
        """Forward chunks, each after its delay, with several in transit at once."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(self.deliver(queue, deliver))
        chunk = b"-"
        while chunk:
            try:
                chunk = await source.read(CHUNK)
            except OSError:
                chunk = b""
            queue.put_nowait((time.monotonic() + self.latency, chunk))
        await delivery

    async def deliver(self, queue: asyncio.Queue[tuple[float, bytes]], deliver: Deliver) -> None:
        """Deliver chunks when they are due, until an empty one."""
        chunk = b"-"
        with contextlib.suppress(OSError):
            while chunk:
                due, chunk = await queue.get()
                await asyncio.sleep(max(due - time.monotonic(), 0))
                await self.open.wait()
                await deliver(chunk)


def _reset(connection: Iterable[asyncio.StreamWriter]) -> None:
    for writer in connection:
        writer.transport.abort()


async def _serve() -> None:
    link = _Link()
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    # The end of input means that the owner has ended, for whatever reason.
    while line := await commands.readline():
        method, *arguments = json.loads(line)
        answer = getattr(link, method)(*arguments)
        print(int(await answer if inspect.isawaitable(answer) else answer or 0), flush=True)


def _exact_loop() -> asyncio.AbstractEventLoop:
    """Return a loop with exact timers: epoll, the default, rounds to milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main() -> None:
    """Execute the commands on standard input until it ends."""
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=_exact_loop) as runner,
    ):
        runner.run(_serve())


if __name__ == "__main__":
    main()
