"""``Allocator.holders()`` returns the transactions that hold a counter, and those that wait."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from django.db import connections, transaction

from sequences_core import get_allocator, get_next_value
from sequences_core.diagnosis import Holder
from sequences_core.testing.threads import PATIENCE, Elsewhere, end

from .reading import execute, only

SESSION = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}

NAMES = ["s", "it's", 'a "b" `c` \\ %s', "Größe ♥"]

Found = Sequence[Holder]


def session(using: str) -> int:
    """Return the id of this thread's session in the database."""
    if connections[using].vendor == "sqlite":
        return os.getpid()
    with connections[using].cursor() as cursor:
        cursor.execute(SESSION[connections[using].vendor])
        number: int = cursor.fetchone()[0]
    return number


def take(using: str, name: str) -> None:
    with transaction.atomic(using=using):
        get_next_value(name, using=using)


def ask(using: str, name: str | None = None) -> Found:
    """Return the holders, as another session sees them."""
    other = connections[using].copy()
    try:
        return get_allocator(other).holders(other, name)
    finally:
        other.close()


def eventually(ask: Callable[[], Found], good: Callable[[Found], object]) -> Found:
    """Repeat a query until the condition is true, because sessions need time to begin to wait."""
    deadline = time.monotonic() + PATIENCE
    while not good(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.15)  # MariaDB updates its list only if it wasn't read for a tenth of a second
    return found


def nobody(found: Found) -> bool:
    return not found


@pytest.mark.parametrize("exists", [True, False], ids=["counter", "first use"])
@pytest.mark.parametrize("name", NAMES)
def test_who_holds_a_counter_and_who_waits_for_it(alias: str, name: str, exists: bool) -> None:
    """The holder and both waiting sessions are returned, and nothing after the commit."""
    vendor = connections[alias].vendor
    if exists:
        take(alias, name)
        take(alias, "other")
    waiting: list[int] = []

    def wait() -> None:
        waiting.append(session(alias))
        take(alias, name)

    others = [Elsewhere(wait, alias) for _ in range(2)]
    with transaction.atomic(using=alias):
        get_next_value("other", using=alias)
        get_next_value(name, using=alias)
        for other in others:
            other.start()
        # SQLite can't list sessions that wait.
        expected = 0 if vendor == "sqlite" else 2
        told = eventually(
            lambda: [each for each in ask(alias, name) if len(each.waiting) == expected], bool
        )
        (holder,) = told
        named = vendor == "mysql" or (vendor == "postgresql" and exists)
        assert holder.counter == (name if named else None)
        assert holder.session == session(alias)
        assert list(holder.waiting) == sorted(waiting)[:expected]
        assert str(holder.session) in holder.remedy
        assert holder.activity
        assert {each.session for each in ask(alias)} == {holder.session}
        if named:
            assert ask(alias, "other than this") == []
    end(others)
    eventually(lambda: ask(alias), nobody)


def test_who_holds_a_counter_that_nobody_waits_for(alias: str) -> None:
    """Only the counter's holder is returned; MariaDB doesn't provide it."""
    connection = connections[alias]
    take(alias, "s")
    eventually(lambda: ask(alias), nobody)
    with transaction.atomic(using=alias):
        get_next_value("s", using=alias)
        found = [(each.counter, each.session, each.waiting) for each in ask(alias)]
        mariadb = getattr(connection, "mysql_is_mariadb", False)
        name = None if connection.vendor == "sqlite" else "s"
        assert found == ([] if mariadb else [(name, session(alias), ())])
    assert ask(alias) == []


def test_a_lock_that_the_kernel_lists_twice(
    alias: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel sometimes lists a lock twice if a long list changes while it is read."""
    only(alias, "sqlite")
    from sequences_sqlite import holders

    with transaction.atomic(using=alias):
        get_next_value("s", using=alias)
        twice = tmp_path / "locks"
        twice.write_text(holders.LOCKS.read_text() * 2)
        monkeypatch.setattr(holders, "LOCKS", twice)
        assert [each.session for each in ask(alias)] == [os.getpid()]


ELSEWHERE = {
    "update": "UPDATE django_migrations SET name = name",
    "insert": "INSERT INTO django_migrations (id, app, name, applied) "
    "VALUES (1000000, 'a', 'b', CURRENT_TIMESTAMP)",
}


@pytest.mark.parametrize("statement", ELSEWHERE.values(), ids=list(ELSEWHERE))
def test_a_session_that_waits_for_something_else_is_not_told(alias: str, statement: str) -> None:
    """A session that waits for another row of the holder isn't returned."""
    if connections[alias].vendor == "sqlite":
        pytest.skip("SQLite has one lock for all rows")
    take(alias, "s")

    def wait() -> None:
        with transaction.atomic(using=alias):
            execute(alias, statement)
            transaction.set_rollback(True, using=alias)

    other = Elsewhere(wait, alias)
    with transaction.atomic(using=alias):
        get_next_value("s", using=alias)
        execute(alias, statement)
        other.start()
        assert other.is_waiting()
        assert all(each.waiting == () for each in ask(alias))
        transaction.set_rollback(True, using=alias)
    end([other])
