"""A process that issues invoices, until it is done or killed."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable
from decimal import Decimal
from multiprocessing.connection import Connection
from typing import Any

import django

django.setup()  # before the models, in each process

from django.db import DatabaseError, IntegrityError, connections  # noqa: E402
from django.db.models.signals import post_save  # noqa: E402

from invoices.services import SERVICES  # noqa: E402

CUSTOMERS = ("Ada", "Edsger", "Grace", "Katherine", "Margaret", "Tim")

READY, COMMITTED, ROLLED_BACK, HOLDING = "ready", "committed", "rolled back", "holding"
"""What a writer reports. HOLDING: it stays where it is in its transaction, until it is killed."""

DUPLICATE, LOCKED = "refused: duplicate", "refused: locked"
"""Why an invoice was refused: its number was given already; "database is locked". A writer reports
this too, and other errors by their class."""

GO, HOLD = "go", "hold"
"""What a writer is told before each transaction. HOLD: stop in the middle of it."""

ROLLBACK_EVERY = 5
"""One in so many transactions rolls back, after it has taken its number."""


class CardDeclined(Exception):
    """What makes a transaction roll back."""


def write(pipe: Connection, way: str, databases: dict[str, str], quota: int) -> None:
    """Ask for ``quota`` invoices in the given way; an error is reported, and not tried again."""
    for alias, name in databases.items():
        connections[alias].settings_dict["NAME"] = name
    # Without a supervisor there is nobody to write for.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):
        for connection in connections.all():
            connection.ensure_connection()
        pipe.send(READY)
        _issue(pipe, SERVICES[way], quota)
    connections.close_all()


def _issue(pipe: Connection, issue: Callable[[str, Decimal], object], quota: int) -> None:
    hold = declined = False

    def mid_transaction(using: str, **kwargs: Any) -> None:
        """After the number was taken and the row was inserted, before the commit."""
        assert connections[using].in_atomic_block
        if hold:
            pipe.send(HOLDING)
            pipe.recv()  # nothing ever comes but the end
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
