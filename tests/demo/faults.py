"""Faulty allocators, which the demo must detect."""

from __future__ import annotations

from dataclasses import replace

from django.db.backends.base.base import BaseDatabaseWrapper
from sequences_sqlite import SQLiteAllocator

from sequences_core import Allocation, Allocator


class SkipsNumbers(SQLiteAllocator):
    """Takes two numbers and returns one."""

    supports_function = False

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        return super().upsert(connection, replace(allocation, count=2))


class CountsAlone(Allocator):
    """Counts in its own process, without a shared counter."""

    protocol = 1

    def __init__(self) -> None:
        self.last = 0

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        self.last += allocation.count
        return self.last

    update = upsert


class Fails(Allocator):
    """Raises an error instead of taking a number."""

    protocol = 1

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        raise RuntimeError("out of order")

    update = upsert
