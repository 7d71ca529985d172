"""The conformance kit finds what is broken, says what it saw, and comes to an end."""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from sequences_mysql import MySQLAllocator
from sequences_sqlite import SQLiteAllocator

from sequences_core import Allocation
from sequences_core.models import Counter
from sequences_core.table import TABLE
from sequences_core.testing import threads
from sequences_core.testing.base import Contract
from sequences_core.testing.isolation import Isolation
from sequences_core.testing.session import Session
from sequences_core.testing.threads import Elsewhere, Hang, end, together, watched
from sequences_core.testing.transactions import Transactions
from tests.distributions import ROOT
from tests.reports import Report, run_tests

ENDLESS = {
    "postgresql": "SELECT pg_sleep(600)",
    "mysql": "SELECT SLEEP(600)",
    "sqlite": """
        WITH RECURSIVE endless (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM endless)
        SELECT COUNT(*) FROM endless
    """,
}

SOON = 60
"""Seconds: less than an endless statement takes, more than a busy machine needs to cut it off."""


def never_come_back(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(ENDLESS[connections[using].vendor])


class Odd(Exception):
    """An exception that a thread raises."""


def test_all_threads_have_ended_before_an_error_is_raised(using: str) -> None:
    """A thread that goes on would disturb the tests that come later."""
    failing, ended = threading.Event(), threading.Event()

    def fail() -> None:
        failing.set()
        raise Odd

    def go_on() -> None:
        failing.wait(threads.PATIENCE)
        time.sleep(threads.BLINK)
        ended.set()

    with pytest.raises(Odd):
        together([fail, go_on], using)
    assert ended.is_set()


def test_a_thread_that_cannot_connect_ends_the_others_at_once(using: str) -> None:
    """They would wait for it at the barrier."""
    asked: list[object] = []

    def refuse(connection: BaseDatabaseWrapper) -> Any:
        asked.append(connection)
        if len(asked) == 1:
            raise Odd
        return lambda: None

    begun = time.monotonic()
    with pytest.raises(Odd):
        together([lambda: None] * 3, using, canceller=refuse)
    assert time.monotonic() - begun < SOON


def test_the_marks_of_a_backend_are_kept() -> None:
    """A class may skip its tests without its server."""
    skipping = pytest.mark.skipif(True, reason="no server")
    marked: Any = type("Marked", (Contract,), {"using": "default", "pytestmark": skipping})
    assert [mark.name for mark in marked.pytestmark] == ["django_db", "skipif"]


def test_the_errors_of_all_threads_are_raised(using: str) -> None:
    """One error is raised as it is, several as a group; a barrier broken by them is ignored."""
    barrier = threading.Barrier(2)

    def fail() -> None:
        barrier.abort()
        raise Odd

    def fail_otherwise() -> None:
        raise LookupError

    with pytest.raises(Odd):
        together([lambda: barrier.wait(threads.PATIENCE), fail], using)
    with pytest.raises(ExceptionGroup, match="2 of 3 threads failed") as caught:
        together([fail, lambda: 1, fail_otherwise], using)
    assert [type(error) for error in caught.value.exceptions] == [Odd, LookupError]


def test_a_thread_that_hangs_is_cut_off(using: str) -> None:
    """Its statement is cancelled, and the error names its position, beside other errors."""
    before = threading.active_count()
    begin = time.monotonic()

    def fail() -> None:
        raise Odd

    def hang() -> None:
        never_come_back(using)

    with pytest.raises(ExceptionGroup) as caught:
        together([hang, fail, hang], using, patience=1)
    hung, odd = caught.value.exceptions
    assert isinstance(hung, Hang)
    assert isinstance(odd, Odd)
    assert "2 of 3 threads hung for 1 s" in str(hung)
    assert str(hung).count("in never_come_back") == 2
    assert time.monotonic() - begin < SOON
    while threading.active_count() > before:  # what was cancelled needs a moment to end
        assert time.monotonic() - begin < SOON


def test_a_thread_that_hangs_outside_the_database_is_named(
    using: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can't be stopped, so its session is closed, and the error names its position."""
    monkeypatch.setattr(threads, "GRACE", 0.1)
    forever = threading.Event()

    def hang() -> None:
        with connections[using].cursor():
            forever.wait()

    other = Elsewhere(hang, using)
    other.start()
    with pytest.raises(Hang, match="in hang"):
        end([other], 0.5)
    forever.set()
    other.join()


def test_a_test_that_hangs_is_cut_off(using: str) -> None:
    """The statement in the test's own thread is cancelled as well."""
    begin = time.monotonic()

    def hang() -> None:
        with watched(connections[using], 1):
            never_come_back(using)

    with pytest.raises(Hang, match="in never_come_back"):
        hang()
    assert time.monotonic() - begin < SOON
    connections[using].close()


@pytest.mark.django_db(databases=["postgresql"], transaction=True)
def test_a_test_that_waits_for_its_own_lock_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a thread that needs its lock, so no statement can be cancelled."""
    monkeypatch.setattr(threads, "GRACE", 0.1)
    connection = connections["postgresql"]

    def lock() -> None:
        with connections["postgresql"].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(1)")

    def hang() -> None:
        with watched(connection, 0.1):
            lock()
            other = Elsewhere(lock, "postgresql")
            other.start()
            other.join(SOON)
            assert not other.is_alive()

    with pytest.raises(Hang, match="in hang"):
        hang()
    connection.close()


def test_a_thread_that_failed_says_so_instead_of_waiting(using: str) -> None:
    """Nobody waits for an event that is not to come; an assertion shows what the thread did."""

    def fail() -> None:
        raise Odd

    other = Elsewhere(fail, using)
    assert "running" in repr(other)
    other.start()
    with pytest.raises(Odd):
        other.reach(threading.Event())
    with pytest.raises(Odd):
        other.is_waiting()
    assert "raised Odd()" in repr(other)
    done = Elsewhere(lambda: 42, using)
    done.start()
    with pytest.raises(AssertionError, match="returned 42"):
        done.reach(threading.Event())
    assert not done.is_waiting()


@pytest.mark.parametrize("template", ["{}", '"{}"', "`{}`", "[{}]", '"numbers"."{}"', "app.{}"])
def test_the_table_is_recognized(template: str) -> None:
    """In whichever case and quotes a vendor writes it, and with its schema; no other table is."""
    contract = Contract()
    for table in (TABLE, TABLE.upper()):
        name = template.format(table)
        assert contract.names_the_table(f"UPDATE {name} SET last = 1")
        assert contract.names_the_table(f"INSERT INTO {name}(name, last) VALUES (1, 2)")
        assert not contract.names_the_table(f"UPDATE {template.format(table + '_2')} SET last = 1")
        assert not contract.names_the_table(f"UPDATE {template.format('my_' + table)} SET last = 1")


def test_what_is_unknown_is_skipped(
    using: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """A vendor that the kit doesn't know passes no test unseen: the class says how, or skips."""
    settings.SEQUENCES_BACKEND = "orm"  # which a new session asks for by its vendor

    class Known(Contract):
        isolation_levels = ("SNAPSHOT",)

    monkeypatch.setattr(Contract, "using", using)
    monkeypatch.setattr(connections[using], "vendor", "unheard-of")
    for leave_out in (Contract().levels, Isolation().test_isolation_levels):
        with pytest.raises(
            pytest.skip.Exception, match="isolation levels of unheard-of are unknown"
        ):
            leave_out()
    with pytest.raises(pytest.skip.Exception, match="a session of unheard-of"):
        Session()._unchanged().__enter__()
    assert Known().levels() == ("SNAPSHOT",)


class NamesErrors(SQLiteAllocator):
    """Knows errors by an attribute of the driver that the kit has never heard of."""

    retryable_codes: ClassVar = frozenset({"SQLITE_BUSY"})

    def error_code(self, error: BaseException) -> str | int | None:
        return getattr(error.__cause__, "sqlite_errorname", None)


@pytest.mark.django_db(databases=["sqlite"], transaction=True)
def test_a_class_makes_the_errors_of_its_driver(settings: Any) -> None:
    """The kit says which method makes errors that the allocator knows."""
    settings.SEQUENCES_BACKEND = {"sqlite": f"{__name__}.NamesErrors"}

    class Unaware(Transactions):
        using = "sqlite"

    class Aware(Unaware):
        def error_of(self, code: str | int) -> DatabaseError:
            error = super().error_of(code)
            vars(error.__cause__)["sqlite_errorname"] = code
            return error

    with pytest.raises(AssertionError, match=r"override error_of\(\)"):
        Unaware().test_run_atomic_runs_the_block_again()
    Aware().test_run_atomic_runs_the_block_again()


# Without SQLite's BEGIN IMMEDIATE, which would hide a missing lock.
SETTINGS = """
from tests.settings import *

DATABASES = {{"default": {{**DATABASES[{alias!r}], "TEST": {{"NAME": {name!r}}}}}}}
DATABASES["default"].get("OPTIONS", {{}}).pop("transaction_mode", None)
"""

CLASS = """

class Test{name}(AllocatorContract):
    backend = "{path}"
    patience = 3
"""


def run_kit(
    folder: Path, alias: str, paths: list[str], tests: list[str], more_settings: str = ""
) -> Report:
    """Run some tests of the kit on allocators, in a database of their own on the same server."""
    name = str(folder / "test.sqlite3") if alias == "sqlite" else "test_kit"
    (folder / "kit_settings.py").write_text(SETTINGS.format(alias=alias, name=name) + more_settings)
    classes = [CLASS.format(name=path.rpartition(".")[2], path=path) for path in paths]
    source = "from sequences_core.testing import AllocatorContract\n" + "".join(classes)
    (folder / "test_conformance.py").write_text(source)
    plugins = [f"-p{plugin}" for plugin in ("tests.servers.plugin", "no:cacheprovider")]
    return run_tests(
        Path(sys.executable),
        folder,
        *plugins,
        "--ds=kit_settings",
        f"-k{' or '.join(tests)}",
        "test_conformance.py",
        PYTHONPATH=f"{ROOT}:{ROOT / 'tests' / 'thirdparty'}:{folder}",
        DB=alias,
    )


class Broken:
    """A faulty allocator, and the test that detects it with its message."""

    using: ClassVar[str]
    module: ClassVar[str] = "tests.broken_allocators"
    sound: ClassVar[str]
    flaws: ClassVar[list[tuple[str, str, str]]]

    def test_each_flaw_is_found(self, tmp_path: Path) -> None:
        """An allocator with a flaw fails the test, which shows what it saw; a sound one passes."""
        sound = self.sound.rpartition(".")[2]
        paths = [f"{self.module}.{name}" for name, _, _ in self.flaws]
        tests = [f"Test{each} and {test}" for name, test, _ in self.flaws for each in (name, sound)]
        report = run_kit(tmp_path, self.using, list(dict.fromkeys([self.sound, *paths])), tests)
        for name, test, text in self.flaws:
            outcomes: dict[str, set[str]] = defaultdict(set)
            for (cls, case), outcome in report.outcomes.items():
                if case.partition("[")[0] == test:
                    outcomes[cls].add(outcome)
            assert "failure" in outcomes[f"Test{name}"], report.text
            assert outcomes[f"Test{sound}"] == {"passed"}, report.text
            assert text in report.text, report.text


class TestBrokenOnSQLite(Broken):
    using = "sqlite"
    sound = "acme_sequences.AcmeAllocator"
    flaws: ClassVar = [
        ("ReadsThenWrites", "test_first_takers_all_succeed", "of 8 threads failed ("),
        ("CommitsAtOnce", "test_rollback_gives_numbers_back", "assert 13 == 2"),
        ("ReadsBackLater", "test_calls_in_autocommit_never_share_a_number", "assert ["),
        ("LoopsByTwoStatements", "test_calls_in_autocommit_never_share_a_number", "assert ["),
        ("LeavesASetting", "test_the_session_is_as_before", "'busy_timeout': [(1234,)]"),
        ("SendsASubclass", "test_plain_values_reach_the_driver", "assert ['s'] == []"),
        ("NeverComesBack", "test_first_takers_all_succeed", "8 of 8 threads hung for 3 s"),
        ("NeverComesBack", "test_first_takers_all_succeed", "in upsert"),
    ]


class TrustsItsSnapshot(MySQLAllocator):
    """Takes a counter that its snapshot doesn't see for one that is exhausted."""

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        counter = Counter.objects.using(connection.alias).filter(pk=allocation.name)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT IGNORE INTO {TABLE} (name, last) VALUES (%s, 0)", [allocation.name]
            )
        seen = counter.first()
        return super().upsert(connection, allocation) if seen else None


class TestBrokenOnMySQL(Broken):
    using = "mysql"
    module = __name__
    sound = "mysql"
    flaws: ClassVar = [
        (
            "TrustsItsSnapshot",
            "test_a_counter_that_the_snapshot_lacks",
            "REPEATABLE READ: OperationalError(",
        ),
    ]


class TestBrokenOnPostgreSQL(Broken):
    using = "postgresql"
    module = "tests.broken_on_postgresql"
    sound = "postgresql"
    flaws: ClassVar = [
        ("KnowsNoDeadlock", "test_a_deadlock_is_retryable", "deadlock detected"),
        ("ForgetsToQuote", "test_the_table_is_quoted", f"FROM {TABLE} WHERE"),
        ("CommitsBefore", "test_rollback_undoes_what_came_before_the_call", "'mine': 7"),
        ("StartsAtOne", "test_second_taker_waits_for_the_end_of_the_first", "assert 1 == 5"),
        ("LoopsWithoutALock", "test_second_taker_waits_for_the_end_of_the_first", "assert 2 == 3"),
        ("LocksTheTableForABatch", "test_other_names_never_wait", "1 of 1 threads hung for 3 s"),
        ("RetriesDuplicates", "test_only_conflicts_are_retryable", "IntegrityError("),
        ("RetriesTimeouts", "test_only_conflicts_are_retryable", "canceling statement due to lock"),
        (
            "TakesCancelForTimeout",
            "test_a_wait_that_is_cancelled_is_no_timeout",
            "raised SequenceLocked(",
        ),
        ("AbortsNever", "test_missing_table_names_the_command", "assert (False or not True)"),
        ("UsesTheDefault", "test_the_connection_is_the_one_that_was_passed", "{'s': 1} == {}"),
        ("ForgetsTheLimit", "test_the_session_is_as_before", "{'lock_timeout': '0'}"),
        ("RoundsDown", "test_timeout_bounds_every_form_of_a_take", "1 of 1 threads hung for 3 s"),
        (
            "WaitsForTheRow",
            "test_timeout_bounds_the_wait_for_a_change",
            "1 of 1 threads hung for 3 s",
        ),
        ("InstallsOnce", "test_install_may_be_repeated", '"installed_once" already exists'),
        ("KeepsALock", "test_the_session_is_as_before", "{'advisory lock "),
    ]

    def test_a_lock_that_ends_with_the_transaction_is_no_flaw(self, tmp_path: Path) -> None:
        """PostgreSQL's list of locks doesn't tell it from a lock of the session."""
        paths = [f"{self.module}.LocksForTheTransaction"]
        report = run_kit(tmp_path, self.using, paths, ["session", "interrupted"])
        assert report.exit_code == 0, report.text
        assert report.count("passed") > 2


class TestAnotherTable:
    using = "postgresql"

    def test_the_kit_follows_the_setting(self, tmp_path: Path) -> None:
        """SEQUENCES_TABLE may name a schema, and capital letters: the kit runs on that table."""
        tests = ["missing", "visible_to_django", "rollback", "first_takers_all"]
        table = 'SEQUENCES_TABLE = "public.Numbers"\n'
        report = run_kit(tmp_path, self.using, ["postgresql"], tests, table)
        assert report.exit_code == 0, report.text
        assert report.count("passed") > 8
