"""What the suite asks of a way to number rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.color import no_style
from django.db import connections, transaction
from django.db.models import Model
from django.test import override_settings

from benchmarks.models import Document, Invoice

ONE = "1"
"""The scope of all rows where there is one counter for all writers."""

Call = Callable[[str], Any]
"""Takes from the counter of that name, or stores a row with the next number of that scope."""


class Rollback(Exception):
    """Ends a transaction that is meant to fail."""


@dataclass(frozen=True)
class Contestant:
    """One way to number rows, used as its documentation says."""

    name: str
    """As in the tables and charts."""
    kind: str
    """ours, third party, peer; price: Django's own numbering, with gaps; limit: nothing can be
    faster than this."""
    create: Call | None = None
    """Stores a row, if one process can be told to do so."""
    bulk: Callable[[int], object] | None = None
    """Stores that many rows at once, with the next numbers of one scope."""
    calls: Mapping[str, Call] = field(default_factory=dict)
    """Ways to take numbers by a call, in an open transaction: plain, looping, nowait."""
    last: Callable[[str], int | None] = lambda scope: None
    """Where the counter of that scope stands; None if there is no counter."""
    models: Sequence[type[Model]] = (Invoice,)
    """Those of the rows, and of the counters."""
    alias: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of Django, as it needs them."""
    check: Callable[[], str | None] = lambda: None
    """Says why it can't take part on this database."""
    app: str = ""
    """The package in INSTALLED_APPS that it needs, if its tables may be impossible to make."""
    special: bool = False
    """Is it for the questions Disk or Posting alone?"""
    in_transaction: bool = True
    """Does its documentation ask for a transaction around create()?"""
    gapless: bool = True
    """Does it promise numbers without gaps?"""

    def active(self) -> override_settings:
        """Make the settings say what it needs; nothing of it works outside."""
        router = {} if self.alias == "default" else {"DATABASE_ROUTERS": [To(self.alias)]}
        return override_settings(**self.settings, **router)

    def unfit(self) -> str | None:
        """Why it can't take part on this database; None if it can."""
        try:
            with self.active():
                return self.check()
        except ImproperlyConfigured as error:
            return str(error)

    def issue(self, scope: str, *, rollback: bool = False) -> None:
        """Store a row and commit, or roll back."""
        assert self.create
        if not (self.in_transaction or rollback):
            self.create(scope)
            return
        with suppress(Rollback), transaction.atomic(using=self.alias):
            self.create(scope)
            if rollback:
                raise Rollback

    def numbers(self) -> Iterator[tuple[str, int | None]]:
        """The scope and number of each row that is stored."""
        for model in self.models:
            names = {one.name for one in model._meta.fields}
            if "number" in names:
                scope = "company" if issubclass(model, Document) else "scope"
                number = "number" if self.gapless else "id"
                for value, found in model._default_manager.values_list(scope, number):
                    yield str(value), found

    def clear(self) -> None:
        """Remove all rows and counters."""
        empty(*self.models, alias=self.alias)


@dataclass(frozen=True)
class To:
    """A database router: all to that alias."""

    alias: str

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return self.alias

    db_for_write = db_for_read


def empty(*models: type[Model], alias: str = "default") -> None:
    """Empty the tables, with nothing left of the rows, and count their primary keys anew."""
    connection = connections[alias]
    tables = [model._meta.db_table for model in models]
    with connection.cursor() as cursor:
        for statement in connection.ops.sql_flush(no_style(), tables, reset_sequences=True):
            cursor.execute(statement)


def calls(take: Any) -> dict[str, Call]:
    """Those of a function with the arguments of django-sequences."""
    return {
        "plain": take,
        "looping": lambda name: take(name, reset_value=1000),
        "nowait": lambda name: take(name, nowait=True),
    }


def storing(take: Call) -> Call:
    """Takes a number, then stores a row with it."""
    return lambda scope: Invoice.objects.create(scope=scope, number=take(scope))


def storing_many(block: Callable[[int, str], Any]) -> Callable[[int], object]:
    """Takes many numbers, then stores rows with them."""

    def store(count: int) -> object:
        numbers = block(count, ONE)
        return Invoice.objects.bulk_create(Invoice(scope=ONE, number=one) for one in numbers)

    return store
