"""What all contract classes share: a clean table, the database, and threads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core import Allocator, get_allocator, get_next_value
from sequences_core.models import Counter
from sequences_core.table import table_parts

from . import vendors
from .threads import BLINK, PATIENCE, Elsewhere, end, together, watched

__all__ = ["BLINK", "PATIENCE", "Contract", "Elsewhere"]


class Contract:
    """Base of the contract classes: ``using`` is the alias, ``backend`` the allocator's name.

    What the kit knows of the databases that Django itself supports, a class says for another one
    by ``isolation_levels``, ``set_isolation_level``, ``session_state`` and ``canceller``. Tests
    that need what nobody says are skipped, with the reason.
    """

    using: ClassVar[str] = "default"
    backend: ClassVar[str] = "auto"

    isolation_levels: ClassVar[Sequence[str] | None] = None
    """Which isolation levels can a transaction ask for? Empty where the database has only one."""

    patience: ClassVar[float] = PATIENCE
    """After how many seconds has a thread beside the test, or a number of them, hung?"""

    time_limit: ClassVar[float] = 4 * PATIENCE
    """After how many seconds is the statement cancelled in which the test itself is?"""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith(__package__ or ""):
            # Real transactions; after each test only our table is emptied, which is quick.
            cls.pytestmark = pytest.mark.django_db(
                transaction=True, databases=[cls.using], available_apps=["sequences_core"]
            )

    pytestmark: ClassVar[pytest.MarkDecorator]

    _threads: list[Elsewhere]

    @pytest.fixture(autouse=True)
    def _settings(self, settings: Any) -> Iterator[None]:
        settings.SEQUENCES_BACKEND = {self.using: self.backend}
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        self._threads = []
        if len(table_parts()) > 1:  # Django empties no table that is named with its schema
            Counter.objects.using(self.using).all().delete()
        vendors.check_pool(self.connection)
        try:
            with watched(self.connection, self.time_limit, self.canceller):
                yield
        finally:
            self.connection.close()  # whatever it has locked
            try:
                end(self._threads, self.patience)  # a failed test may have left them alone
            finally:
                vendors.end_session(self.connection)  # with whatever the test did to it

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """This thread's connection."""
        return connections[self.using]

    @property
    def allocator(self) -> Allocator:
        """The allocator under test."""
        return get_allocator(self.connection)

    def set_isolation_level(self, level: str) -> None:
        """Set the level of this connection's next transactions."""
        with self.connection.cursor() as cursor:
            cursor.execute(vendors.SET_ISOLATION_LEVEL[self.connection.vendor].format(level))

    def session_state(self) -> Any:
        """What an allocation must leave as it was: the session's settings and user-level locks.

        None where nobody knows how to ask. It is compared with itself, inside transactions too.
        """
        return vendors.session_state(self.connection)

    @staticmethod
    def canceller(connection: BaseDatabaseWrapper) -> Callable[[], None]:
        """Return what makes the statement fail in which this connection is later.

        It is called from another thread.
        """
        return vendors.canceller(connection)

    def levels(self) -> Sequence[str]:
        """The isolation levels; where they are unknown, or there is one, leave out the test."""
        vendor = self.connection.vendor
        levels = self.isolation_levels
        if levels is None:
            levels = vendors.ISOLATION_LEVELS.get(vendor)
        if levels is None:
            pytest.skip(
                f"how {vendor} sets an isolation level is unknown: say isolation_levels, and "
                f"set_isolation_level()"
            )
        if not levels:
            pytest.skip(f"{vendor} has one isolation level")
        return levels

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

    def names_the_table(self, sql: str) -> bool:
        """Does the statement name the table of counters, in whichever case and quotes?"""
        table = Counter._meta.db_table
        names = {table, self.connection.ops.quote_name(table)}
        bare, *wanted = (re.sub(r'["`\[\]]', "", text).casefold() for text in (sql, *names))
        return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", bare) for name in wanted)

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

    def start(self, function: Callable[[], Any]) -> Elsewhere:
        """Run ``function`` in a thread with a connection of its own, which ends with the test."""
        other = Elsewhere(function, self.using, patience=self.patience, canceller=self.canceller)
        self._threads.append(other)
        other.start()
        return other

    @contextmanager
    def elsewhere(self, function: Callable[[], Any]) -> Iterator[Elsewhere]:
        """Run ``function`` in a thread beside the block, whose end waits for it."""
        other = self.start(function)
        yield other
        end([other], self.patience)

    def together(self, functions: Sequence[Callable[[], Any]]) -> list[Any]:
        """Start all functions at one moment, each in a thread; return their results in order.

        If any fail, all have ended before their errors are raised together.
        """
        return together(functions, self.using, patience=self.patience, canceller=self.canceller)

    def test_no_standard_test_is_overridden(self) -> None:
        """A backend that replaced a test of the kit would prove nothing."""
        here = Contract.__module__.rpartition(".")[0]
        for name in dir(type(self)):
            if name.startswith("test_"):
                owners = [cls for cls in type(self).__mro__ if name in vars(cls)]
                assert len(owners) == 1 or not owners[-1].__module__.startswith(here), (
                    f"{owners[0].__name__} overrides the standard test {name}"
                )
