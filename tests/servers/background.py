"""Servers that outlive the command that starts them.

The folder `.servers/` has a file with the state of each of them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from tests.servers import reaper
from tests.servers.errors import ServerError
from tests.servers.launch import KINDS, boot, prepared

FOLDER = Path(__file__).resolve().parents[2] / ".servers"


def _state(name: str) -> Path:
    return FOLDER / f"{name}.json"


def running(name: str) -> dict[str, Any] | None:
    """Return the state of the server `name` that start() has written, or None if it doesn't run."""
    try:
        state: dict[str, Any] = json.loads(_state(name).read_text())
        alive = psutil.Process(state["pid"]).create_time() == state["born"]
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    return state if alive else None


def start(names: Iterable[str]) -> dict[str, str]:
    """Start the servers in the background, unless they run already; return the URL of each."""
    FOLDER.mkdir(exist_ok=True)
    here = f"sqlite:///{FOLDER / 'db.sqlite3'}"
    urls, servers = prepared(names, lambda: here, durable=False)
    for name, server in list(servers.items()):
        if state := running(name):
            if state["release"] != server.release:
                raise ServerError(f"Stop the running {name} first: it is another release.")
            urls[name] = state["url"]
            del servers[name]
    boot(servers.values())
    for name, server in servers.items():
        state = {
            "url": server.url,
            "release": server.release,
            "pid": server.pid,
            "born": psutil.Process(server.pid).create_time(),
            "folder": str(server.directory),
        }
        _state(name).write_text(json.dumps(state))
        server.disown()
        urls[name] = server.url
    return urls


def stop(names: Iterable[str]) -> list[str]:
    """Stop the servers, remove their data, and return the names of those that were running."""
    states = {name: state for name in names if (state := running(name))}
    reaper.clean({state["folder"]: state["pid"] for state in states.values()})
    if FOLDER.exists() and not any(running(name) for name in KINDS):
        shutil.rmtree(FOLDER)
    return list(states)
