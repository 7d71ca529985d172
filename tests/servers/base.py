"""The base class of all servers: private data, a free port, and ways to start and end it."""

from __future__ import annotations

import abc
import contextlib
import os
import pwd
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import psutil

from tests.servers import folders
from tests.servers.errors import ServerError, wait_until
from tests.servers.install import install, which
from tests.servers.ports import free_port
from tests.servers.probe import connect, query

TEMPLATE = 3
"""The version of the cached data directories: raise it when their initialisation changes."""

TIMEOUT = 120.0
"""Seconds that a server may take to start, to join a cluster, or to shut down."""

TIED = ["setpriv", "--pdeathsig=KILL"]
"""The command that kills a program when its parent ends; a later change of the user undoes it."""


def listed(names: str | None) -> dict[str, str]:
    """Return the databases in the list `names`, separated by commas or spaces, and their releases.

    "sqlite, postgresql@18" is {"sqlite": "", "postgresql": "18"}.
    """
    entries = (name.partition("@") for name in (names or "").replace(",", " ").split())
    return {name: release for name, _, release in entries}


def requested(name: str) -> str:
    """Return the release of `name` in the environment variable DB; "" is the machine's own."""
    return listed(os.environ.get("DB")).get(name, "")


class Server(abc.ABC):
    """A private, throw-away server; a context manager that starts it and removes it.

    `durable=False` gives up crash safety for speed (fsync off), for tests. `durable=True` keeps the
    server's default, for benchmarks and for tests that kill it. `settings` are additional settings
    of the server, by their own names. The release is the one in the environment variable DB, by
    default the machine's own. All methods raise ServerError if the server fails.

    On Linux, the kernel kills the server when the thread that has started it ends.
    """

    name: ClassVar[str]
    """The name in DB and in the installer."""
    title: ClassVar[str]
    """The product's name."""
    address: ClassVar[str]
    """The URL for dj-database-url, with `{port}` and a user that has all privileges."""
    version_option: ClassVar[str] = "--version"
    """The option with which the program prints its version."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    """The signal that makes it shut down without waiting for its clients."""
    releases: ClassVar[Mapping[str, Any]] = {}
    """The releases that DB may name, and the source of each."""

    def __init__(
        self, *, durable: bool = False, settings: Mapping[str, str | int] | None = None
    ) -> None:
        self.durable = durable
        self.settings = dict(settings or {})
        self.port = free_port()
        self.release = requested(self.name)
        self._process: subprocess.Popen[bytes] | None = None

    # What a server may define; command() has no default.

    @property
    def prefix(self) -> Sequence[str | Path]:
        """The command that runs its programs as `owner` in another system, if there is one."""
        return ()

    def program(self) -> str | Path:
        """Install the server unless it is there, and return its program."""
        return install(self.name)

    @cached_property
    def version(self) -> str:
        """The server's version, such as "15.18", as its program prints it."""
        found = re.search(r"\d+(\.\d+)+", self.run([self.program(), self.version_option]))
        return found[0] if found else ""

    @property
    def url(self) -> str:
        """The URL with the server's port."""
        return self.address.format(port=self.port)

    def initialise(self) -> None:
        """Fill the data directory, which is empty and belongs to `owner`."""

    def options(self) -> dict[str, str | int]:
        """Return the settings that it starts with; `settings` override them."""
        return {}

    def configuration(self) -> list[str]:
        """Return all settings, each as "name=value"."""
        return [f"{name}={value}" for name, value in {**self.options(), **self.settings}.items()]

    @abc.abstractmethod
    def command(self) -> Sequence[str | Path]:
        """Return the command line of the server, after writing its configuration."""

    def environment(self) -> dict[str, str]:
        """Return additional environment variables of the process."""
        return {}

    def answers(self) -> bool:
        """Return whether it is ready, and False for whatever its driver raises."""
        try:
            return self.is_ready()
        except ImportError:
            raise
        except Exception:  # noqa: BLE001 - of whichever driver this is
            return False

    def is_ready(self) -> bool:
        """Return whether it accepts connections, or raise the driver's error."""
        connect(self.url).close()
        return True

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement in a transaction of its own, and return its rows."""
        return query(self.url, statement)

    # Starting.

    @cached_property
    def directory(self) -> Path:
        """The server's own folder, with its data and log; close() removes it."""
        directory = folders.temporary(self.name, self.parent(), self._end)
        self.give(directory)
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
        """Return the ids of nobody and its group; None if the server runs as the current user.

        Servers refuse to run as root.
        """
        if os.geteuid() != 0:
            return None
        entry = pwd.getpwnam("nobody")
        return entry.pw_uid, entry.pw_gid

    def give(self, path: Path) -> None:
        """Give a file or a folder to the user that runs the server."""
        if owner := self.owner():
            os.chown(path, *owner)

    def popen(self) -> dict[str, Any]:
        """Return the arguments for Popen that its programs run with."""
        owner = None if self.prefix else self.owner()
        switch = {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}
        return {"cwd": "/", "stderr": subprocess.STDOUT, **switch}

    def run(self, command: Sequence[str | Path], text: str = "") -> str:
        """Run one of its programs as its user with `text` as input, and return its output."""
        options = {**self.popen(), "stdout": subprocess.PIPE, "text": True, "input": text}
        ran: Any = subprocess.run([*self.prefix, *command], **options)
        if ran.returncode:
            line = " ".join(map(str, command))
            raise ServerError(f"{self.title}: {line} failed:\n{ran.stdout[-2000:]}")
        return str(ran.stdout)

    def prepare(self) -> None:
        """Install the programs and create the data directory, unless that is done."""
        if self.data.exists():
            return
        template = folders.cached(f"templates/{self.name}-{self.version}-{TEMPLATE}", self._build)
        # Unlike shutil, these commands also copy and move the owners.
        subprocess.run(["cp", "-a", template, self.data], check=True)

    def _build(self, template: Path) -> None:
        # Build it in the server's own folder: its user may have no access to the cache.
        self.data.mkdir()
        self.give(self.data)
        self.initialise()
        subprocess.run(["mv", self.data, template], check=True)

    def launch(self) -> None:
        """Start the process without waiting, so that several servers can start in parallel."""
        tied = TIED if which("setpriv") else []  # only on Linux
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*(self.prefix or tied), *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                start_new_session=True,  # Ctrl-C in the terminal signals the whole process group
                env={**os.environ, **self.environment()},
                **self.popen(),
            )

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

    # Ending.

    def stop(self) -> None:
        """Shut down in order, and keep the data."""
        process = self._running()
        process.send_signal(self.stop_signal)
        if status := process.wait(TIMEOUT):
            raise ServerError(f"{self.title} ended with status {status}.")
        self._process = None

    def signal(self, number: signal.Signals) -> list[psutil.Process]:
        """Send a signal to all its processes, and return them.

        After SIGSTOP, connections stay open without a response until SIGCONT.
        """
        main = psutil.Process(self._running().pid)
        # PostgreSQL starts its children in sessions of their own: they are no process group.
        family = [main, *main.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return family

    def kill(self) -> None:
        """Kill all its processes with SIGKILL, like a crash of the machine, and keep the data."""
        # Suspend all processes first, so that none of them sees another one die.
        self.signal(signal.SIGSTOP)
        family = self.signal(signal.SIGKILL)
        self._running().wait()
        wait_until(lambda: not any(map(runs, family)), f"{self.title} did not end")
        self._process = None

    def close(self) -> None:
        """Kill it, if it runs, and remove all its files."""
        if "directory" in vars(self):
            folders.remove(self.directory)

    def _end(self) -> None:
        if self._process and self._process.poll() is None:
            self.kill()
        del self.directory

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


def runs(process: psutil.Process) -> bool:
    """Return whether the process runs: orphans stay zombies until init reaps them."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
