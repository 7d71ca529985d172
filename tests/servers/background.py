"""Servers that outlive the command that starts them: each in a process of its own.

What is known of them is in `.servers/`, one file per server.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.servers.errors import ServerError
from tests.servers.launch import KINDS, variable

FOLDER = Path(__file__).resolve().parents[2] / ".servers"
PATIENCE = 60.0
"""Seconds that a server may take to end."""


def _state(name: str) -> Path:
    return FOLDER / f"{name}.json"


def running(name: str) -> dict[str, Any] | None:
    """What is known of the server `name`, if it runs: its `url`, and the `pid` of its keeper."""
    try:
        state: dict[str, Any] = json.loads(_state(name).read_text())
        alive = psutil.Process(state["pid"]).create_time() == state["born"]
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    return state if alive else None


def start(names: Sequence[str], *, durable: bool = False) -> dict[str, str]:
    """The URL of each server, in the background; those that run already are left as they are."""
    FOLDER.mkdir(exist_ok=True)
    urls: dict[str, str] = {}
    keepers: dict[str, subprocess.Popen[bytes]] = {}
    for name in names:
        if given := os.environ.get(variable(name)):
            urls[name] = given
        elif name == "sqlite":
            urls[name] = f"sqlite:///{FOLDER / 'db.sqlite3'}"
        elif name not in KINDS:
            raise ServerError(f"There is no {name} server to start: set {variable(name)}.")
        elif not running(name):
            keepers[name] = _keeper(name, durable)
    for name, keeper in keepers.items():
        while not running(name):
            if keeper.poll() is not None:
                raise ServerError((FOLDER / f"{name}.log").read_text().strip())
            time.sleep(0.05)
    return {name: urls.get(name) or (running(name) or {})["url"] for name in names}


def _keeper(name: str, durable: bool) -> subprocess.Popen[bytes]:
    _state(name).unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.servers", "keep", name]
    with (FOLDER / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [*command, "--durable"] if durable else command,
            cwd=FOLDER.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def keep(name: str, *, durable: bool) -> None:
    """Run the server until SIGTERM comes."""
    ending = {signal.SIGTERM, signal.SIGINT}
    with KINDS[name](durable=durable) as server:
        # From here on a signal waits for sigwait(), instead of ending the process in mid-way.
        signal.pthread_sigmask(signal.SIG_BLOCK, ending)
        born = psutil.Process().create_time()
        draft = _state(name).with_suffix(".draft")
        draft.write_text(json.dumps({"url": server.url, "pid": os.getpid(), "born": born}))
        draft.rename(_state(name))
        signal.sigwait(ending)
    _state(name).unlink(missing_ok=True)


def stop(names: Iterable[str]) -> list[str]:
    """End the servers, remove their data, and return the names of those that ran."""
    states = {name: state for name in names if (state := running(name))}
    for state in states.values():
        os.kill(state["pid"], signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    for name in states:
        while running(name):
            if time.monotonic() > deadline:
                raise ServerError(f"{name} did not end within {PATIENCE:.0f} s.")
            time.sleep(0.05)
    if FOLDER.exists() and not any(running(name) for name in KINDS):
        shutil.rmtree(FOLDER)
    return list(states)
