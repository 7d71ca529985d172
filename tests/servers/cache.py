"""A cache of files that are slow to create: other releases, and fresh data directories."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_directory() -> Path:
    """Return the cache directory of this project, which is created if it is missing."""
    # The users that run the servers can't read root's home directory.
    default = Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache"
    base = os.environ.get("XDG_CACHE_HOME") or default
    directory = Path(base) / "sequences-core"
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

    It is built in a temporary directory and renamed when complete, so that an interrupted build
    leaves no partial directory.
    """
    place = cache_directory() / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(name.replace("/", "-")):
        if not place.exists():
            # Remove the remains of killed builds: only this process builds while it holds the lock.
            for leftover in place.parent.glob(f".{place.name}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
            try:
                build(scratch / "build")
                (scratch / "build").rename(place)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return place
