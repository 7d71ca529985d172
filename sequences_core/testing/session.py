"""A call doesn't change the state of the session, also if it is interrupted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from django.db import connections

from sequences_core import (
    Allocation,
    SequenceExhausted,
    SequenceLocked,
    get_next_blocks,
    get_next_value,
    get_next_values,
    set_last_value,
)
from sequences_core.arguments import MAX_VALUE

from . import vendors
from .base import Contract


class Interruption(BaseException):
    """Raised as if by the handler of a signal."""


class Session(Contract):
    """Settings and user-level locks are the same before and after a call."""

    def test_the_session_is_as_before(self) -> None:
        """Each form of a call leaves the session unchanged, with and without a transaction."""
        self._limit_waits()
        bounds: list[dict[str, Any]] = [{}]
        if self.flag("can_limit_wait"):
            bounds += [{"nowait": True}, {"timeout": 0.01}, {"timeout": 1}]
        # Set this in another session, so that the first call in this one is compared, too.
        with self.elsewhere(lambda: set_last_value(MAX_VALUE, "full", using=self.using)) as other:
            other.result()
        for number, bound in enumerate(bounds):
            for call in self._calls(f"s{number}", bound):
                with self._unchanged():
                    call()
                with self._unchanged(), self.atomic(), self._unchanged():
                    call()
                with self._unchanged(), self.atomic(), self._unchanged(), self.atomic():
                    call()

    def test_the_session_is_as_before_a_wait_in_vain(self) -> None:
        """A timeout leaves the session unchanged, for an existing counter and for a new one."""
        self.requires("can_limit_wait")
        self.create()

        def wait_in_vain() -> None:
            self._limit_waits()
            for name in ("s", "t") if self.flag("can_limit_first_wait") else ("s",):
                for bound in ({"nowait": True}, {"timeout": 0.01}):
                    for call in self._calls(name, bound, exhausted=False):
                        with self._unchanged(), pytest.raises(SequenceLocked):
                            call()
                        if self.flag("locks_database"):
                            continue  # BEGIN would wait without a limit
                        with (
                            self._unchanged(),
                            self.atomic(),
                            self._unchanged(),
                            pytest.raises(SequenceLocked),
                            self.atomic(),
                        ):
                            call()

        with self.atomic():
            get_next_value("s", using=self.using)
            get_next_value("t", using=self.using)
            with self.elsewhere(wait_in_vain) as other:
                other.result()

    def test_an_interrupted_call_loses_no_number(self) -> None:
        """If an exception that isn't the database's ends a call, its transaction is rolled back.

        Such an exception may come from the handler of a signal, like KeyboardInterrupt, at any
        time: also after a number was taken and before the caller has received it.
        """
        self.create()
        bounds: list[dict[str, Any]] = [{}]
        if self.flag("can_limit_wait"):
            bounds += [{"nowait": True}, {"timeout": 1}]
        for name in ("s", "new"):
            for bound in bounds:
                for call in self._calls(name, bound, exhausted=False):
                    self._interrupt(call)

    def test_the_connection_is_the_one_that_was_passed(self) -> None:
        """All statements are executed by the connection that the core passes, whatever its alias.

        Nothing is left after its rollback.
        """
        copy = self.connection.copy(f"{self.using}_copy")
        connections[copy.alias] = copy
        limits = (None, 1.0) if self.flag("can_limit_wait") else (None,)
        try:
            for limit in limits:
                for initial in (1, lambda: 1):
                    copy.set_autocommit(False)
                    with suppress(SequenceExhausted):  # no counter: the core calls the callable
                        self.allocator.allocate(copy, Allocation("s", 1, initial, None, limit))
                    copy.rollback()
                    copy.set_autocommit(True)
                    assert self.counters() == {}
        finally:
            del connections[copy.alias]
            vendors.end_session(copy)

    def _limit_waits(self) -> None:
        """Set a limit that a call has to restore, and that isn't the default of the database."""
        if sql := vendors.LIMIT_WAITS.get(self.connection.vendor):
            with self.connection.cursor() as cursor:
                cursor.execute(sql)

    def _interrupt(self, call: Callable[[], Any]) -> None:
        """Make the call in transactions, and interrupt it after each of its statements in turn."""
        before = self.session_state()
        for position in itertools.count(1):
            seen = 0

            def interrupt(execute: Any, *args: Any) -> Any:
                nonlocal seen
                result = execute(*args)
                seen += 1
                if seen == position:  # noqa: B023 - it is called in this iteration only
                    raise Interruption
                return result

            with self.atomic():
                try:
                    with self.connection.execute_wrapper(interrupt):
                        call()
                except Interruption:
                    assert self.connection.needs_rollback, f"after statement {position}"
                self.connection.needs_rollback = True
            assert self.counters() == {"s": 1}, f"after statement {position}"
            assert self.session_state() == before, f"after statement {position}"
            if seen < position:
                assert seen
                return

    def _calls(
        self, name: str, bound: dict[str, Any], exhausted: bool = True
    ) -> Iterator[Callable[[], Any]]:
        using = self.using

        def fail() -> int:
            raise LookupError

        def expect(error: type[Exception], call: Callable[[], Any]) -> Callable[[], None]:
            def run() -> None:
                with pytest.raises(error):
                    call()

            return run

        yield lambda: get_next_value(name, using=using, **bound)
        yield lambda: get_next_value(name, 1, 3, using=using, **bound)
        yield lambda: get_next_values(2, name, using=using, **bound)
        yield lambda: get_next_blocks({name: 1}, using=using, **bound)
        # With a callable, the first use of a name executes other statements than later ones.
        yield lambda: get_next_value(
            f"{name}.new" if exhausted else name, lambda: 1, using=using, **bound
        )
        yield lambda: get_next_value(name, lambda: 1, using=using, **bound)
        if exhausted:
            yield expect(LookupError, lambda: get_next_value("none", fail, using=using, **bound))
            for initial in (1, MAX_VALUE, lambda: 1):
                full = partial(get_next_value, "full", initial, using=using, **bound)
                yield expect(SequenceExhausted, full)
            yield expect(
                SequenceExhausted,
                lambda: get_next_values(2, "none", lambda: MAX_VALUE, using=using, **bound),
            )

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        before = self.session_state()
        if before is None:
            pytest.skip(
                f"the state of a session of {self.connection.vendor} can't be queried: define "
                f"session_state()"
            )
        yield
        assert self.session_state() == before
