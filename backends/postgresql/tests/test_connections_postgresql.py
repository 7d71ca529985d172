"""The kit, over connections that are made in another way than by default."""

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


@pytest.fixture(autouse=True, scope="class")
def _options(request: pytest.FixtureRequest, django_db_setup: None) -> Iterator[None]:
    """Open the connections of a class with its ``options``."""
    connection = connections[request.cls.using]
    connection.close()
    ours = connection.settings_dict["OPTIONS"]
    ours |= request.cls.options
    yield
    end_session(connection)
    for name in request.cls.options:
        del ours[name]


class TestPool(AllocatorContract):
    """psycopg's pool: who closes a connection gets it back later, as it was left."""

    using = "postgresql"
    backend = "postgresql"
    options: ClassVar[dict[str, Any]] = {"pool": {"min_size": 1, "max_size": SESSIONS}}


class TestServerSideBinding(Values, Parameters, Callables, Blocks, InStatement, EarlyRelease):
    """The server binds the parameters, by their types, of statements that are all prepared.

    This is about each statement, and not about what several of them do to each other.
    """

    using = "postgresql"
    backend = "postgresql"
    options: ClassVar[dict[str, Any]] = {"server_side_binding": True, "prepare_threshold": 0}


@pytest.mark.django_db(
    transaction=True, databases=["postgresql"], available_apps=["sequences_core"]
)
class TestSmallPool:
    """Django's default: four connections, and 30 s of waiting for one of them."""

    using = "postgresql"
    options: ClassVar[dict[str, Any]] = {"pool": True}

    def test_the_kit_refuses_it(self) -> None:
        """Its threads would wait for each other: it says how many connections it needs."""
        with pytest.raises(AssertionError, match="has 4: set a larger max_size"):
            check_pool(connections[self.using])

    def test_more_writers_than_connections(self) -> None:
        """They wait for a connection, and then for the counter, which needs no second one."""

        def take() -> int:
            try:
                return run_atomic(lambda: get_next_value("s", using=self.using), using=self.using)
            finally:
                connections[self.using].close()

        with ThreadPoolExecutor(16) as writers:
            taken = [writers.submit(take) for _ in range(200)]
        assert sorted(each.result() for each in taken) == list(range(1, 201))

    def test_a_block_that_closes_its_connection(self) -> None:
        """It has none any more, and is told that nothing was committed."""

        def close() -> None:
            get_next_value("s", using=self.using)
            connection = connections[self.using]
            with pytest.raises(DatabaseError), connection.cursor() as cursor:
                cursor.execute("SELECT no_column")
            connection.close()

        with pytest.raises(TransactionManagementError):
            run_atomic(close, using=self.using)
        assert get_last_value("s", using=self.using) is None
