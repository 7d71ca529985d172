"""Allocators with one flaw each, which the conformance kit must detect.

A test installs this module as a distribution, beside the sample whose allocator has no flaw.
"""

from __future__ import annotations

from collections import defaultdict
from threading import current_thread, main_thread
from time import sleep
from typing import ClassVar

from acme_sequences import AcmeAllocator
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core import Allocation
from sequences_core.models import Counter


class ReadsThenWrites(AcmeAllocator):
    """Reads the last number and writes the next one, so that two transactions may read the same."""

    single_statement = False

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        counter = Counter.objects.using(connection.alias).filter(pk=allocation.name)
        last = counter.values_list("last", flat=True).first()
        if last is None or last > allocation.highest_before or allocation.reset_value is not None:
            return super().upsert(connection, allocation)
        counter.update(last=last + allocation.count)
        return last + allocation.count


class CommitsAtOnce(AcmeAllocator):
    """Commits within the transaction: others don't wait, but a rollback loses the number."""

    single_statement = False

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        last = super().upsert(connection, allocation)
        if connection.in_atomic_block:
            with connection.cursor() as cursor:
                cursor.execute("COMMIT")
                cursor.execute("BEGIN IMMEDIATE")
        return last


class KeepsAStock(AcmeAllocator):
    """Takes ten numbers at once and keeps them in memory, where a rollback doesn't restore them."""

    stock: ClassVar[dict[str, list[int]]] = defaultdict(list)

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        if allocation.count > 1 or allocation.reset_value is not None:
            return super().upsert(connection, allocation)
        stock = self.stock[allocation.name]
        if not stock:
            ten = Allocation(allocation.name, 10, allocation.initial_value)
            stock += self.allocate(connection, ten)
        return stock.pop(0)


class ReadsBackLater(AcmeAllocator):
    """Reads the number back by a statement of its own, which in autocommit is another transaction.

    The pause stands for a network.
    """

    single_statement = False

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        last = super().upsert(connection, allocation)
        if last is None or connection.in_atomic_block:
            return last
        sleep(0.01)
        return Counter.objects.using(connection.alias).get(pk=allocation.name).last


class LoopsByTwoStatements(AcmeAllocator):
    """Reads the last number of a loop and writes the next one, without a lock in between."""

    single_statement = False

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        counter = Counter.objects.using(connection.alias).filter(pk=allocation.name)
        last = counter.values_list("last", flat=True).first()
        if allocation.reset_value is None or last is None or last + 1 >= allocation.reset_value:
            return super().upsert(connection, allocation)
        sleep(0.01)
        counter.update(last=last + 1)
        return last + 1


class LeavesASetting(AcmeAllocator):
    """Limits the waits of the session, and doesn't restore the limit."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 1234")
        return super().upsert(connection, allocation)


class Shout(str):
    """A subclass of str, which a driver may adapt in its own way."""


class SendsASubclass(AcmeAllocator):
    """Sends an instance of a subclass of str."""

    single_statement = False

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", [Shout(allocation.name)])
        return super().upsert(connection, allocation)


class NeverComesBack(AcmeAllocator):
    """Runs a statement without end in all threads but the test's own."""

    single_statement = False

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        if current_thread() is not main_thread():
            with connection.cursor() as cursor:
                cursor.execute(
                    "WITH RECURSIVE endless (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM endless)"
                    "SELECT COUNT(*) FROM endless"
                )
        return super().upsert(connection, allocation)
