"""Allocators with common mistakes, which the checker, the demo and the benchmarks must detect."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Max
from sequences_orm import ORMAllocator
from sequences_postgresql import PostgreSQLAllocator
from sequences_sqlite import SQLiteAllocator

from sequences_core import Allocation, Allocator
from sequences_core.models import Counter
from sequences_core.registry import GROUP


class MaxPlusOne(ORMAllocator):
    """Take ``MAX(number) + 1``, which everybody tries first, and store it in the counter."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        from tests.faults.tables import Numbered  # which the demo doesn't install

        assert isinstance(allocation.initial_value, int)
        rows = Numbered._base_manager.filter(counter=allocation.name)
        highest = rows.aggregate(Max("number"))["number__max"]
        last = allocation.initial_value - 1 if highest is None else int(highest)
        last += allocation.count
        targeted = connection.features.supports_update_conflicts_with_target
        Counter.objects.bulk_create(
            [Counter(name=allocation.name, last=last)],
            update_conflicts=True,
            update_fields=["last"],
            unique_fields=["name"] if targeted else None,
        )
        return last


class Autocommit(ORMAllocator):
    """Take the number on another connection, in autocommit, so that no transaction waits."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        (entry_point,) = entry_points(group=GROUP, name=connection.vendor)
        sound: Any = entry_point.load()()
        other = connection.copy()
        try:
            last: int | None = sound.upsert(other, allocation)
        finally:
            other.close()
        return last


class LostUpdate(ORMAllocator):
    """Read the counter, add in Python, and write the sum."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        counter = Counter.objects.filter(pk=allocation.name)
        last = counter.values_list("last", flat=True).first()
        if last is None:
            return super().upsert(connection, allocation)
        counter.update(last=last + allocation.count)
        return last + allocation.count


class NotWaitedFor(PostgreSQLAllocator):
    """Release the counter before the commit is on disk, and acknowledge the commit at once."""

    def waiting_wrapper(self, connection: BaseDatabaseWrapper) -> None:
        return None  # a wrapper would add a wait to the statement

    def wait_until_durable(self, connection: BaseDatabaseWrapper, durability: str | None) -> None:
        pass


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
