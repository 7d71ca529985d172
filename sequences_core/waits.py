"""Measure how long statements that take numbers wait.

The results are sent to the logger ``sequences_core``, and to OpenTelemetry if it is installed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper

from .allocator import Allocation, Allocator
from .arguments import check_timeout
from .registry import get_allocator

try:
    from opentelemetry import trace
except ImportError:
    tracer: Any = None
else:
    tracer = trace.get_tracer("sequences_core")

__all__ = ["are_measured", "measuring", "slow_wait"]

logger = logging.getLogger("sequences_core")

always = True
"""Whether to measure regardless of the logger's level."""


def are_measured() -> bool:
    """Return whether statements are measured: for a setting, OpenTelemetry or the log level."""
    return always or logger.isEnabledFor(logging.DEBUG)


def slow_wait() -> float | None:
    """Return ``SEQUENCES_SLOW_WAIT``, in seconds, or None.

    :raises ImproperlyConfigured: the setting is invalid.
    """
    seconds = getattr(settings, "SEQUENCES_SLOW_WAIT", None)
    try:
        return None if seconds is None else check_timeout(seconds)
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"SEQUENCES_SLOW_WAIT must be a number of seconds or None, not {seconds!r}"
        ) from error


def allocate(
    allocator: Allocator, connection: BaseDatabaseWrapper, allocation: Allocation
) -> range:
    """Call ``allocator.allocate()`` and measure its time."""
    with measuring(connection, allocation.name, allocation.count):
        return allocator.allocate(connection, allocation)


@contextmanager
def measuring(connection: BaseDatabaseWrapper, name: str, count: int = 1) -> Iterator[None]:
    """Measure and log the time of the block, in which a statement takes ``count`` numbers.

    The time includes the statement itself, because databases don't report how long it waited.
    """
    slow = slow_wait()
    wait = _Wait(connection, name)
    watcher = None if slow is None else _watch(wait)
    try:
        with _span(connection, name, count):
            yield
    finally:
        seconds = time.perf_counter() - wait.started
        if watcher is not None:
            watcher.waits.pop(wait, None)
        _log(name, connection.alias, seconds, slow, wait.holder)


def _log(name: str, using: str, seconds: float, slow: float | None, holder: int | None) -> None:
    is_slow = slow is not None and seconds >= slow
    by = f", locked by session {holder}" if holder else ""
    logger.log(
        logging.WARNING if is_slow else logging.DEBUG,
        "waited %.4f s for sequence %r of database %r%s",
        *(seconds, name, using, by),
        extra={"seconds": seconds, "sequence": name, "using": using, "holder": holder},
    )


def _span(connection: BaseDatabaseWrapper, name: str, count: int) -> Any:
    if tracer is None:
        return nullcontext()
    attributes = {
        "sequences.name": name,
        "sequences.count": count,
        "sequences.using": connection.alias,
    }
    return tracer.start_as_current_span("sequences.take", attributes=attributes)


class _Wait:
    """A statement that takes numbers and may wait."""

    def __init__(self, connection: BaseDatabaseWrapper, name: str) -> None:
        self.connection = connection
        self.name = name
        self.asked = False
        self.holder: int | None = None
        self.started = time.perf_counter()

    def find_holder(self) -> None:
        """Query the session that has locked the counter, over a connection of its own.

        An error leaves ``holder`` None.
        """
        self.asked = True
        # The holder is only a hint, so ignore every error, such as a missing privilege.
        with suppress(Exception), closing(self.connection.copy()) as asking:
            # The waiting sessions may use all connections of the pool.
            asking.settings_dict["OPTIONS"].pop("pool", None)
            holders = get_allocator(asking).holders(asking, self.name)
            # Holders of counters that the database can't name come last.
            if len(holders) == 1 or (holders and holders[0].counter and not holders[1].counter):
                self.holder = holders[0].session


class _Watcher(threading.Thread):
    """A thread that finds the holders of counters while statements wait for them.

    It does so after ``SEQUENCES_SLOW_WAIT`` seconds. The database doesn't know the holder any more
    after the wait, and the waiting connection can't execute a query.
    """

    def __init__(self) -> None:
        super().__init__(name="sequences-waits", daemon=True)
        self.waits: dict[_Wait, None] = {}

    def run(self) -> None:
        with suppress(ImproperlyConfigured):  # measuring() raises it in the application's thread
            while (slow := slow_wait()) is not None:
                time.sleep(min(max(slow / 4, 0.01), 1))
                for wait in list(self.waits):
                    if not wait.asked and time.perf_counter() - wait.started >= slow:
                        wait.find_holder()


_watcher: _Watcher | None = None


def _watch(wait: _Wait) -> _Watcher | None:
    """Add the wait to the watcher, and return the watcher.

    Start its thread if it doesn't run, for example after a fork. Return None if no thread can be
    started, for example while the interpreter shuts down.
    """
    global _watcher
    watcher = _watcher
    if watcher is None or not watcher.is_alive():
        watcher = _Watcher()
        try:
            watcher.start()
        except RuntimeError:
            return None
        _watcher = watcher
    watcher.waits[wait] = None
    return watcher


def read_slow_wait(*, setting: str | None = None, **kwargs: Any) -> None:
    """Update ``always`` after a setting has changed."""
    global always
    if setting in {None, "SEQUENCES_SLOW_WAIT"}:
        always = tracer is not None or getattr(settings, "SEQUENCES_SLOW_WAIT", None) is not None
