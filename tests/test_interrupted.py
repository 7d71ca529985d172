"""The handler of a signal raises an exception while a call waits: no number is lost."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction

from sequences_core import get_last_value, get_next_value, get_next_values
from sequences_core.testing.base import PATIENCE
from sequences_core.testing.threads import Elsewhere


class SoftTimeLimitExceeded(Exception):
    """Raised by a handler, as Celery's exception of this name is."""


CALLS: dict[str, Callable[[str], Any]] = {
    "plain": lambda using: get_next_value("s", using=using),
    "callable": lambda using: get_next_values(2, "s", lambda: 1, using=using),
    "timeout": lambda using: get_next_value("s", timeout=5, using=using),
}


@contextmanager
def a_signal_that_raises(error: type[BaseException]) -> Iterator[None]:
    """Let the handler of a signal raise the error soon."""

    def handler(*args: Any) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("error", [SoftTimeLimitExceeded, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_a_number_that_nobody_received_is_not_lost(
    using: str, call: Callable[[str], Any], error: type[BaseException], settings: Any
) -> None:
    """The driver may return the number before Python calls the handler, or cancel the statement."""
    settings.SEQUENCES_AUTOCOMMIT = "allow"
    connection: Any = connections[using]
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        connection.transaction_mode = "DEFERRED"  # else BEGIN would wait, not the call
    held = threading.Event()

    def hold() -> None:
        with transaction.atomic(using=using):
            get_next_value("s", using=using)
            held.set()
            time.sleep(0.7)

    holder = Elsewhere(hold, using)
    holder.start()
    assert held.wait(PATIENCE)
    try:
        with transaction.atomic(using=using):
            with pytest.raises(error), a_signal_that_raises(error):
                call(using)
            assert connection.needs_rollback
    finally:
        connection.close()  # a new session has the mode of the settings
        holder.result()
    assert get_last_value("s", using=using) == 1
