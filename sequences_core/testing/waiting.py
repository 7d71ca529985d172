"""Transactions wait for those that have locked the counter, and timeouts limit the waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from django.db import Error, NotSupportedError

from sequences_core import (
    SequenceLocked,
    delete,
    get_next_value,
    get_next_values,
    set_last_value,
)

from .base import BLINK, Contract
from .transactions import Rollback

FORMS: dict[str, dict[str, Any]] = {
    "given": {"initial_value": 5},
    "looping": {"initial_value": 5, "reset_value": 9},
    "computed": {"initial_value": lambda: 5},
}
"""The forms of a call that backends execute by different statements."""


class Waiting(Contract):
    """Waiting, and the arguments that limit it."""

    @pytest.mark.parametrize("exists", [True, False], ids=["counter", "first use"])
    @pytest.mark.parametrize("end", ["commit", "rollback"])
    @pytest.mark.parametrize("form", FORMS)
    def test_second_taker_waits_for_the_end_of_the_first(
        self, form: str, end: str, exists: bool
    ) -> None:
        """The second transaction waits, then continues after the committed number."""
        if exists:
            self.create()
        first = 2 if exists else 5
        try:
            with self.atomic():
                assert get_next_value("s", using=self.using, **FORMS[form]) == first
                thread = self.start(self.take(**FORMS[form]))
                assert thread.is_waiting()
                if end == "rollback":
                    raise Rollback
        except Rollback:
            pass
        assert thread.result() == (first + 1 if end == "commit" else first)

    @pytest.mark.parametrize("exists", [True, False], ids=["counter", "first use"])
    def test_other_names_never_wait(self, exists: bool) -> None:
        """A transaction that takes another name's numbers, in any form, doesn't wait."""
        self.requires("locks_database", False)

        def take_all(name: str) -> list[int]:
            with self.atomic():
                return [number for take in self.forms(name) for number in take()]

        if exists:
            for name in ("a", "b"):
                self.create(name)
        with self.atomic():
            take_all("a")
            with self.elsewhere(lambda: take_all("b")) as other:
                numbers = other.result()
        first = 2 if exists else 1
        assert numbers == list(range(first, first + len(numbers)))

    @pytest.mark.parametrize("exists", [True, False], ids=["counter", "first use"])
    @pytest.mark.parametrize("timeout", [0, 0.2, 1.2])
    def test_timeout_bounds_the_wait(self, timeout: float, exists: bool) -> None:
        """After ``timeout`` seconds, SequenceLocked is raised and nothing is taken."""
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

    @pytest.mark.parametrize("timeout", [0, 0.2, 1.2])
    def test_timeout_bounds_the_wait_for_a_gap(self, timeout: float) -> None:
        """At any level, a name that another transaction has searched can be taken, or is locked.

        Where a search that finds no counter locks a gap of the index, it also locks other names.
        """
        self.requires("can_limit_first_wait")
        self.requires("locks_database", False)
        for level in self.levels():
            searched, done = threading.Event(), threading.Event()
            searcher = self.start(partial(self._search, level, searched, done))
            searcher.reach(searched)
            self.set_isolation_level(level)
            start = time.monotonic()
            with suppress(SequenceLocked), self.atomic():
                get_next_value(f"{level}.c", timeout=timeout, using=self.using)
            waited = time.monotonic() - start
            done.set()
            searcher.result()
            assert waited < timeout + self.allocator.timeout_step + 2, level

    def _search(self, level: str, searched: threading.Event, done: threading.Event) -> None:
        """Search a counter in vain, and stay in the transaction until ``done``."""

        def missing() -> int:
            searched.set()
            assert done.wait(self.patience)
            raise Rollback

        self.set_isolation_level(level)
        with suppress(Rollback), self.atomic():
            get_next_value(f"{level}.b", missing, using=self.using)

    @pytest.mark.parametrize("exists", [True, False], ids=["counter", "first use"])
    def test_timeout_bounds_every_form_of_a_take(self, exists: bool) -> None:
        """The timeout also limits batches, loops and calls with a callable."""
        self.requires("can_limit_wait")
        if exists:
            self.create()
        else:
            self.requires("can_limit_first_wait")
        takes: list[Callable[[], object]] = [
            lambda: get_next_values(2, "s", nowait=True, using=self.using),
            lambda: get_next_value("s", 1, 3, nowait=True, using=self.using),
            lambda: get_next_value("s", lambda: 1, nowait=True, using=self.using),
            lambda: get_next_values(2, "s", lambda: 1, timeout=0.01, using=self.using),
            lambda: get_next_value("s", timeout=1e-9, using=self.using),  # 0 may mean no limit
        ]

        def expect_locked() -> None:
            for take in takes:
                with pytest.raises(SequenceLocked):
                    take()

        with self.atomic():
            get_next_value("s", using=self.using)
            with self.elsewhere(expect_locked) as other:
                other.result()
        assert self.counters() == {"s": 2 if exists else 1}

    @pytest.mark.parametrize("change", ["set", "delete"])
    def test_timeout_bounds_the_wait_for_a_change(self, change: str) -> None:
        """The timeout also limits the wait for a transaction that has set or deleted the counter.

        Such a transaction locks the row by a statement of the core.
        """
        self.requires("can_limit_wait")
        self.create()

        def expect_locked() -> None:
            bounds: list[dict[str, Any]] = [{"nowait": True}, {"timeout": 0.01}]
            for bound in bounds:
                with pytest.raises(SequenceLocked):
                    get_next_value("s", using=self.using, **bound)

        with self.atomic():
            if change == "set":
                set_last_value(5, "s", using=self.using)
            else:
                delete("s", using=self.using)
            with self.elsewhere(expect_locked) as other:
                other.result()
        assert self.counters() == ({"s": 5} if change == "set" else {})

    def test_a_wait_that_is_cancelled_is_no_timeout(self) -> None:
        """If a wait ends for another reason than its timeout, it raises the database's error."""
        self.requires("can_limit_wait")
        self.requires("locks_database", False)
        self.create()

        def wait() -> None:
            get_next_value("s", timeout=self.patience, using=self.using)

        with self.atomic():
            get_next_value("s", using=self.using)
            thread = self.start(wait)
            assert thread.is_waiting()
            thread.cut()
            assert not thread.is_alive()
        assert isinstance(thread.error, Error), thread
        assert not isinstance(thread.error, SequenceLocked), thread

    def test_nowait_is_timeout_zero(self) -> None:
        """With nowait, every form of a call takes numbers of a counter that isn't locked."""
        self.requires("can_limit_wait")
        with self.atomic():
            for expected in (1, 2):
                assert get_next_value("s", nowait=True, using=self.using) == expected
                assert get_next_value("c", lambda: 1, nowait=True, using=self.using) == expected
                assert get_next_value("l", 1, 3, nowait=True, using=self.using) == expected
            assert get_next_values(3, "s", nowait=True, using=self.using) == range(3, 6)
            assert get_next_values(3, "s", timeout=1.5, using=self.using) == range(6, 9)

    def test_timeout_that_is_long_enough(self) -> None:
        """If the lock is released before the timeout, the call succeeds."""
        self.requires("can_limit_wait")
        with self.atomic():
            get_next_value("s", using=self.using)
            thread = self.start(self.take(timeout=self.patience))
            assert thread.is_waiting()
        assert thread.result() == 2

    def test_timeout_is_for_one_call(self) -> None:
        """The timeout doesn't apply to later calls, after success or failure."""
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
            thread = self.start(short_then_long)
            thread.reach(ready)
            assert thread.is_waiting(step + BLINK)
        assert thread.result() == 2

    @pytest.mark.parametrize("end", ["success", "failure"])
    def test_timeout_is_for_one_call_in_autocommit(self, end: str) -> None:
        """After a call in autocommit, the timeout doesn't apply to the rest of the session."""
        self.requires("can_limit_wait")
        free, held, tried = threading.Event(), threading.Event(), threading.Event()

        def short_then_long() -> int:
            if end == "success":
                get_next_value("free", timeout=0.01, using=self.using)
            free.set()
            assert held.wait(self.patience)
            if end == "failure":
                with pytest.raises(SequenceLocked):
                    get_next_value("s", timeout=0.01, using=self.using)
            tried.set()
            return get_next_value("s", using=self.using)

        thread = self.start(short_then_long)
        thread.reach(free)
        with self.atomic():
            get_next_value("s", using=self.using)
            held.set()
            thread.reach(tried)
            assert thread.is_waiting(self.allocator.timeout_step + BLINK)
        assert thread.result() == 2

    def test_timeout_is_never_ignored(self) -> None:
        """A backend that can't limit a wait refuses the argument and takes nothing."""
        self.requires("can_limit_wait", False)
        for kwargs in ({"nowait": True}, {"timeout": 1}):
            with pytest.raises(NotSupportedError), self.atomic():
                get_next_value("s", using=self.using, **kwargs)
        assert self.counters() == {}
