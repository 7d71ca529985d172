"""run_atomic never runs again what is committed, and returns nothing that isn't."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import itertools
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction
from django.db.models.expressions import RawSQL
from django.test import TestCase

from sequences_core import get_last_value, get_next_value, retry_atomic, run_atomic
from sequences_core.models import Counter
from sequences_core.testing.base import Elsewhere

CONFLICTS = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$",
    "mysql": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'lost'",
}


def conflict(using: str) -> None:
    """Get an error by which run_atomic would run a block again."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(CONFLICTS[connection.vendor])

    def lose() -> None:
        with connections[using].cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 1")
        with transaction.atomic(using=using):
            raise AssertionError("the database was not locked")

    with transaction.atomic(using=using):
        other = Elsewhere(lose, using)
        other.start()
        try:
            other.result()
        except DatabaseError as error:
            caught = error
    # As it was raised there, but here: what an on_commit hook of this thread would have met.
    raise DatabaseError("locked") from caught.__cause__


class Block:
    """Takes a number, registers hooks, and counts how often it was called."""

    def __init__(self, using: str, *hooks: Callable[[], object], robust: bool = False) -> None:
        self.using, self.hooks, self.robust, self.calls = using, hooks, robust, 0

    def __call__(self) -> int:
        self.calls += 1
        number = get_next_value("s", using=self.using)
        for hook in self.hooks:
            transaction.on_commit(hook, using=self.using, robust=self.robust)
        return number


def test_a_hook_that_fails_after_the_commit(using: str) -> None:
    """The error of a hook is raised, and what was committed is not run again."""
    block = Block(using, lambda: conflict(using))
    with pytest.raises(DatabaseError):
        run_atomic(block, using=using)
    assert (block.calls, get_last_value("s", using=using)) == (1, 1)


def test_a_robust_hook(using: str, caplog: pytest.LogCaptureFixture) -> None:
    """Django logs its error, and the number is returned."""
    block = Block(using, lambda: conflict(using), robust=True)
    assert run_atomic(block, using=using) == 1
    assert (block.calls, len(caplog.records)) == (1, 1)


def test_a_hook_that_runs_a_transaction_of_its_own(using: str) -> None:
    """The inner one is run again as often as it has to; the outer one is done."""
    inner = Block(using, lambda: conflict(using))
    outer = Block(using, lambda: run_atomic(inner, using=using))
    with pytest.raises(DatabaseError):
        run_atomic(outer, using=using)
    assert (outer.calls, inner.calls, get_last_value("s", using=using)) == (1, 1, 2)


def test_a_hook_of_a_savepoint(using: str) -> None:
    """It runs after the commit, unless its savepoint was rolled back."""
    calls: list[str] = []

    def block() -> None:
        calls.append("block")
        with transaction.atomic(using=using):
            transaction.on_commit(lambda: calls.append("rolled back"), using=using)
            transaction.set_rollback(True, using=using)
        with transaction.atomic(using=using):
            transaction.on_commit(lambda: conflict(using), using=using)

    with pytest.raises(DatabaseError):
        run_atomic(block, using=using)
    assert calls == ["block"]


def test_a_conflict_before_the_commit_is_run_again(using: str) -> None:
    """Only the hooks of the last attempt are called."""
    called: list[int] = []
    block = Block(using)
    cause = code_of_a_conflict(using)

    def lose_once() -> int:
        number = block()
        transaction.on_commit(lambda: called.append(block.calls), using=using)
        if block.calls < 3:
            raise DatabaseError(*cause.args) from cause
        return number

    assert run_atomic(lose_once, using=using) == 1
    assert (block.calls, called) == (3, [3])


def end_transaction(using: str) -> None:
    """Let the server end the transaction, by an error that Django doesn't watch for."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        conflict(using)
    connection.connection.set_progress_handler(lambda: 1, 1)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {Counter._meta.db_table}")
    finally:
        connection.connection.set_progress_handler(None, 1)


def test_no_result_after_an_error_of_a_cursor_was_caught(using: str) -> None:
    """Its COMMIT would not fail, and leave nothing, or only what came after the error."""
    hooks: list[int] = []
    calls: list[int] = []

    def block() -> int:
        calls.append(1)
        number = get_next_value("s", using=using)
        transaction.on_commit(lambda: hooks.append(number), using=using)
        with contextlib.suppress(DatabaseError):
            end_transaction(using)
        return number

    # Where the error that was caught is a conflict, the block is run again.
    runs = 1 if connections[using].vendor == "sqlite" else 3
    with pytest.raises(DatabaseError, match="only be rolled back" if runs == 1 else "lost"):
        run_atomic(block, using=using, attempts=3)
    assert len(calls) == runs
    assert get_last_value("s", using=using) is None
    assert not hooks


def test_a_result_after_what_failed_was_rolled_back(using: str) -> None:
    """An error inside a savepoint has not ended the transaction."""

    def block() -> int:
        number = get_next_value("s", using=using)
        with contextlib.suppress(DatabaseError), transaction.atomic(using=using):
            get_next_value("s", using=using)
            with connections[using].cursor() as cursor:
                cursor.execute("SELECT 1 FROM nowhere")
        return number

    assert run_atomic(block, using=using) == 1
    assert get_last_value("s", using=using) == 1


ENDINGS = [
    *("COMMIT", "commit work", "ROLLBACK", "ROLLBACK AND CHAIN", "BEGIN", "START TRANSACTION"),
    *(" -- at once\n COMMIT;", "/* now */ END", "; COMMIT", "# now\nCOMMIT", "/*!50000 COMMIT */"),
    *("SELECT 1; COMMIT", "SELECT 'a;b' /* ; */; -- it's\n ROLLBACK", b"COMMIT"),
]
COMMITTED = [
    *("CREATE TABLE made (n INT)", "SELECT 1; DROP TABLE made", "COMMENT ON TABLE made IS 'new'"),
    *(f"TRUNCATE {Counter._meta.db_table}", "CHECK TABLE made", "RESET QUERY CACHE"),
    *("LOCK TABLE made WRITE", "UNLOCK TABLES", "INSTALL SONAME 'nothing'", "STOP REPLICA"),
    *("SET PASSWORD FOR nobody = ''", "SET autocommit = 1", "SET LOCAL autocommit = 1"),
    *("SET sql_mode = '', autocommit = 1", "SET @@local.autocommit = 1", "SET `autocommit` = 1"),
]


@pytest.mark.parametrize("sql", [*ENDINGS, *COMMITTED])
def test_a_block_that_ends_its_transaction(using: str, sql: Any) -> None:
    """The statement is refused. After a conflict, what it commits would be stored once more."""
    connection = connections[using]
    if sql in COMMITTED and connection.features.can_rollback_ddl:
        return
    calls: list[int] = []

    def block() -> None:
        calls.append(get_next_value("s", using=using))
        with connection.cursor() as cursor:
            cursor.execute(sql)
        conflict(using)

    with pytest.raises(transaction.TransactionManagementError, match="must not end"):
        run_atomic(block, using=using)
    assert calls == [1]
    assert get_last_value("s", using=using) is None


def test_statements_that_end_no_transaction(using: str) -> None:
    """Savepoints, and tables that are dropped with the session, are part of the transaction."""

    def block() -> int:
        with connections[using].cursor() as cursor:
            cursor.execute("SAVEPOINT mine")
            get_next_value("s", using=using)
            cursor.execute("ROLLBACK TO SAVEPOINT mine")
            cursor.execute("CREATE TEMPORARY TABLE made (n INT)")
            cursor.execute("DROP TABLE made" if is_ddl_undone else "DROP TEMPORARY TABLE made")
            cursor.execute("SELECT 'COMMIT' /* COMMIT */")
            cursor.execute("SELECT 'a; COMMIT' AS \"it's; COMMIT\" /* ; COMMIT */ -- ; COMMIT")
            if connections[using].vendor == "mysql":
                cursor.execute(r"SET @autocommit = 'it\'s; COMMIT'")
            if connections[using].vendor == "postgresql":
                cursor.execute("DO $$ BEGIN PERFORM 1; END; $$; SELECT $x$it's; COMMIT$x$")
            cursor.execute("/* a */ SELECT 1 /* b */")
            cursor.execute(f"{'/* a */' * 40} SELECT CASE WHEN 1 = 1 THEN 1 /* c */ END")
        if is_mariadb:
            Counter.objects.using(using).all().explain(analyze=True)
        return get_next_value("s", using=using)

    is_ddl_undone = connections[using].features.can_rollback_ddl
    is_mariadb = getattr(connections[using], "mysql_is_mariadb", False)
    assert run_atomic(block, using=using) == 1
    assert get_last_value("s", using=using) == 1


def test_an_error_whose_frames_are_cleared(using: str) -> None:
    """unittest's assertRaises clears them, so the error's database is unknown."""

    def block() -> None:
        try:
            with connections[using].cursor() as cursor:
                cursor.execute("SELECT 1 FROM nowhere")
        except DatabaseError as error:
            traceback.clear_frames(error.__traceback__)
            raise

    with pytest.raises(DatabaseError, match="nowhere"):
        run_atomic(block, using=using)


def code_of_a_conflict(using: str) -> BaseException:
    """The driver's error of a conflict."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic(using=using):
        conflict(using)
    assert caught.value.__cause__
    return caught.value.__cause__


class TestPostgreSQL:
    using = "postgresql"
    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["postgresql"], available_apps=["sequences_core"]
    )

    def test_a_conflict_of_the_commit_itself_is_run_again(self) -> None:
        """A deferred trigger raises its conflict at COMMIT; nothing was committed by then."""
        connection = connections[self.using]
        with connection.cursor() as cursor:
            cursor.execute("""
                CREATE FUNCTION lose_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF nextval('attempts') < 3 THEN
                        RAISE EXCEPTION 'lost' USING ERRCODE = '40001';
                    END IF;
                    RETURN NULL;
                END $$;
                CREATE SEQUENCE attempts;
                CREATE CONSTRAINT TRIGGER lose_once AFTER INSERT ON sequences_core_counter
                    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lose_once();
            """)
        hooks: list[int] = []
        block = Block(self.using, lambda: hooks.append(1))
        try:
            assert run_atomic(block, using=self.using) == 1
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP FUNCTION lose_once() CASCADE; DROP SEQUENCE attempts")
        assert (block.calls, hooks) == (3, [1])

    def test_a_statement_of_a_type_of_the_driver(self) -> None:
        """A COMMIT that psycopg has composed is refused, too."""
        sql = pytest.importorskip("psycopg.sql")

        def block() -> None:
            with connections[self.using].cursor() as cursor:
                cursor.execute(sql.SQL("SELECT {}").format(sql.Literal("COMMIT")))
                cursor.execute(sql.Composed([sql.SQL("COM"), sql.SQL("MIT")]))

        with pytest.raises(transaction.TransactionManagementError, match="'COMMIT' would"):
            run_atomic(block, using=self.using)

    @pytest.mark.parametrize("by_driver", [False, True], ids=["iterator()", "the driver's cursor"])
    def test_an_error_that_no_statement_of_django_raised(self, by_driver: bool) -> None:
        """An error of fetching or of the driver ends the transaction, too, if it was caught."""

        def block() -> int:
            number = get_next_value("s", using=self.using)
            counters = Counter.objects.using(self.using)
            with contextlib.suppress(Exception):
                if by_driver:
                    connections[self.using].connection.execute("SELECT no_column")
                list(counters.annotate(infinite=RawSQL("1 / (last - 1)", [])).iterator())
            return number

        with pytest.raises(transaction.TransactionManagementError, match="rolled back"):
            run_atomic(block, using=self.using)
        assert get_last_value("s", using=self.using) is None


@pytest.mark.django_db(transaction=True, databases="__all__", available_apps=["sequences_core"])
def test_a_conflict_of_another_database(using: str) -> None:
    """The other database may have committed, so the block is not run again."""
    block = Block(using)

    def elsewhere() -> None:
        block()
        with connections["default"].cursor() as cursor:
            cursor.execute(CONFLICTS.get(connections["default"].vendor, "SELECT 1 FROM nowhere"))

    with pytest.raises(DatabaseError):
        run_atomic(elsewhere, using=using)
    assert (block.calls, get_last_value("s", using=using)) == (1, None)


def test_manual_transactions_are_refused(using: str) -> None:
    """Where COMMIT is the user's, nothing is run: the result would not be committed."""
    connection = connections[using]
    block = Block(using)
    connection.set_autocommit(False)
    try:
        with pytest.raises(RuntimeError, match="manual transaction management"):
            run_atomic(block, using=using)
        with pytest.raises(RuntimeError), transaction.atomic(using=using):
            run_atomic(block, using=using)
    finally:
        connection.rollback()
        connection.set_autocommit(True)
    with pytest.raises(RuntimeError), transaction.atomic(using=using):
        run_atomic(block, using=using)
    assert block.calls == 0
    assert run_atomic(block, using=using) == 1


def test_a_database_without_autocommit(using: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AUTOCOMMIT = False in DATABASES is manual transaction management, too."""
    connection = connections[using]
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
    try:
        with pytest.raises(RuntimeError, match="manual transaction management"):
            run_atomic(lambda: pytest.fail("was run"), using=using)
    finally:
        connection.close()


def test_a_block_that_closes_its_connection(using: str) -> None:
    """Its work is undone, and what it returned is not; a conflict before that is run again."""
    calls: list[int] = []

    def close(error: str | None) -> None:
        calls.append(get_next_value("s", using=using))
        if error:
            with pytest.raises(DatabaseError), connections[using].cursor() as cursor:
                cursor.execute(error)
        connections[using].close()

    for error in (None, "SELECT no_column"):
        with pytest.raises(transaction.TransactionManagementError):
            run_atomic(functools.partial(close, error), using=using)
        connections[using].close()
    assert calls == [1, 1]
    if connections[using].vendor in CONFLICTS:
        with pytest.raises(DatabaseError, match="lost"):
            run_atomic(
                functools.partial(close, CONFLICTS[connections[using].vendor]),
                attempts=2,
                using=using,
            )
        assert len(calls) == 4
    assert not Counter.objects.using(using).exists()


class TestInsideATestCase(TestCase):
    """Django lets a durable block into the transaction of its TestCase."""

    def test_it_runs(self) -> None:
        with self.captureOnCommitCallbacks() as callbacks:
            assert run_atomic(lambda: get_next_value("s")) == 1
        assert callbacks == []


async def coroutine() -> int:
    return get_next_value("s")


def generator() -> Iterator[int]:
    yield get_next_value("s")


async def async_generator() -> AsyncIterator[int]:
    yield get_next_value("s")


class AsyncCallable:
    async def __call__(self) -> int:
        return get_next_value("s")


DEFERRED: list[Any] = [
    *(coroutine, generator, async_generator, functools.partial(coroutine), AsyncCallable()),
    *(None, 1, property(lambda self: 1), functools.partialmethod(coroutine)),
]


@pytest.mark.parametrize("function", [*DEFERRED, AsyncCallable])
def test_what_can_not_be_decorated(function: Any) -> None:
    """What would run after the COMMIT, or isn't a function, raises TypeError immediately."""
    with pytest.raises(TypeError):
        retry_atomic()(function)


@pytest.mark.parametrize("attempts", [0, True])
def test_bad_attempts_of_a_decorator(attempts: Any) -> None:
    """They are refused when the function is decorated."""
    with pytest.raises((TypeError, ValueError), match="attempts"):
        retry_atomic(attempts=attempts)


class Future:
    """Awaitable, as a result that is not there yet."""

    def __await__(self) -> Iterator[None]:
        yield


@contextmanager
def manager() -> Iterator[int]:
    yield get_next_value("s")


@pytest.mark.parametrize(
    "block",
    [
        *DEFERRED,
        *(lambda: coroutine(), lambda: generator(), lambda: async_generator(), Future, manager),
        lambda: map(get_next_value, ["s"]),
        lambda: filter(get_next_value, ["s"]),
        lambda: zip(map(get_next_value, ["s"]), strict=True),
        lambda: enumerate(generator()),
        lambda: itertools.starmap(get_next_value, [["s"]]),
        lambda: itertools.chain(generator()),
        lambda: iter(lambda: get_next_value("s"), 9),
        concurrent.futures.Future,
    ],
)
def test_what_returns_before_its_work_is_done(using: str, block: Any) -> None:
    """TypeError, nothing committed, and the coroutine closed: it doesn't warn."""

    def taking() -> Any:
        get_next_value("s", using=using)
        return block() if callable(block) else block

    with pytest.raises(TypeError):
        run_atomic(block, using=using)
    if callable(block):
        with pytest.raises(TypeError, match="after the COMMIT"):
            run_atomic(taking, using=using)
    assert get_last_value("s", using=using) is None


def test_a_coroutine_in_place_of_a_function() -> None:
    """It is closed, so that Python doesn't warn about it."""
    with pytest.raises(TypeError, match="only a function"):
        run_atomic(coroutine())  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
def test_methods() -> None:
    """A decorated method is what it was: of the class, of no instance, or of one."""

    class Till:
        name = "s"

        @retry_atomic()
        def of_instance(self) -> int:
            return get_next_value(self.name)

        @retry_atomic()
        @classmethod
        def of_class(cls) -> int:
            return get_next_value(cls.name)

        @classmethod
        @retry_atomic()
        def of_class_too(cls) -> int:
            return get_next_value(cls.name)

        @retry_atomic()
        @staticmethod
        def of_none(name: str) -> int:
            return get_next_value(name)

        @staticmethod
        @retry_atomic()
        def of_none_too(name: str) -> int:
            return get_next_value(name)

    till = Till()
    assert [till.of_instance(), Till.of_class(), till.of_class()] == [1, 2, 3]
    assert [Till.of_class_too(), till.of_none("s"), Till.of_none("s")] == [4, 5, 6]
    assert till.of_none_too("s") == 7
