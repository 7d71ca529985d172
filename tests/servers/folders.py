"""Folders: a cache of what is slow to create, and temporary ones that no killed process leaves."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "sequences-private-"

_held: dict[Path, tuple[int, Callable[[], object]]] = {}
"""This process's temporary folders: the descriptor that locks each, and what ends its users."""


def cache_directory() -> Path:
    """Return the cache directory of this project, which is created if it is missing."""
    # The users that run the servers can't read root's home directory.
    default = Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache"
    directory = Path(os.environ.get("XDG_CACHE_HOME") or default) / "sequences-core"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold an exclusive lock between processes, and between threads of one process."""
    with (cache_directory() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """Return the cached directory `name`, which `build(path)` creates if it is missing.

    It is renamed when complete, so that an interrupted build leaves no partial directory.
    """
    place = cache_directory() / name
    draft = place.with_name(f".{place.name}")
    with locked(name.replace("/", "-")):
        if not place.exists():
            shutil.rmtree(draft, ignore_errors=True)
            draft.parent.mkdir(parents=True, exist_ok=True)
            build(draft)
            draft.rename(place)
    return place


def _nothing() -> None: ...


def temporary(name: str, parent: Path | None = None, end: Callable[[], object] = _nothing) -> Path:
    """Return a new folder, and remove those beside it whose processes were killed.

    This process holds a lock on the folder until it ends, or until remove(), which calls `end`
    first.
    """
    parent = parent or Path(tempfile.gettempdir())
    with locked("temporary"):
        for other in parent.glob(f"{PREFIX}*"):
            with suppress(OSError):  # its process lives, or it is another user's
                _hold(other, _nothing)
                remove(other)
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=parent))
        _hold(folder, end)
    return folder


def _hold(folder: Path, end: Callable[[], object]) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    _held[folder] = descriptor, end


def remove(folder: Path) -> None:
    """Remove a temporary folder, and the shared memory that a killed PostgreSQL has left."""
    descriptor, end = _held[folder]
    end()
    with suppress(OSError, IndexError):
        block = (folder / "data" / "postmaster.pid").read_text().splitlines()[6].split()[1]
        subprocess.run(["ipcrm", "-m", block], stderr=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)
    del _held[folder]
    os.close(descriptor)


def stop() -> None:
    """Close every server that this process has started, and remove its temporary folders."""
    for folder in list(_held):
        remove(folder)


# This runs when the process returns, fails or is interrupted. After SIGKILL, the kernel kills the
# servers, and the next temporary folder removes theirs.
atexit.register(stop)
# A forked child must not remove the folders of its parent.
os.register_at_fork(after_in_child=_held.clear)
