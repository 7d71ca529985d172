"""A backend that releases counters early waits before the application goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TestCase

from sequences_core import DurabilityUnknown, get_next_value, get_next_values, run_atomic
from sequences_core.early_release import durability, forget_durabilities

from .base import Contract


class Undo(Exception):
    """Raised to roll back."""


class EarlyRelease(Contract):
    """With SEQUENCES_EARLY_RELEASE, no on_commit hook runs before the commit is durable."""

    @pytest.fixture
    def early(self, settings: Any, _settings: None) -> Iterator[None]:
        """Enable the setting. Skip the test if this database's commits don't wait."""
        self.requires("can_release_early")
        settings.SEQUENCES_EARLY_RELEASE = {self.using: True}
        if durability(self.connection) is None:
            pytest.skip("the commits of this database don't wait for the disk")
        yield
        forget_durabilities()

    @contextmanager
    def watched_waits(self, fail: bool = False) -> Iterator[list[str]]:
        """Record each wait; let it fail if ``fail`` is true."""
        events: list[str] = []
        wait_until_durable = self.allocator.wait_until_durable

        def wait(connection: BaseDatabaseWrapper, durability: str | None) -> None:
            assert not connection.in_atomic_block, "the wait is after the COMMIT"
            events.append("wait")
            if fail:
                raise OperationalError("the connection is lost")
            wait_until_durable(connection, durability)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.allocator, "wait_until_durable", wait)
            yield events

    @pytest.mark.usefixtures("early")
    def test_the_wait_runs_before_the_hooks(self) -> None:
        """Hooks that were registered before or after the number was taken run after the wait."""
        takes: list[Callable[[], Any]] = [
            lambda: get_next_value("s", using=self.using),
            lambda: get_next_value("s", lambda: 5, using=self.using),
            lambda: get_next_value("new", lambda: 5, using=self.using),
            lambda: get_next_value("l", 1, 3, using=self.using),
            lambda: get_next_values(5, "s", using=self.using),
        ]
        if self.flag("can_limit_wait"):
            takes.append(lambda: get_next_value("s", using=self.using, timeout=5))
        for take in takes:
            with self.watched_waits() as events, self.atomic():
                for name, robust in (("first", False), ("robust", True)):
                    self.on_commit(partial(events.append, name), robust)
                take()
                self.on_commit(lambda: events.append("last"))
                take()
                assert events == []
            assert events == ["wait", "first", "robust", "last"]

    @pytest.mark.usefixtures("early")
    def test_no_rollback_to_a_savepoint_removes_the_wait(self) -> None:
        """Nor if Django has given the identifier of an earlier savepoint to that one."""
        for cleaned in (False, True):
            with self.watched_waits() as events, self.atomic():
                if cleaned:
                    transaction.clean_savepoints(using=self.using)
                with self.atomic():
                    get_next_value("s", using=self.using)
                if cleaned:
                    transaction.clean_savepoints(using=self.using)
                with pytest.raises(Undo), self.atomic():
                    raise Undo
            assert events == ["wait"]

    @pytest.mark.usefixtures("early")
    def test_one_wait_for_a_transaction(self) -> None:
        """Savepoints, released or rolled back, add no second wait to a transaction."""
        with self.watched_waits() as events, self.atomic():
            with self.atomic():
                get_next_value("s", using=self.using)
            with pytest.raises(Undo), self.atomic():
                get_next_value("s", using=self.using)
                raise Undo
            get_next_value("t", using=self.using)
        assert events == ["wait"]

    @pytest.mark.usefixtures("early")
    def test_what_is_rolled_back_is_not_waited_for(self) -> None:
        """After a rollback there is no wait, because nothing was committed."""
        with self.watched_waits() as events, pytest.raises(Undo), self.atomic():
            get_next_value("s", using=self.using)
            raise Undo
        assert events == []

    @pytest.mark.usefixtures("early")
    def test_a_wait_that_fails_is_an_error_of_what_is_committed(self) -> None:
        """If the wait fails, no hook runs, the number is taken, and the connection works."""
        called: list[str] = []
        failing = self.watched_waits(fail=True)
        with failing, pytest.raises(DurabilityUnknown) as caught, self.atomic():
            self.on_commit(lambda: called.append("hook"))
            get_next_value("s", using=self.using)
        assert isinstance(caught.value, OperationalError)
        assert isinstance(caught.value.__cause__, OperationalError)
        assert not self.allocator.is_retryable(caught.value)
        assert called == []
        assert self.counters() == {"s": 1}

    @pytest.mark.usefixtures("early")
    def test_a_wait_that_fails_is_not_run_again(self) -> None:
        """run_atomic returns after the wait, and doesn't run a committed block again."""
        calls: list[int] = []

        def block() -> int:
            calls.append(get_next_value("s", using=self.using))
            return calls[-1]

        with self.watched_waits() as events:
            assert run_atomic(block, using=self.using) == 1
        assert events == ["wait"]
        with self.watched_waits(fail=True), pytest.raises(DurabilityUnknown):
            run_atomic(block, using=self.using)
        assert calls == [1, 2]

    @pytest.mark.usefixtures("early")
    def test_only_djangos_commit_is_early(self) -> None:
        """Without a COMMIT by atomic(), no hook is registered and nothing waits."""
        with self.watched_waits() as events:
            get_next_value("s", using=self.using)
        assert events == []
        transaction.set_autocommit(False, using=self.using)
        try:
            get_next_value("s", using=self.using)
            with self.atomic():
                get_next_value("s", using=self.using)
            assert self.connection.run_on_commit == []
            transaction.commit(using=self.using)
        finally:
            transaction.set_autocommit(True, using=self.using)
        assert self.counters() == {"s": 3}

    @pytest.mark.usefixtures("early")
    def test_a_testcase_captures_the_users_hooks_alone(self) -> None:
        """A TestCase never commits, so nothing is released early and no hook is added."""
        called: list[str] = []
        outer: Any = self.atomic()
        outer._from_testcase = True
        with outer:
            self.on_commit(lambda: called.append("before"))
            captured = TestCase.captureOnCommitCallbacks(using=self.using, execute=True)
            with captured as hooks, self.atomic():
                get_next_value("s", using=self.using)
                self.on_commit(lambda: called.append("captured"))
            assert len(hooks) == 1
            assert called == ["captured"]

    def test_without_the_flag_nothing_is_waited_for(self, settings: Any) -> None:
        """The setting has no effect if the backend can't release counters early."""
        self.requires("can_release_early", False)
        settings.SEQUENCES_EARLY_RELEASE = True
        with self.watched_waits() as events, self.atomic():
            assert get_next_value("s", using=self.using) == 1
        assert events == []

    def on_commit(self, hook: Callable[[], Any], robust: bool = False) -> None:
        """Register a hook, as an application does."""
        transaction.on_commit(hook, using=self.using, robust=robust)
