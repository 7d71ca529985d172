"""Run one step of the suite in a process of its own, and listen to what it tells."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.environment import EVENTS

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300.0
"""Seconds without any event after which a step counts as hung."""


class StepFailed(Exception):
    """A step ended badly; the message is the end of what it printed."""


def run(command: list[str], environment: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Run ``python`` with these arguments and yield its events as they come.

    Raises StepFailed when it fails or hangs. Its whole process group ends with it.
    """
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as output, open(reading, "rb", buffering=0) as events:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **environment, EVENTS: str(writing)},
            pass_fds=[writing],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.close(writing)
        try:
            yield from _lines(events.fileno())
            status = process.wait(PATIENCE)
        finally:
            _end(process)
        if status:
            output.seek(0)
            text = output.read().decode(errors="replace").strip()
            raise StepFailed(f"exit status {status}: {_last_line(text)}\n{text[-3000:]}")


def _lines(descriptor: int) -> Iterator[dict[str, Any]]:
    """The events, until the step and all its children have closed the pipe."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        deadline = time.monotonic() + PATIENCE
        while selector.select(deadline - time.monotonic()):
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)
            deadline = time.monotonic() + PATIENCE
    raise StepFailed(f"it has told nothing for {PATIENCE:.0f} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(text: str) -> str:
    return text.rpartition("\n")[2]
