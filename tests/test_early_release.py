"""Counters that are released before their commit is durable, on servers whose disk can be held."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.db import Error, OperationalError, connections, models, transaction
from django.test.utils import CaptureQueriesContext, isolate_apps

from sequences_core import (
    DurabilityUnknown,
    NextValue,
    SequenceExhausted,
    get_next_value,
    get_next_values,
    run_atomic,
    set_last_value,
)
from sequences_core.arguments import MAX_VALUE
from sequences_core.checks import check_early_release
from sequences_core.early_release import durability
from sequences_core.models import Counter
from sequences_core.testing.base import PATIENCE, Elsewhere
from tests.aliases import known_to_django
from tests.numbered.models import Invoice
from tests.servers import PostgreSQL
from tests.servers.pgbouncer import PgBouncer

DIRECT, POOLED, ASYNC, UNPRIVILEGED = "direct", "pooled", "async", "unprivileged"

Numbers = models.BigIntegerField


@pytest.fixture(scope="module")
def server(django_db_blocker: Any) -> Iterator[PostgreSQL]:
    """A server whose log can be decoded, under the aliases above."""
    with (
        PostgreSQL(settings={"wal_level": "logical"}) as server,
        PgBouncer(server, sessions=2) as pool,
        django_db_blocker.unblock(),
        known_to_django(
            {
                DIRECT: server.url,
                POOLED: pool.url,
                ASYNC: f"{server.url}?options=-c%20synchronous_commit%3Doff",
                UNPRIVILEGED: server.url.replace("postgres@", "clerk@"),
            }
        ),
    ):
        with connections[DIRECT].cursor() as cursor:
            cursor.execute("CREATE ROLE clerk LOGIN")
            cursor.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk")
        with connections[DIRECT].schema_editor() as editor:
            editor.create_model(Invoice)
        yield server


def ask(sql: str, using: str = DIRECT) -> Any:
    """Return the first value that a query finds."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
    return row and row[0]


def level(using: str = DIRECT) -> str:
    """What would the COMMIT wait for?"""
    return str(ask("SHOW synchronous_commit", using))


@contextmanager
def held() -> Iterator[None]:
    """Let no commit of the server become durable in the block, for a standby is missing."""
    try:
        for value in ("nobody", ""):
            with connections[DIRECT].cursor() as cursor:
                cursor.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{value}'")
                cursor.execute("SELECT pg_reload_conf()")
            until(partial(is_set, value))
            if value:
                yield
    finally:
        with connections[DIRECT].cursor() as cursor:
            cursor.execute("ALTER SYSTEM RESET synchronous_standby_names")
            cursor.execute("SELECT pg_reload_conf()")


def is_set(value: str) -> bool:
    """Has the server read its configuration?"""
    return bool(ask("SHOW synchronous_standby_names") == value)


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def invoices(using: str = DIRECT) -> list[int]:
    """The numbers that a session sees."""
    return list(Invoice.objects.using(using).order_by("number").values_list("number", flat=True))


def create(using: str) -> Any:
    """In autocommit the INSERT takes the number by itself."""
    return Invoice.objects.using(using).create().number


def create_in_atomic(using: str) -> Any:
    """So it does in a transaction."""
    with transaction.atomic(using=using):
        return Invoice.objects.using(using).create().number


def create_after_taking(using: str) -> Any:
    """The number is taken first."""
    with transaction.atomic(using=using):
        number = get_next_value("invoices", using=using)
        return Invoice.objects.using(using).create(number=number).number


def create_in_bulk(using: str) -> Any:
    """A list of one row."""
    return Invoice.objects.using(using).bulk_create([Invoice()])[0].number


def create_by_run_atomic(using: str) -> Any:
    """run_atomic opens the transaction."""
    return run_atomic(lambda: create(using), using=using)


WAYS = [create, create_in_atomic, create_after_taking, create_in_bulk, create_by_run_atomic]
ways = pytest.mark.parametrize("way", WAYS)


class Server:
    using = "postgresql"

    @pytest.fixture(autouse=True)
    def _clean(self, server: PostgreSQL, settings: Any) -> Iterator[None]:
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        settings.SEQUENCES_EARLY_RELEASE = True
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"TRUNCATE {Counter._meta.db_table}, {Invoice._meta.db_table}")
        yield
        for alias in (DIRECT, POOLED, ASYNC, UNPRIVILEGED):
            connections[alias].close()


class TestWaiting(Server):
    @ways
    @pytest.mark.parametrize("alias", [DIRECT, POOLED])
    def test_others_read_and_go_on_before_the_writer_is_answered(
        self, way: Callable[[str], Any], alias: str
    ) -> None:
        """The scenario of docs/early-release.rst: A is still waiting when B reads A's row."""
        create(DIRECT)  # the counter is there
        with held():
            writer = Elsewhere(lambda: way(alias), alias)
            writer.start()
            until(lambda: invoices() == [1, 2])
            next_one = Elsewhere(lambda: way(alias), alias)
            next_one.start()  # the counter isn't locked
            until(lambda: invoices() == [1, 2, 3])
            assert writer.is_waiting()
            assert next_one.is_waiting()
        assert (writer.result(), next_one.result()) == (2, 3)

    @ways
    def test_without_the_setting_nobody_reads_it(
        self, way: Callable[[str], Any], settings: Any
    ) -> None:
        """The row is seen when it is durable."""
        settings.SEQUENCES_EARLY_RELEASE = {POOLED: True}
        create(DIRECT)
        with held():
            writer = Elsewhere(lambda: way(DIRECT), DIRECT)
            writer.start()
            assert writer.is_waiting()
            assert invoices() == [1]
        assert writer.result() == 2

    def test_next_value_alone_is_synchronous_in_autocommit(self) -> None:
        """Nobody waits after a statement that isn't a SequenceField's, so its COMMIT does."""
        get_next_value("s", using=DIRECT)
        with held():

            def insert() -> None:
                invoice = Invoice(number=NextValue("s"))
                invoice.save(using=DIRECT)

            def update() -> None:
                Invoice.objects.using(DIRECT).update(number=NextValue("s"))

            for statement in (insert, update, lambda: get_next_value("s", using=DIRECT)):
                last = ask("SELECT last FROM sequences_core_counter WHERE name = 's'")
                writer = Elsewhere(statement, DIRECT)
                writer.start()
                if statement is not update:
                    assert writer.is_waiting()
                assert ask("SELECT last FROM sequences_core_counter WHERE name = 's'") == last
                writer.cut()

    @ways
    def test_a_session_that_is_cut_off_in_the_wait(self, way: Callable[[str], Any]) -> None:
        """DurabilityUnknown is raised; the row is there, and keeps its number."""
        created: list[Any] = []
        with held():
            writer = Elsewhere(lambda: created.append(way(DIRECT)), DIRECT)
            writer.start()
            until(lambda: invoices() == [1])
            waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            until(lambda: ask(f"SELECT count(*) {waiting}") == 1)
            ask(f"SELECT pg_terminate_backend(pid) {waiting}")
            with pytest.raises(DurabilityUnknown, match="direct"):
                writer.result()
        assert created == []
        assert invoices() == [1]

    def test_an_instance_whose_wait_failed_keeps_its_number(self) -> None:
        """Its row is committed: a second save() must not insert another one in silence."""
        saves: list[Callable[[Invoice], Any]] = [
            lambda row: row.save(using=DIRECT),
            lambda row: Invoice.objects.using(DIRECT).bulk_create([row]),
        ]
        for number, save in enumerate(saves, 1):
            row = Invoice()
            with failing_waits(DIRECT), pytest.raises(DurabilityUnknown):
                save(row)
            assert row.number == number
            assert invoices()[-1] == number
            if row.pk is None:
                with pytest.raises(Error):
                    row.save(using=DIRECT)


@contextmanager
def failing_waits(using: str) -> Iterator[None]:
    """Let each wait fail, before it is sent."""

    def fail(execute: Any, sql: str, *args: Any) -> Any:
        if "pg_logical_emit_message" in sql:
            raise OperationalError("the connection is lost")
        return execute(sql, *args)

    with connections[using].execute_wrapper(fail):
        yield


@contextmanager
def waits(expected: int, using: str = DIRECT) -> Iterator[None]:
    """Assert how many waits the block sends."""
    with CaptureQueriesContext(connections[using]) as queries:
        yield
    found = [query["sql"] for query in queries if "pg_logical_emit_message" in query["sql"]]
    assert len(found) == expected, queries.captured_queries


class TestLevel(Server):
    """What synchronous_commit is in the transaction, and after it."""

    def test_each_take_releases_its_transaction(self) -> None:
        """And nothing is left of it in the session."""
        set_last_value(5, "s", using=DIRECT)
        takes: list[Callable[[], Any]] = [
            lambda: get_next_value("s", using=DIRECT),
            lambda: get_next_value("s", using=DIRECT, timeout=5),
            lambda: get_next_value("s", 1, 3, using=DIRECT),
            lambda: get_next_value("s", 1, 3, using=DIRECT, nowait=True),
            lambda: get_next_values(3, "s", using=DIRECT, timeout=5),
            lambda: get_next_values(3, "s", lambda: 1, using=DIRECT),
            lambda: get_next_value("s", lambda: 1, using=DIRECT, timeout=5),
            lambda: Invoice.objects.using(DIRECT).create(number=NextValue("s")),
            lambda: Invoice.objects.using(DIRECT).update(number=NextValue("s")),
            lambda: Invoice.objects.using(DIRECT).bulk_create([Invoice(number=NextValue("s"))]),
        ]
        for take in takes:
            with connections[DIRECT].cursor() as cursor:
                cursor.execute(f"TRUNCATE {Invoice._meta.db_table}")
            Invoice.objects.using(DIRECT).bulk_create([Invoice(number=99)])
            with waits(1), transaction.atomic(using=DIRECT):
                assert level() == "on"
                take()
                assert level() == "off"
                take()
            assert level() == "on"

    def test_what_the_session_has_set_is_left_alone(self) -> None:
        """For the session or the transaction; nothing is waited for that isn't released."""
        for scope in ("LOCAL", "SESSION"):
            for value in ("off", "local", "remote_apply"):
                with waits(0), transaction.atomic(using=DIRECT):
                    with connections[DIRECT].cursor() as cursor:
                        cursor.execute(f"SET {scope} synchronous_commit = {value}")
                    get_next_value("s", using=DIRECT)
                    assert level() == value
                if scope == "SESSION":
                    before = ask("SELECT pg_current_xact_id()")
                    create(DIRECT)
                    used = int(ask("SELECT pg_current_xact_id()")) - int(before)
                    assert used == (2 if value == "off" else 3)  # the message is a transaction
                    assert level() == value
                connections[DIRECT].close()

    def test_a_database_that_doesn_t_wait_anyway(self) -> None:
        """As its OPTIONS say."""
        assert durability(connections[ASYNC]) is None
        for way in WAYS:
            with waits(0, ASYNC):
                way(ASYNC)
        assert list(check_early_release(None, databases=[ASYNC])) == []

    def test_a_counter_that_is_exhausted_releases_nothing(self) -> None:
        """The transaction goes on, and its COMMIT waits."""
        set_last_value(MAX_VALUE, "s", using=DIRECT)
        for timeout in (None, 1.0):
            with waits(0), transaction.atomic(using=DIRECT):
                with pytest.raises(SequenceExhausted):
                    get_next_value("s", using=DIRECT, timeout=timeout)
                assert level() == "on"

    def test_a_savepoint_by_hand_costs_a_wait_at_most(self) -> None:
        """Django doesn't tell of its rollback, so the wait is left; and taking again needs it."""
        with waits(1), transaction.atomic(using=DIRECT):
            for _ in range(2):
                point = connections[DIRECT].savepoint()
                assert point is not None
                get_next_value("s", using=DIRECT)
                connections[DIRECT].savepoint_rollback(point)
                assert level() == "on"

    def test_the_default_of_a_column_releases_nothing(self) -> None:
        """Other clients evaluate it, who wait for nothing."""
        with isolate_apps("tests.numbered"), transaction.atomic(using=DIRECT):

            class Defaulted(models.Model):
                number = Numbers(db_default=NextValue("d"))

                class Meta:
                    app_label = "numbered"

                def __str__(self) -> str:
                    return f"{self.number}"

            with connections[DIRECT].schema_editor() as editor:
                editor.create_model(Defaulted)
                default = ask(
                    "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef "
                    "WHERE adrelid = 'numbered_defaulted'::regclass"
                )
                editor.delete_model(Defaulted)
            assert "sequences_next_value" in default
            assert "set_config" not in default
            assert level() == "on"

    def test_logical_decoding_sees_the_message(self) -> None:
        """With the prefix "sequences" and no text, transactional."""
        ask("SELECT pg_create_logical_replication_slot('probe', 'test_decoding')")
        create(DIRECT)
        changes = "SELECT data FROM pg_logical_slot_get_changes('probe', NULL, NULL)"
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"{changes} WHERE data LIKE 'message%'")
            assert cursor.fetchall() == [
                ("message: transactional: 1 prefix: sequences, sz: 0 content:",)
            ]
            cursor.execute("SELECT pg_drop_replication_slot('probe')")


class TestPrivilege(Server):
    def test_who_may_not_write_the_message_takes_numbers_as_ever(self) -> None:
        """A warning names the GRANT; with it the counter is released."""
        function = "FUNCTION pg_catalog.pg_logical_emit_message(boolean, text, text)"
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"REVOKE EXECUTE ON {function} FROM PUBLIC")
        with waits(0, UNPRIVILEGED), transaction.atomic(using=UNPRIVILEGED):
            get_next_value("s", using=UNPRIVILEGED)
            assert level(UNPRIVILEGED) == "on"
        (warning,) = check_early_release(None, databases=[UNPRIVILEGED, DIRECT])
        assert warning.id == "sequences_postgresql.W001"
        assert warning.hint is not None
        assert f"GRANT EXECUTE ON {function}" in warning.hint
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"GRANT EXECUTE ON {function} TO PUBLIC")
        assert list(check_early_release(None, databases=[UNPRIVILEGED])) == []
