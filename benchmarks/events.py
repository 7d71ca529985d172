"""What a step tells the run while it measures: one JSON object per line, through a pipe."""

from __future__ import annotations

import json
import os
from typing import Any

from benchmarks.environment import EVENTS


def emit(event: str, **details: Any) -> None:
    """Tell the run; without one, that is in a question run by hand, say nothing.

    The events are ``cells`` (how many there will be), ``cell`` (one begins), ``done`` (it has
    ended), ``result``, ``failed`` (with the error) and ``contestant``.
    """
    if descriptor := os.environ.get(EVENTS):
        line = json.dumps({"event": event, **details}, separators=(",", ":"))
        os.write(int(descriptor), line.encode() + b"\n")
