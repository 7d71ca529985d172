"""The base of the contract classes: an empty table, the database, and threads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core import Allocator, get_allocator, get_next_value, get_next_values
from sequences_core.arguments import MAX_VALUE
from sequences_core.models import Counter
from sequences_core.table import table_parts

from . import vendors
from .threads import BLINK, PATIENCE, Elsewhere, end, together, watched

__all__ = ["BLINK", "PATIENCE", "Contract", "Elsewhere"]


class Contract:
    """Base of the contract classes: ``using`` is the alias, ``backend`` is the backend's name.

    For a database that Django itself doesn't support, override ``isolation_levels``,
    ``set_isolation_level``, ``session_state`` and ``canceller``. Tests that need one of these are
    skipped if it is missing, with the reason. If the driver has its codes elsewhere than psycopg,
    mysqlclient and sqlite3, override ``error_of``.
    """

    using: ClassVar[str] = "default"
    backend: ClassVar[str] = "auto"

    isolation_levels: ClassVar[Sequence[str] | None] = None
    """Which isolation levels can a transaction set? Empty if the database has only one."""

    patience: ClassVar[float] = PATIENCE
    """How many seconds does a test wait for its threads before it reports that they hang?"""

    time_limit: ClassVar[float] = 4 * PATIENCE
    """After how many seconds is the current statement of the test itself cancelled?"""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith(__package__ or ""):
            # Use real transactions. With available_apps, Django empties only our table afterwards.
            mark = pytest.mark.django_db(
                transaction=True, databases=[cls.using], available_apps=["sequences_core"]
            )
            own = vars(cls).get("pytestmark", [])
            cls.pytestmark = [mark, *(own if isinstance(own, list) else [own])]

    pytestmark: ClassVar[Any]

    _threads: list[Elsewhere]

    @pytest.fixture(autouse=True)
    def _settings(self, settings: Any) -> Iterator[None]:
        settings.SEQUENCES_BACKEND = {self.using: self.backend}
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        self._threads = []
        if len(table_parts()) > 1:  # Django doesn't empty a table whose name has a schema
            Counter.objects.using(self.using).all().delete()
        vendors.check_pool(self.connection)
        try:
            with watched(self.connection, self.time_limit, self.canceller):
                yield
        finally:
            self.connection.close()  # releases all locks
            try:
                end(self._threads, self.patience)  # a failed test doesn't wait for its threads
            finally:
                vendors.end_session(self.connection)  # the test may have changed its settings

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """Return this thread's connection."""
        return connections[self.using]

    @property
    def allocator(self) -> Allocator:
        """Return the allocator under test."""
        return get_allocator(self.connection)

    def set_isolation_level(self, level: str) -> None:
        """Set the isolation level of this connection's next transactions."""
        with self.connection.cursor() as cursor:
            cursor.execute(vendors.SET_ISOLATION_LEVEL[self.connection.vendor].format(level))

    def session_state(self) -> Any:
        """Return what an allocation must not change: the session's settings and user-level locks.

        The kit compares it before and after a call, also inside transactions. Return None if it
        can't be queried.
        """
        return vendors.session_state(self.connection)

    @staticmethod
    def canceller(connection: BaseDatabaseWrapper) -> Callable[[], None]:
        """Return a function that cancels the current statement of this connection.

        The kit calls the function in another thread.
        """
        return vendors.canceller(connection)

    def error_of(self, code: str | int) -> DatabaseError:
        """Return an error in which ``error_code()`` finds this code, as Django raises it.

        The code is the first argument of the error, as with mysqlclient, and an attribute of the
        cause, as with psycopg and sqlite3.
        """
        error = DatabaseError(code, "made by the test")
        cause: Any = Exception()
        if isinstance(code, str):
            cause.sqlstate = code
        elif code < 256 or code & 0xFF == 5:  # SQLite's primary codes, and extended codes of BUSY
            cause.sqlite_errorcode = code
        error.__cause__ = cause
        return error

    def levels(self) -> Sequence[str]:
        """Return the isolation levels. Skip the test if they are unknown or there is only one."""
        vendor = self.connection.vendor
        levels = self.isolation_levels
        if levels is None:
            levels = vendors.ISOLATION_LEVELS.get(vendor)
        if levels is None:
            pytest.skip(
                f"the isolation levels of {vendor} are unknown: define isolation_levels and "
                f"set_isolation_level()"
            )
        if not levels:
            pytest.skip(f"{vendor} has one isolation level")
        return levels

    def atomic(self) -> transaction.Atomic:
        """Return a transaction, or a savepoint inside one."""
        return transaction.atomic(using=self.using)

    def requires(self, flag: str, value: bool = True) -> None:
        """Skip the test unless the capability flag has the value."""
        if self.flag(flag) is not value:
            pytest.skip(f"{type(self.allocator).__name__}.{flag} is {not value}")

    def flag(self, name: str) -> bool:
        """Return the capability flag of the test class if it has one, else the allocator's."""
        return bool(getattr(self, name, getattr(self.allocator, name)))

    def counters(self) -> dict[str, int]:
        """Return the whole table, as this connection sees it."""
        return dict(Counter.objects.using(self.using).values_list("name", "last"))

    def names_the_table(self, sql: str) -> bool:
        """Return whether the statement names the table of counters, in any case and quotes."""
        table = Counter._meta.db_table
        names = {table, self.connection.ops.quote_name(table)}
        bare, *wanted = (re.sub(r'["`\[\]]', "", text).casefold() for text in (sql, *names))
        return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", bare) for name in wanted)

    def take(self, name: str = "s", **kwargs: Any) -> Callable[[], int]:
        """Return a function that takes one number and commits it."""

        def in_transaction() -> int:
            with self.atomic():
                return get_next_value(name, using=self.using, **kwargs)

        # If BEGIN locks the whole database, a timeout limits the wait only in autocommit.
        if "timeout" in kwargs and self.flag("locks_database"):
            return lambda: get_next_value(name, using=self.using, **kwargs)
        return in_transaction

    def forms(self, name: str = "s") -> list[Callable[[], list[int]]]:
        """Return functions that take numbers, in each form that may have its own statement.

        Their numbers are consecutive: the loop doesn't reach its end.
        """
        using = self.using
        forms: list[Callable[[], list[int]]] = [
            lambda: [get_next_value(name, using=using)],
            lambda: [get_next_value(name, lambda: 1, using=using)],
            lambda: [get_next_value(name, 1, MAX_VALUE, using=using)],
            lambda: list(get_next_values(2, name, using=using)),
            lambda: list(get_next_values(2, name, lambda: 1, using=using)),
        ]
        if self.flag("can_limit_wait"):
            limit = self.patience
            forms.append(lambda: [get_next_value(name, timeout=limit, using=using)])
        return forms

    def create(self, name: str = "s") -> None:
        """Take and commit the first number."""
        with self.atomic():
            get_next_value(name, using=self.using)

    def start(self, function: Callable[[], Any]) -> Elsewhere:
        """Run the function in a thread with a connection of its own; both end with the test."""
        other = Elsewhere(function, self.using, patience=self.patience, canceller=self.canceller)
        self._threads.append(other)
        other.start()
        return other

    @contextmanager
    def elsewhere(self, function: Callable[[], Any]) -> Iterator[Elsewhere]:
        """Run the function in a thread while the block runs, then wait for the thread."""
        other = self.start(function)
        yield other
        end([other], self.patience)

    def together(self, functions: Sequence[Callable[[], Any]]) -> list[Any]:
        """Start all functions at the same time, each in a thread; return their results in order.

        If some fail, raise their errors together after all have ended.
        """
        return together(functions, self.using, patience=self.patience, canceller=self.canceller)

    def test_no_standard_test_is_overridden(self) -> None:
        """A backend's class doesn't override a test of the kit."""
        here = Contract.__module__.rpartition(".")[0]
        for name in dir(type(self)):
            if name.startswith("test_"):
                owners = [cls for cls in type(self).__mro__ if name in vars(cls)]
                assert len(owners) == 1 or not owners[-1].__module__.startswith(here), (
                    f"{owners[0].__name__} overrides the standard test {name}"
                )
