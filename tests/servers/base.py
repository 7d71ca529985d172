"""The base class of all servers: private data, a free port, and ways to start and end it."""

from __future__ import annotations

import abc
import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from tests.servers import reaper
from tests.servers.cache import cached
from tests.servers.errors import ServerError, wait_until
from tests.servers.ports import free_port
from tests.servers.probe import connect, query

TEMPLATE = 2
"""The version of the cached data directories: raise it when their initialisation changes."""

TIMEOUT = 120.0
"""Seconds that a server may take to start, or to shut down."""

_open: set[Server] = set()


def listed(names: str | None) -> dict[str, str]:
    """Return the databases in the list `names`, separated by commas or spaces, and their releases.

    "sqlite, postgresql@18" is {"sqlite": "", "postgresql": "18"}.
    """
    entries = (name.partition("@") for name in (names or "").replace(",", " ").split())
    return {name: release for name, _, release in entries}


class Server(abc.ABC):
    """A private, throw-away server; a context manager that starts it and removes it.

    `durable=False` gives up crash safety for speed (fsync off), for tests. `durable=True` keeps the
    server's default, for benchmarks and for tests that kill it. `settings` are additional settings
    of the server, by their own names. The release is the one in the environment variable DB, by
    default the machine's own. All methods raise ServerError if the server fails.
    """

    name: ClassVar[str]
    """The name in DB and in the installer."""
    title: ClassVar[str]
    """The product's name."""
    user: ClassVar[str]
    """The user that runs it if the tests run as root, because servers refuse to run as root."""
    stop_signal: ClassVar[int]
    """The signal that makes it shut down without waiting for its clients."""
    releases: ClassVar[Mapping[str, Any]] = {}
    """The releases that DB may name, and the source of each."""

    def __init__(
        self,
        *,
        durable: bool = False,
        settings: Mapping[str, str | int] | None = None,
    ) -> None:
        self.durable = durable
        self.settings = dict(settings or {})
        self.port = free_port()
        self.release = listed(os.environ.get("DB")).get(self.name, "")
        self._process: subprocess.Popen[bytes] | None = None

    # What each server defines; url and command() have no default.

    def install(self) -> None:
        """Install the programs."""

    @property
    def version(self) -> str:
        """The server's version, such as "15.18", as its program prints it."""
        return ""

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """The URL for dj-database-url, with a user that has all privileges."""

    def initialise(self, data: Path) -> None:
        """Create a data directory at `data`, for `owner`; by default an empty one."""
        data.mkdir()

    @abc.abstractmethod
    def command(self) -> list[str | Path]:
        """Return the command line of the server."""

    def answers(self) -> bool:
        """Return whether it accepts connections."""
        try:
            connect(self.url).close()
        except ImportError:
            raise
        except Exception:  # noqa: BLE001 - of whichever driver this is
            return False
        return True

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement in a transaction of its own, and return its rows."""
        return query(self.url, statement)

    # Starting.

    @cached_property
    def directory(self) -> Path:
        """The server's own folder, with its data and log; close() removes it."""
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
        """Return the temporary directory, or /tmp if the server's user can't read that."""
        chosen = Path(tempfile.gettempdir()).resolve()
        reachable = all(folder.stat().st_mode & 0o001 for folder in [chosen, *chosen.parents])
        return chosen if reachable or not self.owner() else Path("/tmp")

    def owner(self) -> tuple[int, int] | None:
        """Return the ids of `user` and its group; None if the server runs as the current user."""
        if os.geteuid() != 0:
            return None
        try:
            entry = pwd.getpwnam(self.user)
        except KeyError:  # a user that only the package creates
            entry = pwd.getpwnam("nobody")
        return entry.pw_uid, entry.pw_gid

    def popen(self) -> dict[str, Any]:
        """Return the arguments for Popen that its programs run with."""
        owner = self.owner()
        switch = {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}
        return {"cwd": "/", "stderr": subprocess.STDOUT, **switch}

    def run(self, command: Sequence[str | Path], text: str = "") -> str:
        """Run one of its programs as its user with `text` as input, and return its output."""
        options = {**self.popen(), "stdout": subprocess.PIPE, "text": True, "input": text}
        ran: subprocess.CompletedProcess[str] = subprocess.run(command, **options)
        if ran.returncode:
            line = " ".join(map(str, command))
            raise ServerError(f"{self.title}: {line} failed:\n{ran.stdout[-2000:]}")
        return ran.stdout

    def environment(self) -> dict[str, str]:
        """Return additional environment variables of the process."""
        return {}

    def prepare(self) -> None:
        """Install the programs and create the data directory, unless that is done."""
        self.install()
        if self.data.exists():
            return
        template = cached(f"templates/{self.name}-{self.version}-{TEMPLATE}", self._build)
        shutil.copytree(template, self.data)
        if owner := self.owner():
            for path in [self.data, *self.data.rglob("*")]:
                os.chown(path, *owner)

    def _build(self, template: Path) -> None:
        # Build it in the server's own folder: its user may have no access to the cache.
        self.initialise(self.data)
        shutil.move(self.data, template)

    def launch(self) -> None:
        """Start the process without waiting, so that several servers can start in parallel."""
        if self._process and self._process.poll() is None:
            raise ServerError(f"{self.title} is already running.")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                start_new_session=True,
                env={**os.environ, **self.environment()},
                **self.popen(),
            )
        reaper.watch(self.directory, self.pid)

    def wait(self) -> None:
        """Wait until the server accepts connections."""

        def ready() -> bool:
            if self._running().poll() is not None:
                raise ServerError(f"{self.title} did not start.")
            return self.answers()

        try:
            wait_until(ready, f"{self.title} did not start", TIMEOUT)
        except ServerError as error:
            last = self.log.read_text(errors="replace")[-2000:].strip()
            raise ServerError(f"{error} The end of its log:\n{last}") from None

    def start(self) -> Self:
        """Start, and wait until it is ready; after stop() or kill(), on the same data and port."""
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
        process.send_signal(self.stop_signal)
        try:
            status = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ServerError(f"{self.title} did not end within {TIMEOUT:.0f} s.") from None
        self._ended()
        if status:
            raise ServerError(f"{self.title} ended with status {status}.")

    def kill(self) -> None:
        """Kill all its processes with SIGKILL, like a crash of the machine, and keep the data."""
        process = self._running()
        # Suspend all processes first, so that none of them sees another one die.
        self.pause()
        family = reaper.family(process.pid)
        reaper.signal(family, "kill")
        process.wait()
        wait_until(lambda: not any(map(reaper.runs, family)), f"{self.title} did not end")
        self._ended()

    def pause(self) -> None:
        """Suspend all its processes (SIGSTOP): connections stay open without a response."""
        reaper.signal(reaper.family(self.pid), "suspend")

    def resume(self) -> None:
        """Undo pause()."""
        reaper.signal(reaper.family(self.pid), "resume")

    def close(self) -> None:
        """Kill it, if it runs, and remove all its files."""
        if self._process:
            self.kill()
        if "directory" in self.__dict__:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.disown()

    def disown(self) -> None:
        """Give up control of it, so that it doesn't end with this process."""
        _open.discard(self)
        reaper.forget(self.__dict__.pop("directory"))

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if not self._process:
            raise ServerError(f"{self.title} is not running.")
        return self._process

    def _ended(self) -> None:
        self._process = None
        reaper.watch(self.directory)


def close_all() -> None:
    """Close every server that this process has started."""
    for server in list(_open):
        server.close()
    reaper.end()


# This runs when the process returns, fails or is interrupted; the reaper handles SIGKILL.
atexit.register(close_all)
# A forked child must not close the servers of its parent.
os.register_at_fork(after_in_child=_open.clear)
