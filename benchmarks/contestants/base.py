"""What the suite asks of a way to number rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Literal

from django.core.management.color import no_style
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from benchmarks.models import Invoice

Kind = Literal["ours", "third party", "peer", "price", "limit"]
"""``price``: Django's own numbering, with holes; ``limit``: nothing can be faster than this."""

ONE = "one"
"""The scope of all rows where there is one counter for all writers."""

Call = Callable[[str], Any]
"""Takes from the counter of that name, in the transaction that is open."""


class Rollback(Exception):
    """Ends a transaction that is meant to fail."""


ALIASES = {
    "untuned": "Django's settings",
    "relaxed": "synchronous = NORMAL",
    "unlogged": "no binary log",
}
"""What is different about a database, by its alias in the settings."""


def named(name: str, alias: str) -> str:
    """The name of a contestant that is measured by that alias, too."""
    return f"{name}, {ALIASES[alias]}" if alias in ALIASES else name


def unavailable(alias: str) -> str | None:
    """Why there is nothing to learn by that alias; None if there is."""
    if alias != "unlogged":
        return None
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT @@log_bin")
            return None if cursor.fetchone()[0] else "the server keeps no binary log anyway"
    except DatabaseError as error:
        return str(error)


class Contestant(ABC):
    """One way to number rows, used as its documentation says."""

    name: str
    """As in the tables and charts."""
    kind: Kind
    app = ""
    """The package in INSTALLED_APPS that it needs, if its tables may be impossible to make."""
    alias = "default"
    special = False
    """Is it for the questions Disk or Posting alone?"""
    in_transaction = True
    """Does its documentation ask for a transaction around create()?"""
    needs_transaction = False
    """Do its calls fail outside a transaction?"""
    stores_rows = True
    """Can one process be told to store one row?"""
    gapless = True
    """Does it promise numbers without holes?"""

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return connections[self.alias]

    @property
    def vendor(self) -> str:
        return self.connection.vendor

    def unfit(self) -> str | None:
        """Why it can't take part on this database; None if it can."""
        return unavailable(self.alias)

    def active(self) -> AbstractContextManager[Any]:
        """Make the settings say what it needs."""
        return nullcontext()

    def calls(self) -> Mapping[str, Call]:
        """Its ways to take numbers by a call: plain, batch, looping, nowait."""
        return {}

    def block(self, name: str, count: int) -> Any:
        """Take that many numbers at once from the counter of that name."""
        raise NotImplementedError

    @abstractmethod
    def create(self, scope: str) -> None:
        """Store a row with the next number of its scope."""

    def issue(self, scope: str, *, rollback: bool = False) -> None:
        """Store such a row and commit, or roll back."""
        if not (self.in_transaction or rollback):
            return self.create(scope)
        with suppress(Rollback), transaction.atomic(using=self.alias):
            self.create(scope)
            if rollback:
                raise Rollback
        return None

    def models(self) -> Iterable[type[Model]]:
        """The models whose rows :meth:`create` stores."""
        return [Invoice]

    def numbers(self) -> Iterable[tuple[str, int]]:
        """The scope and number of each row that is stored."""
        for model in self.models():
            rows = model._default_manager.using(self.alias)
            yield from rows.values_list("scope", "number")

    def last(self, scope: str) -> int | None:
        """Where the counter of that scope stands; None if there is no counter."""
        return None

    def forget(self) -> None:
        """Start all counters anew."""

    def bulk(self, count: int) -> None:
        """Store that many rows at once, with the next numbers of one scope."""
        raise NotImplementedError

    def clear(self) -> None:
        """Remove all rows and counters."""
        empty(self.connection, [model._meta.db_table for model in self.models()])
        self.forget()


def empty(connection: BaseDatabaseWrapper, tables: list[str]) -> None:
    """Empty the tables, with nothing left of the rows, and count their primary keys anew."""
    statements = connection.ops.sql_flush(no_style(), tables, reset_sequences=True)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
