"""Who takes part."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points

from django.db import connection

from benchmarks.contestants import posting
from benchmarks.contestants.base import Contestant
from benchmarks.contestants.limits import BareStatement, PgBench, PgBenchTransaction, RoundTrip
from benchmarks.contestants.ours import OURS, VENDORS, Allocate, Field, InStatement
from benchmarks.contestants.peers import (
    AutoIncrement,
    AutoSequence,
    DjangoSeq,
    DjangoSequences,
    LockedAutoSequence,
)
from sequences_core.registry import GROUP

left_out: dict[str, str] = {}
"""Who can't take part on this database, and why; filled in when the database is ready."""


def contestants(names: Iterable[str] | None = None) -> list[Contestant]:
    """Those of these names that take part; by default all but the special ones, ours first."""
    return [
        one
        for one in everyone()
        if one.name not in left_out and (not one.special if names is None else one.name in names)
    ]


def by_name(name: str) -> Contestant:
    """The contestant of that name."""
    return next(one for one in everyone() if one.name == name)


def everyone() -> Iterator[Contestant]:
    """All that there are for this database; some may turn out to be unfit."""
    vendor = connection.vendor
    yield Field()
    # Settings of the database that change what a commit costs.
    alias = {"sqlite": "relaxed", "mysql": "unlogged"}.get(vendor)
    if alias:
        yield Field(alias)
    if vendor == "postgresql":
        yield Field(early=True)
        yield Allocate(early=True)
    yield InStatement()
    yield Allocate()
    yield from map(Allocate, others())
    yield DjangoSequences()
    if alias:
        # Its README leaves SQLite's settings as Django has them.
        yield DjangoSequences("untuned" if vendor == "sqlite" else alias)
    yield DjangoSeq()
    yield AutoSequence()
    if vendor == "postgresql":
        yield LockedAutoSequence()
    yield AutoIncrement()
    yield BareStatement()
    yield RoundTrip()
    yield BareStatement(driver=True)
    if vendor == "postgresql":
        yield PgBench()
        yield PgBenchTransaction()
    yield from posting.everyone()


def others() -> list[str]:
    """The registered backends that any database could use, and one that BACKEND names."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name in OURS)
    names = {point.value: point.name for point in points}  # one that has two names is one
    found = sorted(set(names.values()).difference(VENDORS))  # "auto" has found those
    return found + list(filter(None, [os.environ.get("BACKEND")]))
