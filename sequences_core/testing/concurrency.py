"""Concurrent transactions take numbers without gaps, duplicates or errors."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.db import Error

from sequences_core import (
    get_last_value,
    get_next_value,
    run_atomic,
    set_last_value,
)

from .base import Contract, Elsewhere
from .transactions import Rollback

TAKERS = 8


class Concurrency(Contract):
    """First use, isolation levels, exact outcomes, lost connections."""

    def test_first_takers_all_succeed(self) -> None:
        """Concurrent first uses of a name all get a number, without an error."""
        for round_ in range(10):
            name = f"s{round_}"
            numbers = self.together([self.take(name)] * TAKERS)
            assert sorted(numbers) == list(range(1, TAKERS + 1))
            assert get_last_value(name, using=self.using) == TAKERS

    def test_first_takers_outlive_the_first_ones_rollback(self) -> None:
        """If the first transaction rolls back, those that waited for it get its numbers."""
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

    @pytest.mark.parametrize("initial", [1, lambda: 1], ids=["given", "computed"])
    def test_a_first_taker_may_be_overtaken(self, initial: Any) -> None:
        """Both get a number if another transaction takes one before any of the statements."""

        def take(name: str) -> int:
            return get_next_value(name, initial, using=self.using)

        for number, others in self._overtaken(take):
            assert {number, others} == {1, 2}

    def test_a_first_setter_may_be_overtaken(self) -> None:
        """The counter is set even if another transaction takes a number before any statement."""
        names: list[str] = []

        def set_to_100(name: str) -> None:
            names.append(name)
            set_last_value(100, name, using=self.using)

        for _, number in self._overtaken(set_to_100):
            assert number in {1, 101}
            assert get_last_value(names[-1], using=self.using) == max(100, number)

    def _overtaken(self, function: Callable[[str], Any]) -> Iterator[tuple[Any, int]]:
        """Call the function in a transaction; before one of its statements, another takes first.

        Yield the result and the other transaction's number, once for each of the statements.
        """
        self.requires("locks_database", False)
        attempts = 10 if self.allocator.first_use_may_conflict else 1

        def run(name: str, position: int) -> tuple[Any, list[Elsewhere]]:
            others: list[Elsewhere] = []
            seen = 0

            def take() -> int:
                return run_atomic(self.take(name), attempts=attempts, using=self.using)

            def overtake(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
                nonlocal seen
                if seen == position and not others:
                    others.append(self.start(take))
                    others[0].is_waiting()  # it may wait for a lock of this transaction
                seen += 1
                return execute(sql, params, many, context)

            def block() -> Any:
                with self.connection.execute_wrapper(overtake):
                    return function(name)

            return run_atomic(block, attempts=attempts, using=self.using), others

        for position in itertools.count():
            result, others = run(f"s{position}", position)
            if not others:
                assert position
                break
            yield result, others[0].result()

    def test_first_takers_with_a_callable_all_succeed(self) -> None:
        """Concurrent first uses with a callable initial_value all succeed, too."""
        for round_ in range(5):
            name = f"s{round_}"
            numbers = self.together([self.take(name, initial_value=lambda: 10)] * TAKERS)
            assert sorted(numbers) == list(range(10, 10 + TAKERS))

    def test_first_setters_all_succeed(self) -> None:
        """Concurrent first uses by set_last_value and get_next_value give no error or duplicate."""
        for round_ in range(5):
            name = f"s{round_}"

            def set_to_100(name: str = name) -> None:
                # ValueError: the counter is above 100 already
                with suppress(ValueError), self.atomic():
                    set_last_value(100, name, using=self.using)

            results = self.together([self.take(name), set_to_100] * (TAKERS // 2))
            numbers = [number for number in results if number is not None]
            assert len(set(numbers)) == len(numbers)
            last = get_last_value(name, using=self.using)
            assert last is not None
            assert last >= 100
            assert last >= max(numbers)

    def test_a_deadlock_is_retryable(self) -> None:
        """Two transactions that lock two counters in opposite orders both succeed in the end."""
        self.requires("locks_database", False)
        for name in "ab":
            self.create(name)
        both_have_one = threading.Barrier(2)

        def take_both(names: str) -> None:
            runs = itertools.count()

            def block() -> None:
                get_next_value(names[0], using=self.using)
                if next(runs) == 0:
                    both_have_one.wait(self.patience)
                get_next_value(names[1], using=self.using)

            run_atomic(block, using=self.using)

        self.together([lambda: take_both("ab"), lambda: take_both("ba")])
        assert self.counters() == {"a": 3, "b": 3}

    def test_outcome_is_exact(self) -> None:
        """Transactions that take in each form, roll back and use savepoints get 1..n, each once."""
        self._check_exact_outcome(200 if self.allocator.first_use_may_conflict else 1)

    def test_calls_in_autocommit_never_share_a_number(self) -> None:
        """Without a transaction, too, concurrent calls of each form get 1..n, each once."""
        self.create()

        def take_some() -> list[int]:
            return [number for take in self.forms() for number in take()]

        numbers = sorted(itertools.chain(*self.together([take_some] * TAKERS)))
        assert numbers == list(range(2, len(numbers) + 2))

    def _check_exact_outcome(
        self, attempts: int, level: str | None = None, name: str = "s", rounds: int = 15
    ) -> None:
        forms = self.forms(name)

        def take(chance: random.Random) -> list[int]:
            get_last_value(name, using=self.using)  # a snapshot, where there are snapshots
            numbers = chance.choice(forms)()
            with suppress(Rollback), self.atomic():
                numbers_of_savepoint = chance.choice(forms)()
                if chance.random() < 0.5:
                    raise Rollback
                numbers += numbers_of_savepoint
            return numbers

        self._check_exact(take, name, level, attempts, rounds)

    def _check_exact(
        self,
        take: Callable[[random.Random], list[int]],
        name: str,
        level: str | None,
        attempts: int,
        rounds: int,
    ) -> None:
        """Run ``take`` in transactions of which some roll back: the others have 1..n, each once."""

        def taker(seed: int) -> Callable[[], list[int]]:
            chance = random.Random(seed)

            def block() -> list[int]:
                numbers = take(chance)
                if chance.random() < 0.3:
                    raise Rollback
                return numbers

            def run() -> list[int]:
                if level:
                    self.set_isolation_level(level)
                committed: list[int] = []
                for _ in range(rounds):
                    with suppress(Rollback):
                        committed += run_atomic(block, attempts=attempts, using=self.using)
                return committed

            return run

        results = self.together([taker(seed) for seed in range(TAKERS)])
        numbers = sorted(number for numbers in results for number in numbers)
        assert numbers == list(range(1, len(numbers) + 1))
        assert get_last_value(name, using=self.using) == len(numbers)

    def test_a_lost_connection_loses_the_number(self) -> None:
        """If a connection is lost in a transaction, a new one takes the same number."""
        self.create()

        def die() -> None:
            with self.atomic():
                assert get_next_value("s", using=self.using) == 2
                self.connection.connection.close()

        with pytest.raises(Error):  # psycopg2's COMMIT raises InterfaceError
            die()
        self.connection.close()
        assert self.take()() == 2
