"""A network between client and server: a TCP proxy that delays, freezes and cuts connections.

It runs in a process of its own, so that it takes nothing from the interpreter that is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import selectors
import subprocess
import sys
import time
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

HOST = "127.0.0.1"
CHUNK = 1 << 16


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
        self.port: int = self._ask(host=host, port=port, latency=latency)

    def url(self, url: str) -> str:
        """The same database `url`, by way of the proxy."""
        parts = urlsplit(url)
        user = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{user}{'@' * bool(user)}{HOST}:{self.port}"))

    def delay(self, latency: float) -> None:
        """Change the latency, in milliseconds one way."""
        self._ask(latency=latency)

    def hold(self) -> None:
        """Pass nothing on until release(): a network that lost its link, without telling."""
        self._ask(held=True)

    def release(self) -> None:
        """Undo hold(), and pass on what has waited."""
        self._ask(held=False)

    def cut(self) -> int:
        """Reset every connection and return how many there were; new ones are welcome."""
        return self._ask(cut=True)

    def cut_at_reply(self, marker: bytes = b"") -> None:
        """Lose one reply: pass on the next request that has `marker` in it, then cut.

        The server acts on the request and the client never hears of it, as with a network that
        fails between COMMIT and its confirmation.
        """
        self._ask(marker=marker.hex(), lost="reply")

    def cut_at_request(self, marker: bytes = b"") -> None:
        """Lose one request: cut instead of passing on the next one that has `marker` in it.

        The server never hears of it, and the client can't tell that from a lost reply.
        """
        self._ask(marker=marker.hex(), lost="request")

    def is_armed(self) -> bool:
        """Whether the cut that was asked for at a request or reply is still to come."""
        return bool(self._ask(armed=True))

    def close(self) -> None:
        """End the proxy and its connections."""
        if self._process.stdin and self._process.stdout:
            self._process.stdin.close()
            self._process.stdout.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ask(self, **command: Any) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise ConnectionError(f"The proxy ended with {self._process.wait()}.")
        return int(answer)


class _Link:
    """The network: its connections, and what is done to them."""

    def __init__(self) -> None:
        self.host = HOST
        self.port = 0
        self.latency = 0.0
        self.marker: bytes | None = None
        self.lost = "reply"
        self.open = asyncio.Event()
        self.open.set()
        self.connections: set[_Connection] = set()

    async def obey(self, command: dict[str, Any]) -> int:
        """Do what the command says and return its answer."""
        if "latency" in command:
            self.latency = command["latency"] / 1000
        if "marker" in command:
            self.marker = bytes.fromhex(command["marker"])
            self.lost = command["lost"]
        if "armed" in command:
            return int(self.marker is not None)
        if "held" in command:
            (self.open.clear if command["held"] else self.open.set)()
        if "cut" in command:
            for connection in self.connections:
                connection.abort()
            return len(self.connections)
        if "port" in command:
            self.host, self.port = command["host"], command["port"]
            server = await asyncio.start_server(self.connect, HOST, 0, limit=CHUNK)
            return int(server.sockets[0].getsockname()[1])
        return 0

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either side ends."""
        try:
            onward, back = await asyncio.open_connection(self.host, self.port, limit=CHUNK)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(self, writer, back)
        self.connections.add(connection)
        try:
            # The end of the proxy cancels this, which asyncio of 3.11 would print as a failure.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(
                    connection.carry(reader, back, request=True),
                    connection.carry(onward, writer, request=False),
                )
        finally:
            self.connections.discard(connection)
            connection.abort()


class _Connection:
    """One client's connection: two streams, one each way."""

    def __init__(self, link: _Link, *writers: asyncio.StreamWriter) -> None:
        self.link = link
        self.writers = writers
        self.reply_is_lost = False

    def abort(self) -> None:
        """Reset both sides."""
        for writer in self.writers:
            writer.transport.abort()

    async def carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, request: bool
    ) -> None:
        """Pass chunks on, each when its time has come, several of them under way at once."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(self.deliver(queue, target, request=request))
        chunk = b"-"
        while chunk:
            try:
                chunk = await source.read(CHUNK)
            except OSError:
                chunk = b""
            queue.put_nowait((time.monotonic() + self.link.latency, chunk))
        await delivery

    async def deliver(
        self,
        queue: asyncio.Queue[tuple[float, bytes]],
        target: asyncio.StreamWriter,
        *,
        request: bool,
    ) -> None:
        """Write what is due, until an empty chunk says that there is no more."""
        with contextlib.suppress(OSError):
            while True:
                due, chunk = await queue.get()
                if (rest := due - time.monotonic()) > 0:
                    await asyncio.sleep(rest)
                await self.link.open.wait()
                if not chunk:
                    break
                if request and self.link.marker is not None and self.link.marker in chunk:
                    self.link.marker = None
                    if self.link.lost == "request":
                        self.abort()
                        return
                    self.reply_is_lost = True
                if not request and self.reply_is_lost:
                    break
                target.write(chunk)
                await target.drain()
            if self.reply_is_lost:
                self.abort()
            target.write_eof()


async def _serve() -> None:
    link = _Link()
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    # The end of input is the end of the owner, however it ended.
    while line := await commands.readline():
        print(await link.obey(json.loads(line)), flush=True)


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
