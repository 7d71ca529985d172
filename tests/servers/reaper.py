"""A process that ends servers and removes their data when the process that started them is gone.

It reads from its standard input what to clean up: JSON objects `{path: pid or null}`, one per line,
of which the last one counts. The end of input is the end of the owner: SIGKILL closes the pipe,
too, although it runs no `atexit` function and no signal handler.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

GRACE = 10.0
"""Seconds between the request to end and SIGKILL."""

_watched: dict[str, int | None] = {}
_lock = threading.Lock()
_reaper: subprocess.Popen[str] | None = None


def watch(path: Path, pid: int | None = None) -> None:
    """When this process ends, end `pid` and remove `path`."""
    with _lock:
        _watched[str(path)] = pid
        _tell()


def forget(path: Path) -> None:
    """Stop watching `path` and its process."""
    with _lock:
        _watched.pop(str(path), None)
        _tell()


def end() -> None:
    """End the reaper, which cleans up everything that is still watched."""
    global _reaper
    with _lock:
        if _reaper and _reaper.stdin:
            _reaper.stdin.close()
            _reaper.wait()
        _watched.clear()
        _reaper = None


def _disown() -> None:
    global _reaper, _lock
    _lock = threading.Lock()
    _watched.clear()
    if _reaper and _reaper.stdin:
        # If a child inherits the pipe, the reaper can't detect the end of the owner.
        _reaper.stdin.close()
        _reaper.returncode = 0
    _reaper = None


os.register_at_fork(after_in_child=_disown)


def _tell() -> None:
    global _reaper
    if _reaper is None:
        _reaper = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            # Ctrl-C in the terminal signals the whole process group.
            start_new_session=True,
        )
    assert _reaper.stdin
    _reaper.stdin.write(json.dumps(_watched) + "\n")
    _reaper.stdin.flush()


def family(pid: int) -> list[psutil.Process]:
    """Return a process and its children, which PostgreSQL starts in sessions of their own."""
    with contextlib.suppress(psutil.NoSuchProcess):
        main = psutil.Process(pid)
        return [main, *main.children(recursive=True)]
    return []


def signal(processes: Iterable[psutil.Process], *actions: str) -> None:
    """Suspend, resume, terminate or kill the processes that still exist."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            for action in actions:
                getattr(process, action)()


def runs(process: psutil.Process) -> bool:
    """Return whether the process runs: orphans stay zombies until init reaps them."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def clean(watched: Mapping[str, int | None]) -> None:
    """End the processes, in order if they end soon, and remove all folders."""
    pids = [pid for pid in watched.values() if pid]
    families = [process for pid in pids for process in family(pid)]
    # A suspended server needs SIGCONT to receive the other signal.
    signal(families, "resume")
    signal([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], "terminate")
    signal(psutil.wait_procs(families, timeout=GRACE)[1], "kill")
    for path in watched:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    state: dict[str, int | None] = {}
    for line in sys.stdin:
        state = json.loads(line)
    clean(state)
