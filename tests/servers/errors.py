"""The error of this package, and a wait that raises it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class ServerError(RuntimeError):
    """A server is missing, can't be installed, or did not start; the message tells what to do."""


def wait_until(happened: Callable[[], T | None], problem: str, seconds: float = 60.0) -> T:
    """Return the result of ``happened()`` once it is true.

    Raise ServerError with the problem if that takes longer than so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        if time.monotonic() > deadline:
            raise ServerError(f"{problem} within {seconds:.0f} s.")
        time.sleep(0.01)
    return found
