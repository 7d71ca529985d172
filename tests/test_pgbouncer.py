"""PgBouncer: what one client leaves in a session, the next one finds there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from sequences_core import SequenceLocked, get_next_value, get_next_values, run_atomic
from sequences_core.models import Counter
from tests.aliases import known_to_django
from tests.servers import PostgreSQL
from tests.servers.pgbouncer import PgBouncer

DIRECT, POOLED, BY_STATEMENT = "direct", "pooled", "by_statement"


@pytest.fixture(scope="module")
def pool(django_db_blocker: Any) -> Iterator[None]:
    """A database under several aliases: DIRECT, and by way of PgBouncer in each of its modes."""
    with (
        PostgreSQL() as server,
        PgBouncer(server) as pool,
        PgBouncer(server, pool_mode="statement") as by_statement,
        django_db_blocker.unblock(),
        known_to_django({DIRECT: server.url, POOLED: pool.url, BY_STATEMENT: by_statement.url}),
    ):
        yield


class TestTransactionMode:
    using = "postgresql"

    @pytest.fixture(autouse=True)
    def _no_counters(self, pool: None, settings: Any) -> None:
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        Counter.objects.using(DIRECT).all().delete()

    def session(self) -> tuple[int, str]:
        """Return the session's id and its lock_timeout, as a new client of the pool finds them."""
        connections[POOLED].close()
        with connections[POOLED].cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid(), current_setting('lock_timeout')")
            row: tuple[int, str] = cursor.fetchone()
        return row

    def test_a_timeout_is_not_left_to_the_next_client(self) -> None:
        """After takes with a timeout, in and out of a transaction, lock_timeout is as before."""
        before = self.session()
        assert before[1] == "0"
        for kwargs in ({"timeout": 0.1}, {"nowait": True}):
            get_next_value("s", using=POOLED, **kwargs)
            assert self.session() == before
            with transaction.atomic(using=POOLED):
                get_next_value("s", using=POOLED, **kwargs)
                get_next_values(2, "b", using=POOLED, **kwargs)
                get_next_value("l", 1, 3, using=POOLED, **kwargs)
                get_next_value("c", lambda: 1, using=POOLED, **kwargs)
            assert self.session() == before

    def test_a_timeout_that_has_passed_is_not_left_either(self) -> None:
        """The same when the counter, or its creation, was locked by another transaction."""
        get_next_value("s", using=DIRECT)
        before = self.session()
        with transaction.atomic(using=DIRECT):
            for name in ("s", "new"):
                get_next_value(name, using=DIRECT)
            for name in ("s", "new"):
                with pytest.raises(SequenceLocked):
                    get_next_value(name, using=POOLED, timeout=0.1)
                assert self.session() == before
                with pytest.raises(SequenceLocked), transaction.atomic(using=POOLED):
                    get_next_value(name, using=POOLED, nowait=True)
                assert self.session() == before
                with transaction.atomic(using=POOLED):
                    with pytest.raises(SequenceLocked), transaction.atomic(using=POOLED):
                        get_next_value(name, using=POOLED, nowait=True)
                    get_next_value("free", using=POOLED)
                assert self.session() == before

    def test_early_release_is_not_left_to_the_next_client(self, settings: Any) -> None:
        """The transaction's commit is not waited for, and the session's next ones are."""
        settings.SEQUENCES_EARLY_RELEASE = {POOLED: True}
        before = self.session()
        with transaction.atomic(using=POOLED):
            get_next_value("s", using=POOLED)
            assert self.synchronous_commit() == "off"
        assert self.session() == before
        assert self.synchronous_commit() == "on"

    def synchronous_commit(self) -> str:
        """Return what the COMMITs of this client wait for."""
        with connections[POOLED].cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            return str(cursor.fetchone()[0])

    def test_a_session_setting_would_be_left(self) -> None:
        """The tests above use the right session: a client finds what another one has SET."""
        before = self.session()
        for statement, found in (("SET lock_timeout = '5s'", "5s"), ("RESET lock_timeout", "0")):
            with connections[POOLED].cursor() as cursor:
                cursor.execute(statement)
            assert self.session() == (before[0], found)


REFUSAL = "not allowed in statement pooling mode"


class TestStatementMode:
    using = "postgresql"

    @pytest.fixture(autouse=True)
    def _no_counters(self, pool: None, settings: Any) -> None:
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        Counter.objects.using(DIRECT).all().delete()

    def test_a_transaction_is_refused(self) -> None:
        """Statement pooling lacks the transactions that numbers need; nothing is taken."""
        for timeout in (None, 1):
            take = partial(get_next_value, "s", using=BY_STATEMENT, timeout=timeout)
            with pytest.raises(OperationalError, match=REFUSAL), transaction.atomic(BY_STATEMENT):
                take()
            with pytest.raises(OperationalError, match=REFUSAL):
                run_atomic(take, using=BY_STATEMENT)
        assert not Counter.objects.using(DIRECT).exists()

    def test_a_statement_is_allowed(self) -> None:
        """Numbers that are taken in autocommit are statements by themselves, and exact."""
        for expected in (1, 2, 3):
            assert get_next_value("s", using=BY_STATEMENT) == expected
            assert get_next_value("t", using=BY_STATEMENT, timeout=1) == expected
            assert get_next_value("c", lambda: 1, using=BY_STATEMENT) == expected
        assert get_next_values(3, "s", using=BY_STATEMENT) == range(4, 7)
