"""End servers and remove their data when the process that started them is gone, however it went.

A small process of its own, that reads what there is to clean up from its standard input, one JSON
object `{"pids": […], "paths": […]}` a line, the last one counts. The end of input is the end of
the owner: a SIGKILL too closes the pipe, where no `atexit` and no signal handler would run.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

GRACE = 10.0
"""Seconds between the request to end and SIGKILL."""

_watched: dict[Path, int | None] = {}
_lock = threading.Lock()
_reaper: subprocess.Popen[str] | None = None


def watch(path: Path, pid: int | None = None) -> None:
    """From now on, when this process ends, end `pid` and remove `path`."""
    with _lock:
        _watched[path] = pid
        _tell()


def forget(path: Path) -> None:
    """`path` is gone, and what ran in it has ended."""
    with _lock:
        _watched.pop(path, None)
        _tell()


def end() -> None:
    """Let the reaper go, which cleans up what is still watched."""
    global _reaper
    with _lock:
        if _reaper and _reaper.stdin:
            _reaper.stdin.close()
            _reaper.wait()
        _watched.clear()
        _reaper = None


def disown() -> None:
    """Let go in a forked child, which is not the owner."""
    global _reaper, _lock
    _lock = threading.Lock()
    _watched.clear()
    if _reaper and _reaper.stdin:
        # While a child holds the pipe's end open, the reaper can't see that the owner is gone.
        _reaper.stdin.close()
        _reaper.returncode = 0
    _reaper = None


def _tell() -> None:
    global _reaper
    if _reaper is None:
        _reaper = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            # Out of reach of the terminal's Ctrl-C, which goes to the whole group.
            start_new_session=True,
        )
    assert _reaper.stdin
    pids = [pid for pid in _watched.values() if pid]
    line = json.dumps({"pids": pids, "paths": [str(path) for path in _watched]})
    _reaper.stdin.write(line + "\n")
    _reaper.stdin.flush()


def _clean(pids: list[int], paths: list[str]) -> None:
    left = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    deadline = time.monotonic() + GRACE
    # SIGQUIT ends PostgreSQL at once, its children included, and mysqld in order; a server that
    # was paused needs SIGCONT to see it.
    numbers = [signal.SIGQUIT, signal.SIGCONT]
    while left:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                for number in numbers:
                    process.send_signal(number)
        time.sleep(0.05)
        left = [process for process in left if runs(process)]
        numbers = [signal.SIGKILL] if time.monotonic() > deadline else []
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def runs(process: psutil.Process) -> bool:
    """Whether it still runs: orphans stay zombies until init has time for them."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def main() -> None:
    """Read until the owner is gone, then clean up what it left."""
    state: dict[str, Any] = {"pids": [], "paths": []}
    for line in sys.stdin:
        state = json.loads(line)
    _clean(**state)


if __name__ == "__main__":
    main()
