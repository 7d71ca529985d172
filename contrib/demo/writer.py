"""A process that issues invoices until it is finished or killed."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable
from decimal import Decimal
from multiprocessing.connection import Connection
from typing import Any

import django

django.setup()  # each process needs this before it imports models

from django.db import DatabaseError, IntegrityError, connections  # noqa: E402
from django.db.models.signals import post_save  # noqa: E402

from invoices.services import SERVICES  # noqa: E402

CUSTOMERS = ("Ada", "Edsger", "Grace", "Katherine", "Margaret", "Tim")

READY, COMMITTED, ROLLED_BACK, HOLDING = "ready", "committed", "rolled back", "holding"
"""The reports of a writer. HOLDING: it has stopped in a transaction, and waits to be killed."""

DUPLICATE, LOCKED = "refused: duplicate", "refused: locked"
"""Further reports, of refused invoices: the number already exists, or "database is locked". Other
errors are reported by the name of their class."""

GO, HOLD = "go", "hold"
"""The commands to a writer before each transaction. HOLD: stop in the middle of it."""

ROLLBACK_EVERY = 5
"""One in this many transactions is rolled back after it has taken its number."""


class CardDeclined(Exception):
    """The error that makes a transaction roll back."""


def write(pipe: Connection, way: str, databases: dict[str, str], quota: int) -> None:
    """Request ``quota`` invoices by a method. Errors are reported, and not retried."""
    for alias, name in databases.items():
        connections[alias].settings_dict["NAME"] = name
    # Stop silently if the supervisor has ended.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):
        for connection in connections.all():
            connection.ensure_connection()
        pipe.send(READY)
        _issue(pipe, SERVICES[way], quota)
    connections.close_all()


def _issue(pipe: Connection, issue: Callable[[str, Decimal], object], quota: int) -> None:
    hold = declined = False

    def mid_transaction(using: str, **kwargs: Any) -> None:
        """Stop or fail after the number was taken and the row was inserted, before the commit."""
        assert connections[using].in_atomic_block
        if hold:
            pipe.send(HOLDING)
            pipe.recv()  # blocks until the process is killed
        if declined:
            raise CardDeclined

    post_save.connect(mid_transaction)
    for transaction in itertools.count(1):
        if not quota:
            break
        hold = pipe.recv() == HOLD
        declined = transaction % ROLLBACK_EVERY == 0
        try:
            issue(random.choice(CUSTOMERS), Decimal(random.randrange(100, 100_000)) / 100)
        except CardDeclined:
            pipe.send(ROLLED_BACK)
        except DatabaseError as error:
            quota -= 1
            pipe.send(_reason(error))
        else:
            quota -= 1
            pipe.send(COMMITTED)


def _reason(error: DatabaseError) -> str:
    if isinstance(error, IntegrityError):
        return DUPLICATE
    return LOCKED if "locked" in str(error) else f"refused: {type(error).__name__}"
