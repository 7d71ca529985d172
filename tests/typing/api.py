"""Examples of use that a type checker must accept, and, marked so, slips that it must catch.

``make lint`` checks this file with mypy; nothing here is run. An ignore that catches nothing is
itself an error (warn_unused_ignores).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import ClassVar, assert_type

from django.db import connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core import (
    Allocation,
    Allocator,
    BackendError,
    GapWarning,
    Sequence,
    SequenceExhausted,
    SequenceLocked,
    SequencesError,
    TableMissing,
    delete,
    get_allocator,
    get_last_value,
    get_next_blocks,
    get_next_value,
    get_next_values,
    retry_atomic,
    run_atomic,
    set_last_value,
)


def take_numbers() -> None:
    with transaction.atomic():
        assert_type(get_next_value(), int)
        assert_type(get_next_value("invoices", 1000), int)
        assert_type(get_next_value("invoices", lambda: 1000, using="archive"), int)
        assert_type(get_next_value("days", 1, 366, nowait=True), int)
        assert_type(get_next_value("invoices", timeout=0.5), int)
        assert_type(get_next_values(10), range)
        assert_type(get_next_values(10, "invoices", 1000, timeout=3), range)
        assert_type(get_next_blocks({"invoices": 1, "lines": 3}), dict[str, range])


def look_and_change() -> None:
    assert_type(get_last_value("invoices"), int | None)
    assert_type(delete("invoices", using="archive"), bool)
    set_last_value(10, "invoices", force=True)


def use_objects() -> None:
    numbers = Sequence("invoices", initial_value=1000, using="archive")
    assert_type(next(numbers), int)
    assert_type(numbers.get_next_values(3), range)
    assert_type(numbers.get_last_value(), int | None)
    iterator: Iterator[int] = iter(numbers)
    assert_type(list(itertools.islice(numbers, 3)), list[int])
    print(next(iterator))


@retry_atomic(attempts=3)
def issue(customer: str, *, amount: int = 1) -> str:
    return f"{customer} {amount} {get_next_value('invoices')}"


def run_again() -> None:
    assert_type(issue("Ada", amount=2), str)
    assert_type(run_atomic(lambda: get_next_value("invoices"), attempts=5), int)
    issue(1)  # type: ignore[arg-type]
    issue("Ada", amont=2)  # type: ignore[call-arg]


def catch() -> int | None:
    try:
        return get_next_value(nowait=True)
    except SequenceLocked as locked:
        assert_type(locked, SequenceLocked)
    except (SequenceExhausted, TableMissing, BackendError, GapWarning):
        return None
    except SequencesError as error:
        print(error.args)
    return None


class MyAllocator(Allocator):
    protocol = 1
    can_limit_wait = True
    retryable_codes: ClassVar[frozenset[str | int]] = frozenset({"40001"})

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        assert_type(allocation.first_last, int | None)
        return None

    def update(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        return allocation.highest_before


def use_allocators() -> None:
    assert_type(get_allocator(connections["default"]), Allocator)
    assert_type(MyAllocator().allocate(connection, Allocation("invoices", 3)), range)


def slip() -> None:
    get_next_value(1)  # type: ignore[arg-type]
    get_next_value("s", "1")  # type: ignore[arg-type]
    get_next_value("s", 1, 2, True)  # type: ignore[call-arg]
    get_next_value("s", lambda: "1")  # type: ignore[arg-type, return-value]
    get_next_values("s")  # type: ignore[arg-type]
    set_last_value("s", 1)  # type: ignore[arg-type]
    retry_atomic(issue)  # type: ignore[arg-type, call-arg]
    Allocation("s").count = 2  # type: ignore[misc]
    Allocator()  # type: ignore[abstract]
