"""A take with a timeout leaves no settings in the database session."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connections, transaction

from sequences_core import SequenceLocked, get_allocator, get_next_value, get_next_values
from sequences_core.testing.base import Elsewhere

# How a session bounds all its waits, how it is asked for that, and the answer.
BOUNDS = {
    "postgresql": ("SET lock_timeout = '7s'", "SELECT current_setting('lock_timeout')", "7s"),
    "mysql": (
        "SET SESSION innodb_lock_wait_timeout = 7",
        "SELECT @@SESSION.innodb_lock_wait_timeout",
        7,
    ),
    "sqlite": ("PRAGMA busy_timeout = 7000", "PRAGMA busy_timeout", 7000),
}


def takes(using: str, name: str) -> list[Callable[[], object]]:
    """Return each kind of take, with a timeout."""
    return [
        partial(take, using=using, **kwargs)
        for kwargs in ({"timeout": 0.01}, {"nowait": True})
        for take in (
            partial(get_next_value, name),
            partial(get_next_value, name, 1, 3),
            partial(get_next_values, 2, name, lambda: 1),
        )
    ]


class Session:
    """The session of this thread, with its own limit of waits."""

    def __init__(self, using: str) -> None:
        self.connection = connections[using]
        self.bound, self.question, self.answer = BOUNDS[self.connection.vendor]

    def __enter__(self) -> Session:
        with self.connection.cursor() as cursor:
            cursor.execute(self.bound)
        return self

    def __exit__(self, *exception: object) -> None:
        self.connection.close()

    def is_as_before(self) -> bool:
        return bool(self.ask(self.question) == self.answer)

    def ask(self, sql: str) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
        assert row
        return row[0]


@pytest.fixture(autouse=True)
def _allow_autocommit(settings: Any) -> None:
    settings.SEQUENCES_AUTOCOMMIT = "allow"


def test_a_take_leaves_the_sessions_own_bound(using: str) -> None:
    """The session keeps its own limit of waits, in and after a transaction."""
    with Session(using) as session:
        for take in [*takes(using, "s"), *takes(using, "t")]:
            take()
            assert session.is_as_before()
            with transaction.atomic(using=using):
                take()
                assert session.is_as_before()
            assert session.is_as_before()


def test_a_take_that_fails_leaves_the_sessions_own_bound(using: str) -> None:
    """The session keeps it even if the take timed out."""

    def fail() -> None:
        with Session(using) as session:
            for take in takes(using, "s"):
                with pytest.raises(SequenceLocked):
                    take()
                assert session.is_as_before()
                if get_allocator(session.connection).locks_database:
                    continue  # there BEGIN would wait, without a bound
                with transaction.atomic(using=using):
                    with pytest.raises(SequenceLocked), transaction.atomic(using=using):
                        take()
                    assert session.is_as_before()

    with transaction.atomic(using=using):
        get_next_value("s", using=using)
        other = Elsewhere(fail, using)
        other.start()
        other.result()


class TestMySQL:
    using = "mysql"
    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["mysql"], available_apps=["sequences_core"]
    )

    def test_no_user_level_lock_is_left(self) -> None:
        """The lock that makes first takers take turns is released before the transaction ends."""
        with Session(self.using) as session, transaction.atomic(using=self.using):
            get_next_value("s", using=self.using)
            get_next_value("t", lambda: 1, using=self.using, nowait=True)
            assert session.ask("SELECT RELEASE_ALL_LOCKS()") == 0
