"""With ``innodb_rollback_on_timeout``, a lock wait timeout undoes the whole transaction."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction
from django.db.transaction import TransactionManagementError

from sequences_core import get_last_value, get_next_value, run_atomic
from sequences_core.models import Counter
from sequences_core.table import TABLE
from tests.aliases import known_to_django
from tests.servers import MariaDB, MySQL
from tests.servers.launch import chosen

KINDS = {kind.name: kind for kind in (MariaDB, MySQL)}
LEVELS = ("READ COMMITTED", "REPEATABLE READ")


@pytest.fixture(
    scope="module", params=[name for name in chosen(os.environ.get("DB")) if name in KINDS]
)
def server(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[str]:
    name = f"rolling back {request.param}"
    with (
        KINDS[request.param](settings={"innodb_rollback_on_timeout": "ON"}) as server,
        django_db_blocker.unblock(),
        known_to_django({name: server.url}),
    ):
        yield name


@pytest.fixture
def alias(server: str, settings: Any) -> Iterator[str]:
    settings.SEQUENCES_AUTOCOMMIT = "allow"
    for name in ("a", "b", "z"):
        get_next_value(name, using=server)
    with connections[server].cursor() as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
    yield server
    connections[server].close()
    Counter.objects.using(server).all().delete()


@contextmanager
def locked(name: str, alias: str) -> Iterator[None]:
    """Let another transaction lock the counter or, if there is none, the gap in the index."""
    with closing(connections[alias].copy()) as other:
        with other.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            other.set_autocommit(False)
            cursor.execute(f"UPDATE {TABLE} SET last = last + 1 WHERE name = %s", [name])
        yield


def set_isolation_level(level: str, alias: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("bound", [{"nowait": True}, {"timeout": 1}, {}], ids=str)
@pytest.mark.parametrize("name", ["b", "c"], ids=["counter", "gap"])
def test_django_knows_what_a_timeout_has_undone(
    alias: str, name: str, bound: dict[str, Any], level: str
) -> None:
    """After a caught timeout, the transaction is whole, or is marked for rollback."""
    set_isolation_level(level, alias)
    with locked("b" if name == "b" else "d", alias), transaction.atomic(using=alias):
        assert get_next_value("a", using=alias) == 2
        with suppress(DatabaseError):
            get_next_value(name, using=alias, **bound)
        marked = connections[alias].needs_rollback
    assert get_last_value("a", using=alias) == (1 if marked else 2)


def test_run_atomic_returns_nothing_that_was_undone(alias: str) -> None:
    """A block that catches the timeout of a statement of its own has lost its number."""

    def block() -> int:
        number = get_next_value("a", using=alias)
        with suppress(DatabaseError), connections[alias].cursor() as cursor:
            cursor.execute(f"UPDATE {TABLE} SET last = last WHERE name = 'b'")
        return number

    with locked("b", alias), pytest.raises(TransactionManagementError, match="rolled back"):
        run_atomic(block, using=alias)
    assert run_atomic(block, using=alias) == 2
