"""What is slow to make and safe to keep: other releases, and fresh data directories."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_directory() -> Path:
    """The cache for this project, made when missing."""
    # Root's own folder is closed to the users that run the servers.
    default = Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache"
    base = os.environ.get("XDG_CACHE_HOME") or default
    directory = Path(base) / "sequences-core"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process, and one thread of it, at a time into the block."""
    with (cache_directory() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """The cached directory `name`, which `build(path)` makes when it isn't there yet.

    It is built beside its place and renamed when whole, so that an interrupted build leaves no
    half of it.
    """
    place = cache_directory() / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(name.replace("/", "-")):
        if not place.exists():
            # What a build that was killed has left: nobody else builds while we hold the lock.
            for leftover in place.parent.glob(f".{place.name}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
            try:
                build(scratch / "build")
                (scratch / "build").rename(place)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return place
