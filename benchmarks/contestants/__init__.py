"""Who takes part."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.metadata import entry_points

from django.db import connection

from benchmarks.contestants.base import Contestant
from benchmarks.contestants.limits import (
    BareStatement,
    PgBench,
    PgBenchTransaction,
    RawDriver,
    RoundTrip,
)
from benchmarks.contestants.ours import OURS, VENDORS, Allocate, Field, InStatement
from benchmarks.contestants.peers import (
    AutoIncrement,
    AutoSequence,
    DjangoSeq,
    DjangoSequences,
    LockedAutoSequence,
)
from benchmarks.environment import CHOSEN
from sequences_core.registry import GROUP


def contestants() -> list[Contestant]:
    """Those that take part on this database, ours first, but for those of the question Disk."""
    return [contestant for contestant in fit() if not contestant.early]


def fit() -> list[Contestant]:
    """All that can take part."""
    chosen = json.loads(os.environ[CHOSEN])
    return [contestant for contestant in everyone(connection.vendor) if contestant.name in chosen]


def others() -> list[str]:
    """The registered backends that any database could use, each by one name.

    One that is named like a vendor of Django's serves that vendor, and "auto" has found ours.
    """
    points = sorted(
        entry_points(group=GROUP), key=lambda point: (point.name not in OURS, point.name)
    )
    names: dict[str, str] = {}
    for point in points:
        if point.name not in VENDORS:
            names.setdefault(point.value, point.name)
    return list(names.values())


def by_name(name: str) -> Contestant:
    """The contestant of that name."""
    return next(one for one in everyone(connection.vendor) if one.name == name)


def everyone(vendor: str) -> Iterator[Contestant]:
    """All that there are for a database of that vendor; some may turn out to be unfit."""
    yield Field()
    if vendor == "sqlite":
        yield Field("relaxed")
    if vendor == "mysql":
        yield Field("unlogged")
    if vendor == "postgresql":
        yield Field(early=True)
        yield Allocate(early=True)
    yield InStatement()
    yield Allocate()
    for backend in others():
        yield Allocate(backend)
    if path := os.environ.get("BACKEND"):
        yield Allocate(path)
    yield DjangoSequences()
    if vendor == "sqlite":
        # Its README leaves Django's settings as they are.
        yield DjangoSequences("untuned")
    if vendor == "mysql":
        yield DjangoSequences("unlogged")
    yield DjangoSeq()
    yield AutoSequence()
    if vendor == "postgresql":
        yield LockedAutoSequence()
    yield AutoIncrement()
    yield BareStatement()
    yield RoundTrip()
    yield RawDriver()
    if vendor == "postgresql":
        yield PgBench()
        yield PgBench(early=True)
        yield PgBenchTransaction()
