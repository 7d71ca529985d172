"""The contestants: the ways of numbering that the suite compares."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from django.db import connection
from sequences_orm import ORMAllocator

from benchmarks.contestants import limits, ours, peers, posting
from benchmarks.contestants.base import Contestant
from sequences_core import get_allocator

left_out: dict[str, str] = {}
"""The contestants that can't run on this database, with the reason; benchmarks.plugin fills it."""


def contestants(names: Iterable[str] | None = None) -> list[Contestant]:
    """Return the contestants with these names, by default all that aren't special.

    Contestants that can't run on this database are excluded.
    """
    return [
        one
        for one in everyone()
        if one.name not in left_out and (not one.special if names is None else one.name in names)
    ]


def by_name(name: str) -> Contestant:
    """Return the contestant with that name."""
    return next(one for one in everyone() if one.name == name)


def everyone() -> Iterator[Contestant]:
    """Yield all contestants for this kind of database."""
    vendor = connection.vendor
    binary_log = vendor == "mysql" and not getattr(connection, "mysql_is_mariadb", False)
    yield ours.field()
    if vendor == "sqlite":
        yield ours.field("relaxed", ", synchronous = NORMAL")
    if binary_log:
        yield ours.field("unlogged", ", no binary log")
    if vendor == "postgresql":
        yield ours.field(early=True)
        yield ours.allocate(early=True)
    yield ours.in_statement()
    yield ours.allocate()
    usual = isinstance(get_allocator(connection), ORMAllocator)
    for backend in (None if usual else "orm", os.environ.get("BACKEND")):
        if backend:
            yield ours.allocate(backend)
    yield peers.django_sequences()
    if vendor == "sqlite":
        # Its README changes none of Django's settings for SQLite.
        yield peers.django_sequences("untuned", ", Django's settings")
    if binary_log:
        yield peers.django_sequences("unlogged", ", no binary log")
    yield peers.django_seq()
    yield peers.auto_sequence()
    yield peers.auto_increment()
    yield from limits.everyone()
    yield from posting.everyone()
