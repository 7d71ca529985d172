"""Locked counters, and transactions that wait for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from django.db import connections, transaction

from sequences_core import get_next_value
from sequences_core.testing.threads import Elsewhere

SLOW = 0.2
"""The limit of SEQUENCES_SLOW_WAIT, in seconds."""

HELD = 1.0
"""Seconds that suffice for threads to query the locks, even on a busy machine."""


def session(using: str) -> int:
    """Return the id of this thread's session; on SQLite, that of the process."""
    asked = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
    with connections[using].cursor() as cursor:
        if (sql := asked.get(connections[using].vendor)) is None:
            return os.getpid()
        cursor.execute(sql)
        return int(cursor.fetchone()[0])


@contextmanager
def locked(using: str, *waiting: Callable[[], Any]) -> Iterator[int]:
    """Lock counter "s" while the others wait for at least HELD seconds; yield its session."""
    with transaction.atomic(using=using):
        get_next_value("s", using=using)
        holder = session(using)
        threads = [Elsewhere(function, using) for function in waiting]
        for thread in threads:
            thread.start()
            assert thread.is_waiting(HELD)
    for thread in threads:
        thread.result()
    yield holder


def take(using: str, timeout: float | None = None) -> None:
    """Take a number in a transaction; on SQLite in autocommit, because BEGIN would wait."""
    sqlite = connections[using].vendor == "sqlite"
    with nullcontext() if sqlite else transaction.atomic(using=using):
        get_next_value("s", timeout=timeout, using=using)


def waits(caplog: Any) -> list[Any]:
    """Return the log messages about waits."""
    return [record for record in caplog.records if record.name == "sequences_core"]
