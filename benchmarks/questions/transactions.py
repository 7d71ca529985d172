"""Transactions around the calls that are timed."""

from __future__ import annotations

from contextlib import ExitStack

from django.db import transaction

CALLS = 20
"""The versions of a row that one transaction makes slow it down: more would measure that."""


class Transactions:
    """Keeps a transaction open, a fresh one for every few calls; a context manager."""

    def __init__(self, alias: str = "default") -> None:
        self.alias = alias
        self.done = 0
        self.open = ExitStack()

    def renew(self) -> None:
        """To be called before each call."""
        if self.done % CALLS == 0:
            self.open.close()
            self.open.enter_context(transaction.atomic(using=self.alias))
        self.done += 1

    def __enter__(self) -> Transactions:
        return self

    def __exit__(self, *exception: object) -> None:
        self.open.close()
