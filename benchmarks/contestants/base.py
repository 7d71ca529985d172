"""The interface of contestants, and the parts that they share."""

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
from sequences_core import get_allocator

ONE = "1"
"""The scope of all rows that use the same counter."""

Call = Callable[[str], Any]
"""A function that takes a number of the named counter, or stores a row in the named scope."""


class Rollback(Exception):
    """The exception that rolls a transaction back on purpose."""


@dataclass(frozen=True)
class Contestant:
    """One way to number rows, used as its documentation recommends."""

    name: str
    """The name in tables and charts."""
    kind: str
    """ours, third party, peer; price: a numbering with gaps; limit: nothing can be faster."""
    create: Call | None = None
    """Stores one numbered row."""
    bulk: Callable[[int], object] | None = None
    """Stores that many rows at once, numbered in the scope ONE."""
    calls: Mapping[str, Call] = field(default_factory=dict)
    """Functions that take one number in an open transaction: plain, looping, nowait."""
    last: Callable[[str], int | None] = lambda scope: None
    """Returns the last number of the scope's counter; None if there is no counter."""
    models: Sequence[type[Model]] = (Invoice,)
    """The models of the rows and of the counters."""
    alias: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Django settings that it needs."""
    check: Callable[[], str | None] = lambda: None
    """Returns the reason why it can't run on this database, or None."""
    app: str = ""
    """The app that it needs, if the migrations of that app may fail."""
    special: bool = False
    """Is it for the questions Disk or Posting alone?"""
    in_transaction: bool = True
    """Does its documentation require a transaction around create()?"""
    gapless: bool = True
    """Does it promise numbers without gaps?"""

    def active(self) -> override_settings:
        """Return a context manager for its settings, without which it doesn't work."""
        router = {"DATABASE_ROUTERS": [Router(self.alias)]} if self.alias != "default" else {}
        return override_settings(**self.settings, **router)

    def reason_against(self) -> str | None:
        """Return the reason why it can't run on this database, or None."""
        try:
            with self.active():
                get_allocator(connections[self.alias])  # another package's may be missing
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
        """Yield the scope and the number of each stored row."""
        for model in self.models:
            names = {one.name for one in model._meta.fields}
            if "number" in names:
                scope = "company" if issubclass(model, Document) else "scope"
                number = "number" if self.gapless else "id"
                for value, found in model._default_manager.values_list(scope, number):
                    yield str(value), found

    def clear(self) -> None:
        """Delete all rows and counters."""
        empty(*self.models, alias=self.alias)


@dataclass(frozen=True)
class Router:
    """A database router that sends all queries to one database."""

    alias: str

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return self.alias

    db_for_write = db_for_read


def empty(*models: type[Model], alias: str = "default") -> None:
    """Delete all rows."""
    operations = connections[alias].ops
    tables = [model._meta.db_table for model in models]
    operations.execute_sql_flush(operations.sql_flush(no_style(), tables))


def calls(take: Any) -> dict[str, Call]:
    """Return the calls of a function that has the arguments of django-sequences."""
    return {
        "plain": take,
        "looping": lambda name: take(name, reset_value=1000),
        "nowait": lambda name: take(name, nowait=True),
    }


def storing(take: Call) -> Call:
    """Return a function that takes a number, then stores a row with it."""
    return lambda scope: Invoice.objects.create(scope=scope, number=take(scope))


def storing_many(block: Callable[[int, str], Any]) -> Callable[[int], object]:
    """Return a function that takes many numbers, then stores rows with them."""

    def store(count: int) -> object:
        rows = (Invoice(scope=ONE, number=number) for number in block(count, ONE))
        return Invoice.objects.bulk_create(rows)

    return store
