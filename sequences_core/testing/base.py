"""What all contract classes share: a clean table, the database, and threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core import Allocator, get_allocator, get_next_value
from sequences_core.models import Counter

PATIENCE = 60
"""Seconds after which something that should have happened never will."""

BLINK = 0.3
"""Seconds in which something that is not blocked has long been done."""


class Contract:
    """Base of the contract classes: ``using`` is the alias, ``backend`` the allocator's name."""

    using: ClassVar[str] = "default"
    backend: ClassVar[str] = "auto"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith(__package__ or ""):
            # Real transactions; after each test only our table is emptied, which is quick.
            cls.pytestmark = pytest.mark.django_db(
                transaction=True, databases=[cls.using], available_apps=["sequences_core"]
            )

    pytestmark: ClassVar[pytest.MarkDecorator]

    @pytest.fixture(autouse=True)
    def _settings(self, settings: Any) -> Iterator[None]:
        settings.SEQUENCES_BACKEND = {self.using: self.backend}
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        yield
        self.connection.close()  # whatever a test did to the session ends with it

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """This thread's connection."""
        return connections[self.using]

    @property
    def allocator(self) -> Allocator:
        """The allocator under test."""
        return get_allocator(self.connection)

    def atomic(self) -> transaction.Atomic:
        """A transaction, or a savepoint inside one."""
        return transaction.atomic(using=self.using)

    def requires(self, flag: str, value: bool = True) -> None:
        """Leave out a test that asks for more than the allocator's capability flag promises."""
        if self.flag(flag) is not value:
            pytest.skip(f"{type(self.allocator).__name__}.{flag} is {not value}")

    def flag(self, name: str) -> bool:
        """The capability flag, of the database itself where the test class says it."""
        return bool(getattr(self, name, getattr(self.allocator, name)))

    def counters(self) -> dict[str, int]:
        """The whole table, as this connection sees it."""
        return dict(Counter.objects.using(self.using).values_list("name", "last"))

    def take(self, name: str = "s", **kwargs: Any) -> Callable[[], int]:
        """A function that takes one number, and commits it."""

        def in_transaction() -> int:
            with self.atomic():
                return get_next_value(name, using=self.using, **kwargs)

        # Where BEGIN takes the lock of the whole database, only autocommit can bound the wait.
        if "timeout" in kwargs and self.flag("locks_database"):
            return lambda: get_next_value(name, using=self.using, **kwargs)
        return in_transaction

    def create(self, name: str = "s") -> None:
        """Take and commit the first number."""
        with self.atomic():
            get_next_value(name, using=self.using)

    @contextmanager
    def elsewhere(self, function: Callable[[], Any]) -> Iterator[Elsewhere]:
        """Run ``function`` in a thread with a connection of its own, beside the block."""
        other = Elsewhere(function, self.using)
        other.start()
        try:
            yield other
        finally:
            other.join(PATIENCE)
            assert not other.is_alive(), "the other thread never came back"

    def together(self, functions: list[Callable[[], Any]]) -> list[Any]:
        """Start all functions at one moment, each in a thread; return their results in order."""
        barrier = threading.Barrier(len(functions))

        def start_together(function: Callable[[], Any]) -> Callable[[], Any]:
            def run() -> Any:
                self.connection.ensure_connection()
                barrier.wait(PATIENCE)
                return function()

            return run

        others = [Elsewhere(start_together(function), self.using) for function in functions]
        for other in others:
            other.start()
        return [other.result() for other in others]

    def test_no_standard_test_is_overridden(self) -> None:
        """A backend that replaced a test of the kit would prove nothing."""
        here = Contract.__module__.rpartition(".")[0]
        for name in dir(type(self)):
            if name.startswith("test_"):
                owners = [cls for cls in type(self).__mro__ if name in vars(cls)]
                assert len(owners) == 1 or not owners[-1].__module__.startswith(here), (
                    f"{owners[0].__name__} overrides the standard test {name}"
                )


class Elsewhere(threading.Thread):
    """A thread that keeps what its function returned or raised, and closes its connection."""

    def __init__(self, function: Callable[[], Any], using: str) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._using = using
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:  # noqa: BLE001 - raised again by result()
            self._error = error
        finally:
            connections[self._using].close()

    def is_waiting(self, seconds: float = BLINK) -> bool:
        """Is it still not done after so many seconds?"""
        self.join(seconds)
        return self.is_alive()

    def result(self) -> Any:
        """Wait for the end; return what the function returned, or raise what it raised."""
        self.join(PATIENCE)
        assert not self.is_alive(), "the other thread never came back"
        if self._error is not None:
            raise self._error
        return self._value
