"""Servers that outlive the command that starts them.

What is known of them is in `.servers/`, one file per server.
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
    """What start() has written of the server `name`, if it runs."""
    try:
        state: dict[str, Any] = json.loads(_state(name).read_text())
        alive = psutil.Process(state["pid"]).create_time() == state["born"]
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    return state if alive else None


def start(names: Iterable[str], *, durable: bool = False) -> dict[str, str]:
    """The URL of each server, in the background; those that run already are left as they are."""
    FOLDER.mkdir(exist_ok=True)
    here = f"sqlite:///{FOLDER / 'db.sqlite3'}"
    urls, servers = prepared(names, lambda: here, durable=durable)
    for name, server in list(servers.items()):
        if state := running(name):
            if state["release"] != server.release:
                raise ServerError(f"A {name} of another release runs: end it first.")
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
    """End the servers, remove their data, and return the names of those that ran."""
    states = {name: state for name in names if (state := running(name))}
    reaper.clean({state["folder"]: state["pid"] for state in states.values()})
    if FOLDER.exists() and not any(running(name) for name in KINDS):
        shutil.rmtree(FOLDER)
    return list(states)
