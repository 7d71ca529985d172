"""What all servers share: private data, a free port, and ways to end them, good and bad."""

from __future__ import annotations

import abc
import atexit
import os
import pwd
import shutil
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from mirakuru import ExecutorError

from tests.servers import reaper
from tests.servers.cache import cached
from tests.servers.errors import ServerError
from tests.servers.ports import free_port
from tests.servers.process import Process

TEMPLATE = 1
"""Which way of initialising made the cached data directories: raise it with every change."""

_open: set[Server] = set()


class Server(abc.ABC):
    """A private, throw-away server; a context manager that starts it and removes it.

    `durable=False` gives up crash safety for speed (fsync off): for tests. `durable=True` is the
    server's own default: for benchmarks and for tests that kill it. `settings` are more settings
    of the server, by its own names. Every method raises ServerError when the server doesn't do
    as told.
    """

    name: ClassVar[str]
    """What DB and the installer call it."""
    title: ClassVar[str]
    """What its users call it."""
    user: ClassVar[str]
    """Who runs it when we are root: servers refuse to run as root."""
    stop_signal: ClassVar[int]
    """What makes it stop in order, without waiting for its clients."""

    def __init__(
        self,
        *,
        durable: bool = False,
        settings: Mapping[str, str | int] | None = None,
        port: int | None = None,
    ) -> None:
        self.durable = durable
        self.settings = dict(settings or {})
        self.port = port or free_port()
        self._process: Process | None = None

    # What each server must say.

    @abc.abstractmethod
    def install(self) -> None:
        """Provide the programs."""

    @property
    @abc.abstractmethod
    def version(self) -> str:
        """The server's version, such as "15.18", asked from its program."""

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """Where it is, for dj-database-url, with a user that may do everything."""

    @abc.abstractmethod
    def initialise(self, data: Path) -> None:
        """Make a fresh data directory at `data`, for `owner`."""

    @abc.abstractmethod
    def command(self) -> list[str | Path]:
        """The command line of the server."""

    @abc.abstractmethod
    def answers(self) -> bool:
        """Whether it takes connections."""

    # Starting.

    @cached_property
    def directory(self) -> Path:
        """The server's own folder, with its data and log, removed by close()."""
        directory = Path(tempfile.mkdtemp(prefix=f"sequences-{self.name}-", dir=self.parent()))
        if owner := self.owner():
            os.chown(directory, *owner)
        _open.add(self)
        reaper.watch(directory)
        return directory

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.directory / "log"

    def parent(self) -> Path:
        """Where to make the folder: the temporary directory, if the server's user gets there."""
        chosen = Path(tempfile.gettempdir()).resolve()
        reachable = all(folder.stat().st_mode & 0o001 for folder in [chosen, *chosen.parents])
        return chosen if reachable or not self.owner() else Path("/tmp")

    def owner(self) -> tuple[int, int] | None:
        """The ids of `user` and its group; None when we aren't root and run it as ourselves."""
        if os.geteuid() != 0:
            return None
        entry = pwd.getpwnam(self.user)
        return entry.pw_uid, entry.pw_gid

    def popen(self) -> dict[str, Any]:
        """How to start the process: arguments for Popen."""
        owner = self.owner()
        return {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}

    def environment(self) -> dict[str, str]:
        """Variables of the process beside our own."""
        return {}

    def prepare(self) -> None:
        """Install the programs and make the data directory, unless that was done."""
        self.install()
        if self.data.exists():
            return
        template = cached(f"templates/{self.name}-{self.version}-{TEMPLATE}", self._build)
        shutil.copytree(template, self.data)
        if owner := self.owner():
            for path in [self.data, *self.data.rglob("*")]:
                os.chown(path, *owner)

    def _build(self, template: Path) -> None:
        # Made in our own folder, as the server's user may have no way into the cache.
        self.initialise(self.data)
        shutil.move(self.data, template)

    def launch(self) -> None:
        """Start the process; several servers boot side by side when wait() comes later."""
        if self._process and self._process.running():
            raise ServerError(f"{self.title} runs already.")
        with self.log.open("ab") as log:
            self._process = Process(
                self.command(),
                answers=self.answers,
                log=log,
                stop_signal=self.stop_signal,
                popen=self.popen(),
                environment=self.environment(),
            )
            reaper.watch(self.directory, self._process.launch())

    def wait(self) -> None:
        """Wait until the server answers."""
        assert self._process
        try:
            self._process.wait_until_ready()
        except ExecutorError as error:
            self._ended()
            last = self.log.read_text(errors="replace")[-2000:].strip()
            raise ServerError(f"{self.title} did not start. The end of its log:\n{last}") from error

    def start(self) -> Self:
        """Start, and wait until it answers; after stop() or kill(), on the same data and port."""
        self.prepare()
        self.launch()
        self.wait()
        return self

    @property
    def pid(self) -> int:
        """The id of the server's main process."""
        return self._running().pid

    # Ending.

    def stop(self) -> None:
        """Shut down in order, and keep the data."""
        process = self._running()
        process.resume()
        try:
            process.stop()
        except ExecutorError as error:
            raise ServerError(f"{self.title} did not end in order: {error}") from error
        finally:
            self._ended()

    def kill(self) -> None:
        """End all its processes by SIGKILL, as a crash of the machine would, and keep the data."""
        self._running().crash()
        self._ended()

    def pause(self) -> None:
        """Freeze all its processes (SIGSTOP): connections stay open and nothing answers."""
        self._running().pause()

    def resume(self) -> None:
        """Undo pause()."""
        self._running().resume()

    def close(self) -> None:
        """End it fast, if it runs, and remove everything it left."""
        if self._process:
            self.kill()
        _open.discard(self)
        if directory := self.__dict__.pop("directory", None):
            shutil.rmtree(directory, ignore_errors=True)
            reaper.forget(directory)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _running(self) -> Process:
        if not self._process or not self._process.process:
            raise ServerError(f"{self.title} is not running.")
        return self._process

    def _ended(self) -> None:
        self._process = None
        reaper.watch(self.directory)

    def _disown(self) -> None:
        if self._process:
            self._process.disown()
        self._process = None
        self.__dict__.pop("directory", None)


def close_all() -> None:
    """Close every server that this process started."""
    for server in list(_open):
        server.close()
    reaper.end()


def _disown_all() -> None:
    for server in list(_open):
        server._disown()
    _open.clear()
    reaper.disown()


# At the end of the process, whether it returns, fails or is interrupted; the reaper has the rest.
atexit.register(close_all)
os.register_at_fork(after_in_child=_disown_all)
