"""Counters that are released before their commit is durable, on servers whose disk can be held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import django
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    OperationalError,
    connections,
    models,
    transaction,
)
from django.test.utils import CaptureQueriesContext, isolate_apps
from sequences_contrib.afterwards import renumber

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
from sequences_core.outcomes import outcome_of_block
from sequences_core.registry import get_allocator
from sequences_core.testing.base import Elsewhere
from tests.aliases import known_to_django
from tests.numbered.models import (
    Company,
    Delivery,
    Invoice,
    Patient,
    Project,
    SpecialInvoice,
    Ticket,
)
from tests.servers import PostgreSQL
from tests.servers.errors import wait_until
from tests.servers.pgbouncer import PgBouncer
from tests.servers.slow_disk import SlowPostgreSQL

(
    DIRECT,
    POOLED,
    POOLED_BOUND,
    ASYNC,
    BOUND,
    FACTORY,
    UNPRIVILEGED,
    UNPRIVILEGED_BOUND,
) = ALIASES = (
    "direct",
    "pooled",
    "pooled_bound",
    "async",
    "bound",
    "factory",
    "unprivileged",
    "unprivileged_bound",
)

Numbers = models.BigIntegerField

ASKS = 1 if django.VERSION < (6,) else 2
"""How often create() asks a field for its value; the last time, it builds the INSERT."""


@pytest.fixture(scope="module")
def server(django_db_blocker: Any) -> Iterator[PostgreSQL]:
    """A server whose log can be decoded, under the aliases above."""
    import psycopg  # not there where another database is tested

    with (
        PostgreSQL(settings={"wal_level": "logical"}) as server,
        PgBouncer(server, default_pool_size=2) as pool,
        django_db_blocker.unblock(),
        known_to_django(
            {
                DIRECT: server.url,
                POOLED: pool.url,
                POOLED_BOUND: f"{pool.url}?server_side_binding=true",
                ASYNC: f"{server.url}?options=-c%20synchronous_commit%3Doff",
                BOUND: f"{server.url}?server_side_binding=true",
                FACTORY: server.url,
                UNPRIVILEGED: server.url.replace("postgres@", "clerk@"),
                UNPRIVILEGED_BOUND: f"{server.url}?server_side_binding=true".replace(
                    "postgres@", "clerk@"
                ),
            }
        ),
    ):
        connections[FACTORY].settings_dict["OPTIONS"]["cursor_factory"] = psycopg.Cursor
        with connections[DIRECT].cursor() as cursor:
            cursor.execute("CREATE ROLE clerk LOGIN")
        with connections[DIRECT].schema_editor() as editor:
            for model in (Invoice, SpecialInvoice, Delivery, Company, Project, Ticket, Patient):
                editor.create_model(model)
        call_command("migrate", "sequences_contrib", database=DIRECT, verbosity=0)
        with connections[DIRECT].cursor() as cursor:
            cursor.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk")
        yield server


def ask(sql: str, using: str = DIRECT) -> Any:
    """Return the first value that a query finds."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
    return row and row[0]


def level(using: str = DIRECT) -> str:
    """Return what the COMMIT would wait for."""
    return str(ask("SHOW synchronous_commit", using))


@contextmanager
def held() -> Iterator[None]:
    """Prevent all commits from becoming durable in the block, by a missing standby."""

    def is_held() -> bool:
        """Does a commit wait? The sessions know that only when the checkpointer knows it."""
        probe = Elsewhere(partial(ask, "SELECT pg_logical_emit_message(true, '', '')"), DIRECT)
        probe.start()
        waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        wait_until(
            lambda: ask(f"SELECT count(*) {waiting}") or not probe.is_alive(), "Nothing happened"
        )
        # This ends the wait, not the transaction.
        found = ask(f"SELECT pg_cancel_backend(pid) {waiting}")
        probe.result()
        return bool(found)

    try:
        for value in ("nobody", ""):
            with connections[DIRECT].cursor() as cursor:
                cursor.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{value}'")
                cursor.execute("SELECT pg_reload_conf()")
            wait_until(partial(is_set, value), "The server did not read its configuration")
            if value:
                wait_until(is_held, "The commits don't wait")
                yield
    finally:
        with connections[DIRECT].cursor() as cursor:
            cursor.execute("ALTER SYSTEM RESET synchronous_standby_names")
            cursor.execute("SELECT pg_reload_conf()")


def is_set(value: str) -> bool:
    """Has the server read its configuration?"""
    return bool(ask("SHOW synchronous_standby_names") == value)


def invoices(using: str = DIRECT) -> list[int]:
    """The numbers that a session sees."""
    return list(Invoice.objects.using(using).order_by("number").values_list("number", flat=True))


def create(using: str) -> Any:
    """In autocommit the INSERT takes the number by itself."""
    return Invoice.objects.using(using).create().number


def create_in_atomic(using: str) -> Any:
    """Do the same in a transaction."""
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


def save_bound(row: Invoice) -> None:
    """In autocommit, where the wait is a statement of its own."""
    row.save(using=UNPRIVILEGED_BOUND)


def save_in_bulk(row: Invoice) -> None:
    """A list of one row."""
    Invoice.objects.using(UNPRIVILEGED_BOUND).bulk_create([row])


TRANSACTIONS = [create_in_atomic, create_after_taking, create_in_bulk, create_by_run_atomic]
WAYS = [create, *TRANSACTIONS]
ways = pytest.mark.parametrize("way", WAYS)


class Server:
    using = "postgresql"

    @pytest.fixture(autouse=True)
    def _clean(self, server: PostgreSQL, settings: Any) -> Iterator[None]:
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        settings.SEQUENCES_EARLY_RELEASE = True
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"TRUNCATE {Counter._meta.db_table}, {Invoice._meta.db_table} CASCADE")
        yield
        for alias in ALIASES:
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
            wait_until(lambda: invoices() == [1, 2], "The rows were not committed")
            next_one = Elsewhere(lambda: way(alias), alias)
            next_one.start()  # the counter isn't locked
            wait_until(lambda: invoices() == [1, 2, 3], "The rows were not committed")
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

    def test_a_wait_by_another_session_releases_nothing_in_autocommit(self) -> None:
        """A pool may execute the wait after a crash, and nobody would know of the crash."""
        create(DIRECT)
        with held():
            writer = Elsewhere(lambda: create(POOLED_BOUND), POOLED_BOUND)
            writer.start()
            assert writer.is_waiting()
            assert invoices() == [1]
        assert writer.result() == 2
        with CaptureQueriesContext(connections[POOLED_BOUND]) as queries:
            create(POOLED_BOUND)
        assert len(queries) == 1

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

    @pytest.mark.parametrize("alias", [DIRECT, BOUND, FACTORY])
    @pytest.mark.parametrize("way", TRANSACTIONS)
    def test_a_transaction_in_a_pipeline_of_the_driver(
        self, way: Callable[[str], Any], alias: str
    ) -> None:
        """A pipeline returns the rows of a statement before the server commits it."""
        create(DIRECT)
        told: list[int] = []

        def write() -> None:
            connections[alias].ensure_connection()
            with connections[alias].connection.pipeline():
                told.append(way(alias))

        with held():
            writer = Elsewhere(write, alias)
            writer.start()
            wait_until(lambda: invoices() == [1, 2], "The row was not committed")
            assert writer.is_waiting()
            assert told == []
        writer.result()
        assert told == [2]

    @pytest.mark.parametrize("way", TRANSACTIONS)
    def test_a_pipeline_that_is_cut_off_in_the_wait(self, way: Callable[[str], Any]) -> None:
        """The transaction raises an error itself, before the end of the pipeline does."""
        import psycopg

        def write() -> None:
            connections[DIRECT].ensure_connection()
            pipeline = connections[DIRECT].connection.pipeline()
            lost = pytest.raises(psycopg.OperationalError)
            with lost, pipeline, pytest.raises(DurabilityUnknown):
                way(DIRECT)

        with held():
            writer = Elsewhere(write, DIRECT)
            writer.start()
            wait_until(lambda: invoices() == [1], "The row was not committed")
            waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            wait_until(lambda: ask(f"SELECT count(*) {waiting}") == 1, "No session waits")
            ask(f"SELECT pg_terminate_backend(pid) {waiting}")
            writer.result()

    @pytest.mark.parametrize("alias", [DIRECT, BOUND])
    @pytest.mark.parametrize("way", [create, create_in_atomic])
    def test_a_statement_timeout_does_not_limit_the_wait(
        self, way: Callable[[str], Any], alias: str
    ) -> None:
        """PostgreSQL measures a statement without its commit, and the wait is that of a commit."""
        create(DIRECT)

        def write() -> Any:
            with connections[alias].cursor() as cursor:
                cursor.execute("SET statement_timeout = '200ms'")
            return way(alias)

        waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        long = f"SELECT count(*) {waiting} AND query_start < clock_timestamp() - interval '400ms'"
        with held():
            writer = Elsewhere(write, alias)
            writer.start()
            wait_until(lambda: ask(long) == 1, "The session does not wait so long")
            assert invoices() == [1, 2]
        assert writer.result() == 2

    @ways
    def test_a_session_that_is_cut_off_in_the_wait(self, way: Callable[[str], Any]) -> None:
        """The row is there, but the writer is told that its outcome is unknown."""
        created: list[Any] = []
        with held():
            writer = Elsewhere(lambda: created.append(way(DIRECT)), DIRECT)
            writer.start()
            wait_until(lambda: invoices() == [1], "The row was not committed")
            waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            wait_until(lambda: ask(f"SELECT count(*) {waiting}") == 1, "No session waits")
            ask(f"SELECT pg_terminate_backend(pid) {waiting}")
            # In autocommit the INSERT and the wait are sent together, and their answers are lost.
            with pytest.raises(OperationalError) as caught:
                writer.result()
            assert isinstance(caught.value, DurabilityUnknown) is (way is not create)
        assert created == []
        assert invoices() == [1]


@contextmanager
def waits(expected: int, using: str = DIRECT) -> Iterator[None]:
    """Assert how many waits the block sends."""
    with CaptureQueriesContext(connections[using]) as queries:
        yield
    found = [query["sql"] for query in queries if "pg_logical_emit_message" in query["sql"]]
    assert len(found) == expected, queries.captured_queries


CRASHED, CRASHED_POOLED = "crashed", "crashed_pooled"


class TestCrash:
    """The server crashes after the COMMIT, and the session that waits is one of after the crash."""

    using = "postgresql"

    @pytest.mark.parametrize("restarts", [0, 1])
    @pytest.mark.parametrize("way", TRANSACTIONS)
    def test_a_pool_connects_the_client_again(
        self, way: Callable[[str], Any], restarts: int, settings: Any, django_db_blocker: Any
    ) -> None:
        """The connection of PgBouncer's client survives the crash, but its transaction doesn't.

        A clean restart after the crash doesn't hide it.
        """
        settings.SEQUENCES_EARLY_RELEASE = True
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        with (
            SlowPostgreSQL() as server,
            PgBouncer(server) as pool,
            django_db_blocker.unblock(),
            known_to_django({CRASHED: server.url, CRASHED_POOLED: pool.url}),
        ):
            with connections[CRASHED].schema_editor() as editor:
                editor.create_model(Invoice)
            assert way(CRASHED_POOLED) == 1
            server.disk.note_what_is_not_synced()
            server.disk.hold()
            crash = crash_before_wait(server, restarts)
            with crash, pytest.raises(DurabilityUnknown, match="recovered"):
                way(CRASHED_POOLED)
            connections[CRASHED].close()
            assert invoices(CRASHED) == [1]
            assert [way(CRASHED_POOLED), way(CRASHED)] == [2, 3]


@contextmanager
def crash_before_wait(server: SlowPostgreSQL, restarts: int) -> Iterator[None]:
    """Let the power fail between the COMMIT and the wait, while syncs are held.

    Then restart the server so many times.
    """
    allocator = get_allocator(connections[CRASHED_POOLED])
    wait = allocator.wait_until_durable

    def crash(*args: Any) -> None:
        server.kill()
        server.disk.lose_power()
        server.disk.delay(0)
        server.start()
        for _ in range(restarts):
            server.stop()
            server.start()
        wait(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allocator, "wait_until_durable", crash)
        yield


class TestTogether(Server):
    """In autocommit the INSERT and the wait are one round trip."""

    def test_a_wrong_setting_leaves_no_wrapper(self, settings: Any) -> None:
        """Otherwise it would add a wait to the next statements of the connection."""
        settings.SEQUENCES_SLOW_WAIT = "1"
        with pytest.raises(ImproperlyConfigured):
            create(DIRECT)
        assert connections[DIRECT].execute_wrappers == []

    @pytest.mark.parametrize("slow", [None, 5])
    def test_create_is_one_statement(self, slow: float | None, settings: Any) -> None:
        """It uses two transactions: that of the row and that of the message; measured or not."""
        settings.SEQUENCES_SLOW_WAIT = slow
        before = int(ask("SELECT pg_current_xact_id()"))
        with CaptureQueriesContext(connections[DIRECT]) as queries:
            assert create(DIRECT) == 1
        assert len(queries) == 1
        assert int(ask("SELECT pg_current_xact_id()")) == before + 3

    def test_an_insert_that_fails_leaves_no_transaction_open(self) -> None:
        """The original error is raised, the number is given back, and the session can be used."""
        create(DIRECT)
        set_last_value(0, "invoices", force=True, using=DIRECT)
        row = Invoice(note="x")
        with pytest.raises(IntegrityError, match="behind the highest number 1"):
            row.save(using=DIRECT)
        assert row.pk is None
        assert {row.number} == {None}
        assert connections[DIRECT].connection.info.transaction_status == 0
        set_last_value(1, "invoices", using=DIRECT)
        row.save(using=DIRECT)
        assert row.number == 2
        with pytest.raises(DataError):
            Invoice.objects.using(DIRECT).create(note="x" * 51)
        assert create(DIRECT) == 3

    def test_a_commit_that_fails_is_not_taken_for_a_wait(self) -> None:
        """A deferred constraint is checked by the COMMIT."""
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(
                "CREATE TABLE odd (note text PRIMARY KEY); INSERT INTO odd VALUES ('good');"
                "ALTER TABLE numbered_invoice ADD CONSTRAINT odd FOREIGN KEY (note) "
                "REFERENCES odd DEFERRABLE INITIALLY DEFERRED"
            )
        try:
            with pytest.raises(IntegrityError, match="odd"):
                Invoice.objects.using(DIRECT).create(note="bad")
            assert Invoice.objects.using(DIRECT).create(note="good").number == 1
            assert invoices() == [1]
        finally:
            with connections[DIRECT].cursor() as cursor:
                cursor.execute("ALTER TABLE numbered_invoice DROP CONSTRAINT odd; DROP TABLE odd")

    def test_a_number_that_is_given_is_sent_alone(self) -> None:
        """Only a statement that takes a number is followed by a wait."""
        with waits(1):  # of the transaction that moves the counter
            Invoice.objects.using(DIRECT).create(number=7)
        assert create(DIRECT) == 8

    def test_an_insert_that_others_have_added_statements_to(self) -> None:
        """They skip the results of theirs, as django-pghistory's contexts do; nothing waits."""

        def inject(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if not sql.startswith("INSERT"):
                return execute(sql, params, many, context)
            sql = f"SELECT set_config('app.user', %s, true); {sql}"
            result = execute(sql, ("clerk", *params), many, context)
            while context["cursor"].nextset():
                pass
            return result

        with waits(0), connections[DIRECT].execute_wrapper(inject):
            row = Invoice.objects.using(DIRECT).create()
        assert row == Invoice.objects.using(DIRECT).get(number=1)

    @pytest.mark.parametrize("alias", [DIRECT, BOUND, FACTORY])
    @pytest.mark.parametrize("begin", ["by SQL", "by the driver"])
    def test_a_transaction_that_django_does_not_know_of(self, begin: str, alias: str) -> None:
        """An INSERT in it doesn't commit it, and its COMMIT waits."""
        connections[alias].ensure_connection()
        with waits(0, alias):
            if begin == "by SQL":
                with connections[alias].cursor() as cursor:
                    cursor.execute("BEGIN")
                    create(alias)
                    assert level(alias) == "on"
                    cursor.execute("ROLLBACK")
            else:
                with connections[alias].connection.transaction(force_rollback=True):
                    create(alias)
                    assert level(alias) == "on"
        assert invoices() == []

    @pytest.mark.parametrize("alias", [DIRECT, BOUND, FACTORY])
    def test_a_pipeline_of_the_driver(self, alias: str) -> None:
        """A pipeline supports only one statement at a time, and its COMMIT waits."""
        create(alias)
        with waits(0, alias), connections[alias].connection.pipeline():
            assert create(alias) == 2
            assert level(alias) == "on"

    @pytest.mark.parametrize("in_atomic", [False, True])
    def test_a_field_that_inserts_another_row(
        self, in_atomic: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While Django asks it for its value: each row has its own transaction."""

        asked: list[Invoice] = []

        def pre_save(row: Invoice, add: bool) -> str:
            if row.note != "outer":
                return row.note
            asked.append(row)
            if len(asked) < ASKS:
                return row.note
            if not in_atomic:
                assert create(DIRECT) == 1
                return row.note
            with transaction.atomic(using=DIRECT):
                assert create(DIRECT) == 1
                transaction.set_rollback(True, using=DIRECT)
            return row.note

        monkeypatch.setattr(Invoice._meta.get_field("note"), "pre_save", pre_save, raising=False)
        with CaptureQueriesContext(connections[DIRECT]) as queries:
            outer = Invoice.objects.using(DIRECT).create(note="outer")
        begins = [query["sql"].count("BEGIN") for query in queries]
        assert begins == ([1, 0, 0, 1] if in_atomic else [1, 1])
        assert outer == Invoice.objects.using(DIRECT).get(number=1 if in_atomic else 2)
        assert len(invoices()) == (1 if in_atomic else 2)

    @pytest.mark.parametrize("kind", ["SQL", "Composed", "bytes"])
    def test_a_statement_of_the_driver_s_own_type(
        self, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A field executes it while Django asks for its value."""
        from psycopg import sql

        statements: dict[str, Any] = {
            "SQL": sql.SQL("SELECT 1"),
            "Composed": sql.SQL("SELECT {}").format(1),
        }

        def pre_save(row: Invoice, add: bool) -> str:
            with connections[DIRECT].cursor() as cursor:
                cursor.execute(statements.get(kind, b"SELECT 1"))
            return row.note

        monkeypatch.setattr(Invoice._meta.get_field("note"), "pre_save", pre_save, raising=False)
        with waits(1):
            assert create(DIRECT) == 1

    def test_a_connection_that_a_field_closes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Django's error is raised, and no wrapper stays behind or is taken away from others."""

        def watch(execute: Any, *args: Any) -> Any:
            return execute(*args)

        asked: list[Invoice] = []

        def pre_save(row: Invoice, add: bool) -> str:
            asked.append(row)
            if len(asked) < ASKS:
                return row.note
            connections[DIRECT].close()
            connections[DIRECT].execute_wrappers.append(watch)  # for good
            return row.note

        with monkeypatch.context() as patch:
            patch.setattr(Invoice._meta.get_field("note"), "pre_save", pre_save, raising=False)
            with pytest.raises(OperationalError, match="closed"):
                create(DIRECT)
        assert connections[DIRECT].execute_wrappers == [watch]
        connections[DIRECT].execute_wrappers.remove(watch)
        assert create(DIRECT) == 1

    def test_an_insert_that_fails_is_logged(self) -> None:
        """The log has the text of the INSERT, not of the ROLLBACK after it."""
        with CaptureQueriesContext(connections[DIRECT]) as queries, pytest.raises(DataError):
            Invoice.objects.using(DIRECT).create(note="x" * 51)
        (query,) = queries
        assert "INSERT INTO" in query["sql"]

    @pytest.mark.parametrize("alias", [DIRECT, BOUND, FACTORY])
    def test_parameters_that_the_server_binds(self, alias: str) -> None:
        """They allow only one statement at a time, so the wait is a separate statement."""
        with CaptureQueriesContext(connections[alias]) as queries, waits(1, alias):
            assert create(alias) == 1
        assert len(queries) == (1 if alias == DIRECT else 2)
        with waits(1, alias):
            assert create_after_taking(alias) == 2


class TestLevel(Server):
    """The value of synchronous_commit in the transaction, and after it."""

    def test_each_take_releases_its_transaction(self) -> None:
        """Each take is released, and leaves nothing in the session."""
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
                cursor.execute(f"TRUNCATE {Invoice._meta.db_table} CASCADE")
            Invoice.objects.using(DIRECT).bulk_create([Invoice(number=99)])
            with waits(1), transaction.atomic(using=DIRECT):
                assert level() == "on"
                take()
                assert level() == "off"
                take()
            assert level() == "on"

    def test_what_the_session_has_set_is_left_alone(self) -> None:
        """Settings of the session or transaction are kept; without a release, there is no wait."""
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
        """If the OPTIONS turn synchronous_commit off, nothing is changed."""
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
        """Other clients evaluate it, too, and they don't wait."""
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


def function() -> str:
    """The function that writes the message, whose parameters PostgreSQL 17 has added to."""
    return f"FUNCTION {ask('SELECT 3577::regprocedure')}"


class TestPrivilege(Server):
    @pytest.fixture(autouse=True)
    def _granted(self, _clean: None) -> Iterator[None]:
        yield
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"GRANT EXECUTE ON {function()} TO PUBLIC")

    @ways
    def test_who_may_no_longer_write_the_message(self, way: Callable[[str], Any]) -> None:
        """The wait fails, and so does the call; the row is committed and the session goes on."""
        assert way(UNPRIVILEGED) == 1
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"REVOKE EXECUTE ON {function()} FROM PUBLIC")
        with pytest.raises(DatabaseError, match="permission denied for function") as caught:
            way(UNPRIVILEGED)
        assert isinstance(caught.value, DurabilityUnknown) is (way is not create)
        assert invoices(UNPRIVILEGED) == [1, 2]

    @pytest.mark.parametrize(
        ("model", "way"),
        [(Invoice, save_bound), (SpecialInvoice, save_bound), (Invoice, save_in_bulk)],
    )
    def test_rows_know_their_numbers_when_the_wait_fails(
        self, model: type[Invoice], way: Callable[[Invoice], Any]
    ) -> None:
        """The rows are stored, so saving an instance again neither duplicates nor clears it."""
        create(UNPRIVILEGED_BOUND)
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"REVOKE EXECUTE ON {function()} FROM PUBLIC")
        row = model()
        with pytest.raises(DurabilityUnknown) as caught:
            way(row)
        assert caught.value.using == UNPRIVILEGED_BOUND
        assert row.pk is not None
        assert row.number == 2
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"GRANT EXECUTE ON {function()} TO PUBLIC")
        row.note = "once more"
        row.save(using=UNPRIVILEGED_BOUND)
        assert row.number == 2
        assert invoices() == [1, 2]
        assert create(UNPRIVILEGED_BOUND) == 3

    def test_a_number_that_is_the_primary_key_when_the_wait_fails(self) -> None:
        """The row is stored, so saving its instance again doesn't insert another row."""
        using = UNPRIVILEGED_BOUND
        create(using)
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"REVOKE EXECUTE ON {function()} FROM PUBLIC")
        patients = [Patient(), Patient()]

        @transaction.atomic(using=using)
        def save() -> None:
            outcome_of_block(connections[using])  # as if a row had been changed before
            for patient in patients:
                patient.save(using=using)
            assert len(connections[using].run_on_commit) == 2  # One is the wait.

        with pytest.raises(DurabilityUnknown):
            save()
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"GRANT EXECUTE ON {function()} TO PUBLIC")
        for patient in patients:
            patient.save(using=using)
        assert sorted(Patient.objects.using(using).values_list("pk", flat=True)) == [1, 2]

    def test_a_row_that_is_numbered_later_knows_its_number_when_the_wait_fails(self) -> None:
        """After posting or moving, saving again doesn't restore the old number."""
        using = UNPRIVILEGED_BOUND
        delivery = Delivery.objects.using(using).create()
        projects = [Project.objects.using(using).create(code=code) for code in "ab"]
        ticket = Ticket.objects.using(using).create(project=projects[0])
        Ticket.objects.using(using).create(project=projects[1])
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"REVOKE EXECUTE ON {function()} FROM PUBLIC")
        delivery.posted = True
        ticket.project = projects[1]
        with pytest.raises(DurabilityUnknown):
            delivery.save(using=using)
        with pytest.raises(DurabilityUnknown):
            renumber(ticket, using=using)
        assert (delivery.number, ticket.number) == (1, 2)
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"GRANT EXECUTE ON {function()} TO PUBLIC")
        for row in (delivery, ticket):
            row.save(using=using)
            row.refresh_from_db()
        assert (delivery.number, ticket.number) == (1, 2)
        assert Delivery.objects.using(using).create(posted=True).number == 2

    def test_who_may_not_write_the_message_takes_numbers_as_ever(self) -> None:
        """A warning names the GRANT; with it the counter is released."""
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"REVOKE EXECUTE ON {function()} FROM PUBLIC")
        with waits(0, UNPRIVILEGED), transaction.atomic(using=UNPRIVILEGED):
            get_next_value("s", using=UNPRIVILEGED)
            assert level(UNPRIVILEGED) == "on"
        (warning,) = check_early_release(None, databases=[UNPRIVILEGED, DIRECT])
        assert warning.id == "sequences_postgresql.W001"
        assert warning.hint is not None
        assert "GRANT EXECUTE ON FUNCTION pg_catalog.pg_logical_emit_message(" in warning.hint
        with connections[DIRECT].cursor() as cursor:
            cursor.execute(f"GRANT EXECUTE ON {function()} TO PUBLIC")
        assert list(check_early_release(None, databases=[UNPRIVILEGED])) == []
