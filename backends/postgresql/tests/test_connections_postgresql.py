"""The kit, over connections that are made in another way than by default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from django.db import connections

from sequences_core.testing import AllocatorContract
from sequences_core.testing.vendors import SESSIONS, end_session


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


class TestServerSideBinding(AllocatorContract):
    """The server binds the parameters, by their types, of statements that are all prepared."""

    using = "postgresql"
    backend = "postgresql"
    options: ClassVar[dict[str, Any]] = {"server_side_binding": True, "prepare_threshold": 0}
