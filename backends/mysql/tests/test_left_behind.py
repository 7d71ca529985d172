"""A call doesn't change the session's state on MySQL and MariaDB, whether it succeeds or fails.

It leaves no user-level lock, changes no session variable, and resets the user variables it sets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import pytest
from django.db import DatabaseError, OperationalError, connections, transaction
from sequences_mysql.waiting import GUARD

from sequences_core import SequenceExhausted, get_next_value, get_next_values
from sequences_core.arguments import MAX_VALUE
from sequences_core.table import TABLE

OURS = ("sequences_core_wait", "sequences_core_mode")
PASSING = {
    *("error_count", "identity", "insert_id", "last_gtid", "last_insert_id", "pseudo_thread_id"),
    *("rand_seed1", "rand_seed2", "timestamp", "warning_count", "in_transaction"),
    *("statement_id", "gtid_executed", "gtid_binlog_pos", "gtid_current_pos"),
}
"""Variables that change without a SET."""

FAIL = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused by a trigger'"
SLEEP = "DO SLEEP(20)"

Take = Callable[[str, str], object]


def by_function(name: str, using: str) -> object:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT sequences_next_value(%s, 1, NULL)", [name])
        return cursor.fetchone()


TAKES: dict[str, Take] = {
    "plain": lambda name, using: get_next_value(name, using=using),
    "nowait": lambda name, using: get_next_value(name, nowait=True, using=using),
    "timeout": lambda name, using: get_next_value(name, timeout=1, using=using),
    "callable": lambda name, using: get_next_value(name, lambda: 1, timeout=1, using=using),
    "loop": lambda name, using: get_next_value(name, 1, 3, timeout=1, using=using),
    "batch": lambda name, using: get_next_values(3, name, timeout=1, using=using),
    "function": by_function,
}


@pytest.mark.parametrize("take", TAKES.values(), ids=list(TAKES))
class LeftBehind:
    using: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _allow_autocommit(self, settings: Any) -> Iterator[None]:
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        yield
        connections[self.using].close()

    def ask(self, sql: str) -> list[Any]:
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def state(self) -> tuple[Any, ...]:
        """Return the session's variables, the user-level lock's holder, and our user variables."""
        variables = {k: v for k, v in self.ask("SHOW SESSION VARIABLES") if k not in PASSING}
        locks = self.ask(f"SELECT IS_USED_LOCK({GUARD.replace('{table}', f'`{TABLE}`')})" % "'new'")
        return variables, locks, [self.ask(f"SELECT @{name}") for name in OURS]

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Compare the session's state before and after the block."""
        self.ask("SET SESSION innodb_lock_wait_timeout = 3")
        before = self.state()
        assert before[1] == [(None,)]
        yield
        after = self.state()
        assert after[1:] == before[1:]
        assert dict(after[0].items() ^ before[0].items()) == {}
        assert self.ask("SELECT RELEASE_ALL_LOCKS()") == [(0,)]

    @contextmanager
    def trigger(self, body: str, event: str = "INSERT") -> Iterator[None]:
        self.ask(f"CREATE TRIGGER hook BEFORE {event} ON {TABLE} FOR EACH ROW {body}")
        try:
            yield
        finally:
            self.ask("DROP TRIGGER hook")

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Let another transaction lock or create the counter during the block."""
        taken, done = threading.Event(), threading.Event()

        def hold() -> None:
            with transaction.atomic(using=self.using):
                get_next_value(name, using=self.using)
                taken.set()
                done.wait(60)
            connections[self.using].close()

        holder = threading.Thread(target=hold)
        holder.start()
        try:
            assert taken.wait(60)
            yield
        finally:
            done.set()
            holder.join()

    @contextmanager
    def killed(self) -> Iterator[None]:
        """KILL the session's statement in the block when it sleeps in a trigger or waits."""
        ((pid,),) = self.ask("SELECT CONNECTION_ID()")
        over = threading.Event()

        def kill() -> None:
            with connections[self.using].cursor() as cursor:
                while not over.wait(0.05):
                    cursor.execute(
                        "SELECT COUNT(*) FROM information_schema.processlist WHERE id = %s AND "
                        "(state = 'User sleep' OR time >= 1 AND command <> 'Sleep')",
                        [pid],
                    )
                    if cursor.fetchone() == (1,):
                        with suppress(DatabaseError):
                            cursor.execute(f"KILL QUERY {pid}")
                        break
            connections[self.using].close()

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            yield
        finally:
            over.set()
            killer.join()

    @pytest.mark.parametrize("atomic", [False, True])
    def test_success(self, take: Take, atomic: bool) -> None:
        """The first and the second use leave the session unchanged."""
        for _ in range(2):
            with self.unchanged():
                if atomic:
                    with transaction.atomic(using=self.using):
                        take("new", self.using)
                else:
                    take("new", self.using)

    def test_exhausted(self, take: Take) -> None:
        """A call for an exhausted sequence leaves the session unchanged."""
        get_next_value("new", MAX_VALUE, using=self.using)
        with self.unchanged(), suppress(SequenceExhausted, DatabaseError):
            take("new", self.using)

    @pytest.mark.parametrize("event", ["INSERT", "UPDATE"])
    def test_an_error_in_a_trigger(self, take: Take, event: str) -> None:
        """A call whose INSERT or UPDATE fails leaves the session unchanged."""
        if event == "UPDATE":
            get_next_value("new", using=self.using)
        with (
            self.trigger(FAIL, event),
            self.unchanged(),
            pytest.raises(OperationalError, match="refused by a trigger"),
            transaction.atomic(using=self.using),
        ):
            take("new", self.using)

    @pytest.mark.parametrize("name", ["old", "new"])
    def test_a_lock_wait_timeout(self, take: Take, name: str) -> None:
        """A call whose timeout expires leaves the session unchanged."""
        get_next_value("old", using=self.using)
        with self.locked(name), self.unchanged():
            self.ask("SET SESSION innodb_lock_wait_timeout = 1")
            with pytest.raises(DatabaseError), transaction.atomic(using=self.using):
                take(name, self.using)
            self.ask("SET SESSION innodb_lock_wait_timeout = 3")

    def test_a_kill_while_waiting(self, take: Take) -> None:
        """A call that is killed while it waits leaves the session unchanged."""
        with (
            self.locked("new"),
            self.unchanged(),
            self.killed(),
            pytest.raises(DatabaseError),
            transaction.atomic(using=self.using),
        ):
            take("new", self.using)

    def test_a_kill_in_a_trigger(self, take: Take) -> None:
        """A kill in a trigger changes nothing; the function releases its lock at the next use."""
        with self.unchanged():
            with (
                self.trigger(SLEEP),
                self.killed(),
                suppress(DatabaseError),
                transaction.atomic(using=self.using),
            ):
                take("new", self.using)
            if take is by_function:
                with transaction.atomic(using=self.using):
                    take("new", self.using)


class TestMySQL(LeftBehind):
    using = "mysql"
    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["mysql"], available_apps=["sequences_core"]
    )


class TestMariaDB(LeftBehind):
    using = "mariadb"
    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["mariadb"], available_apps=["sequences_core"]
    )
