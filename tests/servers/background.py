"""Servers that outlive the command that starts them, each with a process that owns it.

The folder `.servers/` has a file with the state of each of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from tests.servers import launch
from tests.servers.base import requested, runs
from tests.servers.errors import ServerError, wait_until

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".servers"


def running(name: str) -> dict[str, Any] | None:
    """Return the state of the server `name` that own() has written, or None if it doesn't run."""
    try:
        state: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
        alive = psutil.Process(state["pid"]).create_time() == state["born"]
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    return state if alive else None


def start(names: Iterable[str]) -> dict[str, str]:
    """Start the servers in the background, unless they run already; return the URL of each."""
    FOLDER.mkdir(exist_ok=True)
    urls: dict[str, str] = {}
    owners: dict[str, subprocess.Popen[str]] = {}
    for name in names:
        if url := os.environ.get(launch.variable(name)):
            urls[name] = url
        elif not (state := running(name)):
            owners[name] = subprocess.Popen(
                [sys.executable, "-m", __name__, FOLDER, name],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        elif state["release"] != requested(name):
            raise ServerError(f"Stop the running {name} first: it is another release.")
        else:
            urls[name] = state["url"]
    for name, owner in owners.items():
        assert owner.stdout
        with owner.stdout:
            urls[name] = owner.stdout.readline().strip()
        owner.returncode = 0  # as far as this process cares, which may end before it
        if not urls[name]:
            raise ServerError(f"{name} did not start.")
    return urls


def own(name: str) -> None:
    """Start a server in this process, and wait for stop()."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    (url,) = launch.start([name]).values()
    born = psutil.Process().create_time()
    state = {"url": url, "release": requested(name), "pid": os.getpid(), "born": born}
    (FOLDER / f"{name}.json").write_text(json.dumps(state))
    print(url, flush=True)
    os.dup2(1, 2)  # somebody may read the caller's standard error to its end
    signal.pause()


def stop(names: Iterable[str]) -> list[str]:
    """Stop the servers, remove their data, and return the names of those that were running."""
    states = {name: state for name in names if (state := running(name))}
    owners = [psutil.Process(state["pid"]) for state in states.values()]
    for owner in owners:
        owner.terminate()
    wait_until(lambda: not any(map(runs, owners)), "Some servers did not end")
    for name in states:
        (FOLDER / f"{name}.json").unlink()
    return list(states)


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    try:
        own(sys.argv[2])
    except ServerError as error:
        sys.exit(str(error))
