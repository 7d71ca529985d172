"""A block that loses a conflict is run again, and then the outcome is what it should be."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from django.db import DatabaseError, connections, transaction

from sequences_core import (
    Allocator,
    get_allocator,
    get_last_value,
    get_next_value,
    retry_atomic,
    run_atomic,
)
from sequences_core.testing.base import PATIENCE, Elsewhere
from tests.snapshots import setting


class Program(NamedTuple):
    """A transaction of two steps."""

    first: Callable[[], Any]
    second: Callable[[], Any]


def race(using: str, programs: list[Program], *, level: str = "", meet: bool = True) -> Any:
    """Run the programs side by side by run_atomic; they meet between their steps, the first time.

    Returns the results of all steps, and how often each program was begun.
    """
    barrier = threading.Barrier(len(programs))

    def runner(program: Program) -> Callable[[], tuple[list[Any], int]]:
        begun = 0

        def block() -> list[Any]:
            nonlocal begun
            begun += 1
            result = program.first()
            if meet and begun == 1:
                barrier.wait(PATIENCE)
            return [result, program.second()]

        def run() -> tuple[list[Any], int]:
            set_isolation_level(using, level)
            return run_atomic(block, using=using), begun

        return run

    others = [Elsewhere(runner(program), using) for program in programs]
    for other in others:
        other.start()
    outcomes = [other.result() for other in others]
    return [result for result, _ in outcomes], [begun for _, begun in outcomes]


def set_isolation_level(using: str, level: str) -> None:
    connection: Any = connections[using]
    connection.ensure_connection()
    if level == "DEFERRED":
        connection.transaction_mode = level
    elif level:
        scope = "SESSION" if connection.vendor == "mysql" else "SESSION CHARACTERISTICS AS"
        with connection.cursor() as cursor:
            cursor.execute(f"SET {scope} TRANSACTION ISOLATION LEVEL {level}")


def taker(using: str, name: str) -> Callable[[], int]:
    return lambda: get_next_value(name, using=using)


def looker(using: str, name: str) -> Callable[[], int | None]:
    return lambda: get_last_value(name, using=using)


def test_a_deadlock_is_resolved(using: str) -> None:
    """Two that take a and b in opposite order both get their numbers, the victim later."""
    a, b = taker(using, "a"), taker(using, "b")
    for name in "ab":
        run_atomic(taker(using, name), using=using)
    # Under the lock of a whole database the second only begins when the first has ended.
    meet = not get_allocator(connections[using]).locks_database
    (ab, ba), begun = race(using, [Program(a, b), Program(b, a)], meet=meet)
    assert {tuple(ab), tuple(ba)} == {(2, 2), (3, 3)}
    assert sum(begun) == (3 if meet else 2)
    assert [get_last_value(name, using=using) for name in "ab"] == [3, 3]


def test_a_serialization_failure_is_resolved(using: str) -> None:
    """Two that read the counter and then take from it get different numbers."""
    run_atomic(taker(using, "s"), using=using)
    vendor = connections[using].vendor
    level = {"postgresql": "REPEATABLE READ", "sqlite": "DEFERRED"}.get(vendor, "SERIALIZABLE")
    program = Program(looker(using, "s"), taker(using, "s"))
    results, begun = race(using, [program, program], level=level)
    assert sorted(results) == [[1, 2], [2, 3]]
    assert sum(begun) >= 3
    assert get_last_value("s", using=using) == 3


def test_a_counter_that_moved_since_it_was_read(using: str) -> None:
    """What the transaction has read is outdated when it takes: it is run again, and reads anew.

    MySQL lets an UPDATE see what its SELECT didn't, and goes on, and so does an old MariaDB.
    """
    run_atomic(taker(using, "s"), using=using)
    begun = 0
    connection: Any = connections[using]
    set_isolation_level(using, "DEFERRED" if connection.vendor == "sqlite" else "REPEATABLE READ")
    goes_on = connection.vendor == "mysql"
    if goes_on:
        with connection.cursor() as cursor:
            if setting(cursor, "innodb_snapshot_isolation"):  # on by default from 11.8 on
                cursor.execute("SET SESSION innodb_snapshot_isolation = ON")
                goes_on = False

    def block() -> list[int | None]:
        nonlocal begun
        begun += 1
        seen = looker(using, "s")()
        if begun == 1:
            other = Elsewhere(lambda: run_atomic(taker(using, "s"), using=using), using)
            other.start()
            assert other.result() == 2
        return [seen, taker(using, "s")()]

    try:
        result = run_atomic(block, using=using)
    finally:
        connection.close()  # and the level ends with the session
    assert (result, begun) == (([1, 3], 1) if goes_on else ([2, 3], 2))


class TestPostgreSQL:
    using = "postgresql"
    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["postgresql"], available_apps=["sequences_core"]
    )

    def test_a_failure_at_commit_is_resolved(self) -> None:
        """Serializable transactions that each read what the other writes fail as late as COMMIT."""
        for name in "ab":
            run_atomic(taker(self.using, name), using=self.using)

        def read_one_and_take_the_other(read: str, take: str) -> list[int | None]:
            return [looker(self.using, read)(), taker(self.using, take)()]

        a_then_b = Program(lambda: read_one_and_take_the_other("a", "b"), lambda: None)
        b_then_a = Program(lambda: read_one_and_take_the_other("b", "a"), lambda: None)
        results, begun = race(self.using, [a_then_b, b_then_a], level="SERIALIZABLE")
        seen = sorted(steps for steps, _ in results)
        assert seen == [[1, 2], [2, 2]]  # as if one had begun when the other had ended
        assert sum(begun) == 3


@pytest.mark.parametrize("lost", [False, True])
def test_no_result_of_what_was_rolled_back(using: str, lost: bool) -> None:
    """A block that has caught the error that ended its transaction does not return a number."""

    def block() -> int:
        number = taker(using, "s")()
        if lost:
            connections[using].close()
            return number
        try:
            with transaction.atomic(using=using, savepoint=False):
                raise DatabaseError("caught")
        except DatabaseError:
            return number

    with pytest.raises(transaction.TransactionManagementError, match="only be rolled back"):
        run_atomic(block, using=using)
    assert run_atomic(taker(using, "s"), using=using) == 1


@pytest.mark.django_db(transaction=True)
def test_pauses_are_random_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is between 0 and a limit that doubles from 10 ms to 1 s, however many there are."""
    limits: list[tuple[float, float]] = []
    pauses: list[float] = []

    def longest(low: float, high: float) -> float:
        limits.append((low, high))
        return high

    monkeypatch.setattr("random.uniform", longest)
    monkeypatch.setattr("time.sleep", pauses.append)
    monkeypatch.setattr(Allocator, "is_retryable", lambda self, error: True)

    def block() -> None:
        raise DatabaseError("lost")

    with pytest.raises(DatabaseError, match="lost"):
        run_atomic(block, attempts=2000)
    assert len(pauses) == 1999  # none after the last attempt
    assert limits[:7] == [(0, 0.01 * 2**doubled) for doubled in range(7)]
    assert set(limits[7:]) == {(0, 1.0)}
    assert pauses == [high for _, high in limits]


@pytest.mark.django_db(transaction=True)
def test_the_decorator_keeps_the_function() -> None:
    """Name, docstring, signature, arguments and result are those of the function."""

    @retry_atomic(attempts=3)
    def issue(customer: str, *, amount: int = 1) -> tuple[str, int, int]:
        """Issue an invoice."""
        return customer, amount, get_next_value("invoices")

    assert issue("Ada", amount=2) == ("Ada", 2, 1)
    assert issue("Ada") == ("Ada", 1, 2)
    assert (issue.__name__, issue.__doc__) == ("issue", "Issue an invoice.")
    assert str(inspect.signature(issue)).startswith("(customer: 'str', *, amount: 'int' = 1)")


@pytest.mark.parametrize(
    ("attempts", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError)]
)
def test_bad_attempts(attempts: Any, error: type[Exception]) -> None:
    """They are refused before anything is run."""
    with pytest.raises(error, match="attempts"):
        run_atomic(lambda: pytest.fail("was run"), attempts=attempts)
