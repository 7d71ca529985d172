"""Who waits for whom, and what comes out when many want numbers at once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import DatabaseError, NotSupportedError

from sequences_core import (
    SequenceLocked,
    get_last_value,
    get_next_value,
    get_next_values,
    run_atomic,
    set_last_value,
)

from .base import BLINK, PATIENCE, Contract
from .transactions import Rollback

TAKERS = 8


class Concurrency(Contract):
    """Waiting, timeouts, first use, isolation levels, exact outcomes."""

    def take(self, name: str = "s", **kwargs: Any) -> Callable[[], int]:
        """A function that takes one number, and commits it."""

        def transaction() -> int:
            with self.atomic():
                return get_next_value(name, using=self.using, **kwargs)

        # Where BEGIN takes the lock of the whole database, only autocommit can bound the wait.
        if "timeout" in kwargs and self.flag("locks_database"):
            return lambda: get_next_value(name, using=self.using, **kwargs)
        return transaction

    def create(self, name: str = "s") -> None:
        with self.atomic():
            get_next_value(name, using=self.using)

    @pytest.mark.parametrize("exists", [True, False], ids=["counter", "first use"])
    @pytest.mark.parametrize("end", ["commit", "rollback"])
    def test_second_taker_waits_for_the_end_of_the_first(self, end: str, exists: bool) -> None:
        """The second taker waits, then goes on from what was committed."""
        if exists:
            self.create()
        first = 2 if exists else 1
        try:
            with self.atomic():
                assert get_next_value("s", using=self.using) == first
                other = self.elsewhere(self.take())
                thread = other.__enter__()
                assert thread.is_waiting()
                if end == "rollback":
                    raise Rollback
        except Rollback:
            pass
        other.__exit__(None, None, None)
        assert thread.result() == (first + 1 if end == "commit" else first)

    @pytest.mark.parametrize("exists", [True, False], ids=["counter", "first use"])
    def test_other_names_never_wait(self, exists: bool) -> None:
        """A taker of another name is done while the first transaction is still open."""
        self.requires("locks_database", False)
        if exists:
            for name in ("a", "b"):
                self.create(name)
        with self.atomic():
            get_next_value("a", using=self.using)
            with self.elsewhere(self.take("b")) as other:
                assert other.result() == (2 if exists else 1)

    @pytest.mark.parametrize("exists", [True, False], ids=["counter", "first use"])
    @pytest.mark.parametrize("timeout", [0, 0.2, 1.2])
    def test_timeout_bounds_the_wait(self, timeout: float, exists: bool) -> None:
        """Past ``timeout`` seconds SequenceLocked is raised; nothing is taken, nothing spoiled."""
        self.requires("can_limit_wait")
        if exists:
            self.create()
        else:
            self.requires("can_limit_first_wait")
        step = self.allocator.timeout_step

        def expect_locked() -> float:
            begin = time.monotonic()
            with pytest.raises(SequenceLocked):
                self.take(timeout=timeout)()
            return time.monotonic() - begin

        with self.atomic():
            get_next_value("s", using=self.using)
            with self.elsewhere(expect_locked) as other:
                waited = other.result()
        assert timeout * 0.9 <= waited < timeout + step + 2
        assert self.take(timeout=timeout)() == (3 if exists else 2)

    def test_nowait_is_timeout_zero(self) -> None:
        """nowait takes a free counter at once, in every form of a take."""
        self.requires("can_limit_wait")
        with self.atomic():
            for expected in (1, 2):
                assert get_next_value("s", nowait=True, using=self.using) == expected
                assert get_next_value("c", lambda: 1, nowait=True, using=self.using) == expected
                assert get_next_value("l", 1, 3, nowait=True, using=self.using) == expected
            assert get_next_values(3, "s", nowait=True, using=self.using) == range(3, 6)
            assert get_next_values(3, "s", timeout=1.5, using=self.using) == range(6, 9)

    def test_timeout_that_is_long_enough(self) -> None:
        """A wait that ends before the timeout ends well."""
        self.requires("can_limit_wait")
        with self.atomic():
            get_next_value("s", using=self.using)
            other = self.elsewhere(self.take(timeout=PATIENCE))
            thread = other.__enter__()
            assert thread.is_waiting()
        other.__exit__(None, None, None)
        assert thread.result() == 2

    def test_timeout_is_for_one_call(self) -> None:
        """The bound is gone with the call, after success and after failure."""
        self.requires("can_limit_wait")
        self.requires("locks_database", False)
        step = self.allocator.timeout_step

        def short_then_long() -> int:
            with self.atomic():
                get_next_value("free", timeout=0.01, using=self.using)
                with pytest.raises(SequenceLocked), self.atomic():
                    get_next_value("s", timeout=0.01, using=self.using)
                get_next_value("free", nowait=True, using=self.using)
                ready.set()
                return get_next_value("s", using=self.using)

        ready = threading.Event()
        with self.atomic():
            get_next_value("s", using=self.using)
            other = self.elsewhere(short_then_long)
            thread = other.__enter__()
            assert ready.wait(PATIENCE)
            assert thread.is_waiting(step + BLINK)
        other.__exit__(None, None, None)
        assert thread.result() == 2

    def test_timeout_is_never_ignored(self) -> None:
        """A backend that can't bound a wait refuses the argument, before it takes anything."""
        self.requires("can_limit_wait", False)
        for kwargs in ({"nowait": True}, {"timeout": 1}):
            with pytest.raises(NotSupportedError), self.atomic():
                get_next_value("s", using=self.using, **kwargs)
        assert self.counters() == {}

    def test_first_takers_all_succeed(self) -> None:
        """Those who race for the first number of a name all get one, without an error."""
        for round_ in range(10):
            name = f"s{round_}"
            numbers = self.together([self.take(name)] * TAKERS)
            assert sorted(numbers) == list(range(1, TAKERS + 1))
            assert get_last_value(name, using=self.using) == TAKERS

    def test_first_takers_outlive_the_first_ones_rollback(self) -> None:
        """When the first taker rolls back, those who waited for it share out its numbers."""
        attempts = 200 if self.allocator.first_use_may_conflict else 1
        for round_ in range(20):
            name = f"s{round_}"

            def commit(name: str = name) -> int:
                return run_atomic(self.take(name), attempts=attempts, using=self.using)

            def roll_back(name: str = name) -> None:
                def block() -> None:
                    get_next_value(name, using=self.using)
                    raise Rollback

                with suppress(Rollback):
                    run_atomic(block, attempts=attempts, using=self.using)

            results = self.together([roll_back, commit, commit, commit] * 2)
            numbers = [number for number in results if number is not None]
            assert sorted(numbers) == list(range(1, 7))
            assert get_last_value(name, using=self.using) == 6

    def test_first_takers_with_a_callable_all_succeed(self) -> None:
        """So do those whose initial value is computed meanwhile."""
        for round_ in range(5):
            name = f"s{round_}"
            numbers = self.together([self.take(name, initial_value=lambda: 10)] * TAKERS)
            assert sorted(numbers) == list(range(10, 10 + TAKERS))

    def test_first_setters_all_succeed(self) -> None:
        """set_last_value races with takers for a new counter, without an error or a duplicate."""
        for round_ in range(5):
            name = f"s{round_}"

            def set_to_100(name: str = name) -> None:
                # ValueError: takers have gone past it already
                with suppress(ValueError), self.atomic():
                    set_last_value(100, name, using=self.using)

            results = self.together([self.take(name), set_to_100] * (TAKERS // 2))
            numbers = [number for number in results if number is not None]
            assert len(set(numbers)) == len(numbers)
            last = get_last_value(name, using=self.using)
            assert last is not None
            assert last >= 100
            assert last >= max(numbers)

    def test_outcome_is_exact(self) -> None:
        """Takers that commit, roll back and use savepoints leave 1..n, each once."""
        self._check_exact_outcome(200 if self.allocator.first_use_may_conflict else 1)

    def test_isolation_levels(self) -> None:
        """Above READ COMMITTED conflicts are retryable, and retried the outcome is exact."""
        for level in self.isolation_levels():
            self._check_exact_outcome(attempts=200, level=level, name=level)

    def isolation_levels(self) -> tuple[str, ...]:
        """The levels of this database that a transaction can ask for."""
        if self.connection.vendor in {"postgresql", "mysql"}:
            return ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
        return ()

    def set_isolation_level(self, level: str) -> None:
        """Set the level of this connection's next transactions."""
        mysql = self.connection.vendor == "mysql"
        scope = "SESSION" if mysql else "SESSION CHARACTERISTICS AS"
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET {scope} TRANSACTION ISOLATION LEVEL {level}")

    def _check_exact_outcome(
        self, attempts: int, level: str | None = None, name: str = "s", rounds: int = 15
    ) -> None:
        def taker(seed: int) -> Callable[[], list[int]]:
            chance = random.Random(seed)

            def block() -> list[int]:
                get_last_value(name, using=self.using)  # a snapshot, where there are snapshots
                numbers = [get_next_value(name, using=self.using)]
                try:
                    with self.atomic():
                        numbers_of_savepoint = get_next_values(2, name, using=self.using)
                        if chance.random() < 0.5:
                            raise Rollback
                        numbers += numbers_of_savepoint
                except Rollback:
                    pass
                if chance.random() < 0.3:
                    raise Rollback
                return numbers

            def run() -> list[int]:
                if level:
                    self.set_isolation_level(level)
                committed: list[int] = []
                for _ in range(rounds):
                    try:
                        committed += run_atomic(block, attempts=attempts, using=self.using)
                    except Rollback:
                        continue
                return committed

            return run

        results = self.together([taker(seed) for seed in range(TAKERS)])
        numbers = sorted(number for numbers in results for number in numbers)
        assert numbers == list(range(1, len(numbers) + 1))
        assert get_last_value(name, using=self.using) == len(numbers)

    def test_a_lost_connection_loses_the_number(self) -> None:
        """A connection that dies in mid-transaction gives its numbers back, and a new one works."""
        self.create()

        def die() -> None:
            with self.atomic():
                assert get_next_value("s", using=self.using) == 2
                self.connection.connection.close()

        with pytest.raises(DatabaseError):
            die()
        self.connection.close()
        assert self.take()() == 2
