"""Concurrent transactions take numbers in-statement and by calls, without gaps or errors."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from django.db import DatabaseError

from sequences_core import get_next_value, run_atomic
from sequences_core.models import Counter

from .concurrency import TAKERS
from .expressions import InStatement
from .transactions import Rollback


class InStatementRaces(InStatement):
    """Waiting, first use and exact outcomes with the function."""

    @pytest.mark.parametrize("exists", [True, False], ids=["counter", "first use"])
    @pytest.mark.parametrize("end", ["commit", "rollback"])
    @pytest.mark.parametrize("holder", ["allocate", "function"])
    def test_function_waits(self, holder: str, end: str, exists: bool) -> None:
        """The function waits for a transaction that has locked the counter, and vice versa."""
        self.requires("supports_function")
        if exists:
            self.create()
        first = 2 if exists else 1
        takes = [self.take(), self.take_inside()]
        with suppress(Rollback), self.atomic():
            assert takes[holder == "function"]() == first
            threads = [self.start(take) for take in takes]
            assert all(thread.is_waiting() for thread in threads)
            if end == "rollback":
                raise Rollback
        last = first if end == "commit" else first - 1
        assert sorted(thread.result() for thread in threads) == [last + 1, last + 2]

    @pytest.mark.parametrize("exists", [True, False], ids=["counter", "first use"])
    def test_function_does_not_wait_for_other_names(self, exists: bool) -> None:
        """A call with another name doesn't wait for the open transaction."""
        self.requires("supports_function")
        self.requires("locks_database", False)
        if exists:
            for name in ("a", "b"):
                self.create(name)
        with self.atomic():
            self.select("a")
            with self.elsewhere(self.take_inside("b")) as other:
                assert other.result() == (2 if exists else 1)

    def test_function_first_takers_all_succeed(self) -> None:
        """Concurrent first uses of both kinds all get a number, without an error."""
        self.requires("supports_function")
        for round_ in range(10):
            name = f"s{round_}"
            takes = [self.take_inside(name), self.take(name)] * (TAKERS // 2)
            assert sorted(self.together(takes)) == list(range(1, TAKERS + 1))

    def test_function_first_takers_outlive_the_first_ones_rollback(self) -> None:
        """If the first transaction rolls back, those that waited for it get its numbers."""
        self.requires("supports_function")
        attempts = 200 if self.allocator.first_use_may_conflict else 1
        # Waiting for a lock of the whole database is slow, so run fewer rounds then.
        for round_ in range(5 if self.flag("locks_database") else 20):
            name = f"s{round_}"

            def commit(name: str = name) -> int:
                return run_atomic(self.take_inside(name), attempts=attempts, using=self.using)

            def roll_back(name: str = name) -> None:
                def block() -> None:
                    self.select(name)
                    raise Rollback

                with suppress(Rollback):
                    run_atomic(block, attempts=attempts, using=self.using)

            results = self.together([roll_back, commit] * TAKERS)
            numbers = [number for number in results if number is not None]
            assert sorted(numbers) == list(range(1, TAKERS + 1))

    def test_function_first_takers_of_both_kinds(self) -> None:
        """Concurrent first uses of both kinds give no error when half of them roll back."""
        self.requires("supports_function")
        attempts = 200 if self.allocator.first_use_may_conflict else 1
        names = [f"s{number}" for number in range(15 if self.flag("locks_database") else 150)]
        # Deleted rows stay in the index for a moment, where they can be locked, too.
        counters = Counter.objects.using(self.using)
        counters.bulk_create([Counter(name=name, last=1) for name in names])
        counters.all().delete()
        barrier = threading.Barrier(2 * TAKERS)
        errors: list[DatabaseError] = []

        def taker(inside: bool, fails: bool) -> Callable[[], None]:
            def take(name: str) -> None:
                self.select(name) if inside else get_next_value(name, using=self.using)
                if fails:
                    raise Rollback

            def take_all() -> None:
                for name in names:
                    barrier.wait(self.patience)
                    try:
                        run_atomic(partial(take, name), attempts=attempts, using=self.using)
                    except Rollback:
                        pass
                    except DatabaseError as error:
                        errors.append(error)  # go on, because the others wait at the barrier
                    except BaseException:
                        barrier.abort()
                        raise

            return take_all

        kinds = [(inside, fails) for inside in (True, False) for fails in (True, False)]
        self.together([taker(*kind) for kind in kinds] * (TAKERS // 2))
        assert errors == []
        assert self.counters() == dict.fromkeys(names, TAKERS)

    def test_function_outcome_is_exact(self) -> None:
        """Transactions of both kinds that commit, fail and roll back get 1..n, each once."""
        self.requires("supports_function")
        self._check_exact_function(None)

    def test_function_outcome_is_exact_at_each_level(self) -> None:
        """Above READ COMMITTED they do so, too, when they are run again after a conflict."""
        self.requires("supports_function")
        for level in self.levels():
            self._check_exact_function(level)

    def _check_exact_function(self, level: str | None) -> None:
        safe = level in {None, "READ COMMITTED"} and not self.allocator.first_use_may_conflict
        attempts = 1 if safe else 200
        name = str(level)

        def take(chance: random.Random) -> list[int]:
            numbers = [self.select(name)]
            with suppress(self.refusal), self.atomic():
                self.select(name)
                self.call(name, -1, None)
            return [*numbers, get_next_value(name, using=self.using), self.select(name)]

        self._check_exact(take, name, level, attempts, rounds=12)
