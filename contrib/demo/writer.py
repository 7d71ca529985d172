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

from django.db import connection  # noqa: E402
from django.db.models.signals import post_save  # noqa: E402

from invoices import services  # noqa: E402

CUSTOMERS = ("Ada", "Edsger", "Grace", "Katherine", "Margaret", "Tim")

READY, COMMITTED, ROLLED_BACK, HOLDING = "ready", "committed", "rolled back", "holding"
"""What a writer reports. HOLDING: it stays where it is in its transaction, until it is killed."""

GO, HOLD = "go", "hold"
"""What a writer is told. HOLD: stop in the middle of your next transaction."""

ROLLBACK_EVERY = 5
"""One in so many transactions rolls back, after it has taken its number."""


class CardDeclined(Exception):
    """What makes a transaction roll back."""


def write(pipe: Connection, service: str, database: str, quota: int) -> None:
    """Issue ``quota`` invoices by the function ``service`` of invoices.services."""
    connection.settings_dict["NAME"] = database
    # Without a supervisor there is nobody to write for.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):
        connection.ensure_connection()
        pipe.send(READY)
        pipe.recv()
        _issue(pipe, getattr(services, service), quota)
    connection.close()


def _issue(pipe: Connection, issue: Callable[[str, Decimal], object], quota: int) -> None:
    hold = declined = False

    def mid_transaction(**kwargs: Any) -> None:
        """After the number was taken and the row was inserted, before the commit."""
        assert connection.in_atomic_block
        if hold:
            pipe.send(HOLDING)
            pipe.recv()  # nothing ever comes but the end
        if declined:
            raise CardDeclined

    post_save.connect(mid_transaction)
    for transaction in itertools.count(1):
        if not quota:
            break
        hold = pipe.poll() and pipe.recv() == HOLD
        declined = transaction % ROLLBACK_EVERY == 0
        try:
            issue(random.choice(CUSTOMERS), Decimal(random.randrange(100, 100_000)) / 100)
        except CardDeclined:
            pipe.send(ROLLED_BACK)
        else:
            quota -= 1
            pipe.send(COMMITTED)
