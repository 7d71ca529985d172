"""A network between client and server: a TCP proxy that delays, freezes and cuts connections.

It runs in a process of its own, so that it takes nothing from the interpreter that is measured.
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
"""Deliver a chunk, or lose it; an empty one is the end."""


class Proxy:
    """Listens on a free port of 127.0.0.1 and passes everything on to `port`; a context manager.

    `latency` is the time that each chunk takes one way, in milliseconds: half of a round trip.
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
        """The same database `url`, by way of the proxy."""
        parts = urlsplit(url)
        user = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{user}{'@' * bool(user)}{HOST}:{self.port}"))

    def delay(self, latency: float) -> None:
        """Change the latency, in milliseconds one way."""
        self._tell("delay", latency)

    def hold(self) -> None:
        """Pass nothing on until release(): a network that lost its link, without telling."""
        self._tell("hold")

    def release(self) -> None:
        """Undo hold(), and pass on what has waited."""
        self._tell("release")

    def cut(self) -> int:
        """Reset every connection and return how many there were; new ones are welcome."""
        return self._tell("cut")

    def cut_at_reply(self, marker: bytes = b"") -> None:
        """Lose one reply: pass on the next request that has `marker` in it, then cut.

        The server acts on the request and the client never hears of it, as with a network that
        fails between COMMIT and its confirmation.
        """
        self._tell("arm", "reply", marker.hex())

    def cut_at_request(self, marker: bytes = b"") -> None:
        """Lose one request: cut instead of passing on the next one that has `marker` in it.

        The server never hears of it, and the client can't tell that from a lost reply.
        """
        self._tell("arm", "request", marker.hex())

    def is_armed(self) -> bool:
        """Whether the cut that was asked for at a request or reply is still to come."""
        return bool(self._tell("is_armed"))

    def close(self) -> None:
        """End the proxy and its connections."""
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
            raise ConnectionError(f"The proxy ended with {self._process.wait()}.")
        return int(answer)


class _Link:
    """The network, in the other process: each method is what Proxy tells it."""

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
        """Serve one client until either side ends."""
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
            # The end of the proxy cancels this, which asyncio of 3.11 would print as a failure.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(self.carry(reader, request), self.carry(onward, reply))
        finally:
            self.connections.discard(connection)
            _reset(connection)

    async def carry(self, source: asyncio.StreamReader, deliver: Deliver) -> None:
        """Pass chunks on, each when its time has come, several of them under way at once."""
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
        """Deliver what is due, until an empty chunk says that there is no more."""
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
    # The end of input is the end of the owner, however it ended.
    while line := await commands.readline():
        method, *arguments = json.loads(line)
        answer = getattr(link, method)(*arguments)
        print(int(await answer if inspect.isawaitable(answer) else answer or 0), flush=True)


def _exact_loop() -> asyncio.AbstractEventLoop:
    """A loop as exact as the clock: epoll, the default, counts in whole milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main() -> None:
    """Obey the commands on standard input until it ends."""
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=_exact_loop) as runner,
    ):
        runner.run(_serve())


if __name__ == "__main__":
    main()
