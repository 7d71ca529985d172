"""PgBouncer in transaction mode: what one client leaves in a session, the next one finds there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, transaction

from sequences_core import SequenceLocked, get_next_value, get_next_values
from sequences_core.models import Counter
from tests.aliases import known_to_django
from tests.servers import PostgreSQL
from tests.servers.pgbouncer import PgBouncer

DIRECT, POOLED = "direct", "pooled"


@pytest.fixture(scope="module")
def pool(django_db_blocker: Any) -> Iterator[None]:
    """A database under two aliases: DIRECT, and POOLED by way of PgBouncer."""
    with (
        PostgreSQL() as server,
        PgBouncer(server) as pool,
        django_db_blocker.unblock(),
        known_to_django({DIRECT: server.url, POOLED: pool.url}),
    ):
        yield


class TestPgBouncer:
    using = "postgresql"

    @pytest.fixture(autouse=True)
    def _no_counters(self, pool: None, settings: Any) -> None:
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        Counter.objects.using(DIRECT).all().delete()

    def session(self) -> tuple[int, str]:
        """What a new client of the pool finds: the session's id, and its lock_timeout."""
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

    def test_a_session_setting_would_be_left(self) -> None:
        """So the tests above look at the right session: SET by one client is found by the next."""
        before = self.session()
        for statement, found in (("SET lock_timeout = '5s'", "5s"), ("RESET lock_timeout", "0")):
            with connections[POOLED].cursor() as cursor:
                cursor.execute(statement)
            assert self.session() == (before[0], found)
