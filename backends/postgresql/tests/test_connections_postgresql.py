"""The kit with other kinds of connections than the default."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from django.db import DatabaseError, connections
from django.db.transaction import TransactionManagementError

from sequences_core import get_last_value, get_next_value, run_atomic
from sequences_core.testing import AllocatorContract
from sequences_core.testing.blocks import Blocks
from sequences_core.testing.callables import Callables
from sequences_core.testing.early import EarlyRelease
from sequences_core.testing.expressions import InStatement
from sequences_core.testing.parameters import Parameters
from sequences_core.testing.values import Values
from sequences_core.testing.vendors import SESSIONS, check_pool, end_session


def close_all() -> None:
    """Close all connections: "default" has the same settings, and may be open after other tests."""
    for connection in connections.all(initialized_only=True):
        connection.close()


@pytest.fixture(autouse=True, scope="class")
def _options(request: pytest.FixtureRequest, django_db_setup: None) -> Iterator[None]:
    """Open connections with the ``options`` of the test class."""
    connection = connections[request.cls.using]
    close_all()
    ours = connection.settings_dict["OPTIONS"]
    ours |= request.cls.options
    yield
    close_all()
    end_session(connection)
    for name in request.cls.options:
        del ours[name]


class TestPool(AllocatorContract):
    """psycopg's pool, which reuses closed connections without a reset."""

    using = "postgresql"
    backend = "postgresql"
    options: ClassVar[dict[str, Any]] = {"pool": {"min_size": 1, "max_size": SESSIONS}}


class TestServerSideBinding(Values, Parameters, Callables, Blocks, InStatement, EarlyRelease):
    """The server binds typed parameters, and all statements are prepared.

    Only tests of single statements are included, not those of concurrency.
    """

    using = "postgresql"
    backend = "postgresql"
    options: ClassVar[dict[str, Any]] = {"server_side_binding": True, "prepare_threshold": 0}


@pytest.mark.django_db(
    transaction=True, databases=["postgresql"], available_apps=["sequences_core"]
)
class TestSmallPool:
    """Django's default pool: four connections, and a timeout of 30 s."""

    using = "postgresql"
    options: ClassVar[dict[str, Any]] = {"pool": True}

    def test_the_kit_refuses_it(self) -> None:
        """The kit refuses a small pool and says how many connections it needs."""
        with pytest.raises(AssertionError, match="allows 4: set a larger max_size"):
            check_pool(connections[self.using])

    def test_more_writers_than_connections(self) -> None:
        """More writers than connections all succeed: taking a number needs no second connection."""

        def take() -> int:
            try:
                return run_atomic(lambda: get_next_value("s", using=self.using), using=self.using)
            finally:
                connections[self.using].close()

        with ThreadPoolExecutor(16) as writers:
            taken = [writers.submit(take) for _ in range(200)]
        assert sorted(each.result() for each in taken) == list(range(1, 201))

    def test_a_block_that_closes_its_connection(self) -> None:
        """A block that closes its connection gets an error, because nothing was committed."""

        def close() -> None:
            get_next_value("s", using=self.using)
            connection = connections[self.using]
            with pytest.raises(DatabaseError), connection.cursor() as cursor:
                cursor.execute("SELECT no_column")
            connection.close()

        with pytest.raises(TransactionManagementError):
            run_atomic(close, using=self.using)
        assert get_last_value("s", using=self.using) is None
