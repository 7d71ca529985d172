"""A server that goes away, and comes back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from django.db import OperationalError, connections, transaction

from sequences_core import delete, get_last_value, get_next_value, set_last_value
from tests.aliases import known_to_django
from tests.servers import Server
from tests.servers.launch import KINDS, chosen


class Private(NamedTuple):
    """A server of our own, and two of Django's connections to it, kept by CONN_MAX_AGE."""

    server: Server
    busy: str
    idle: str


@pytest.fixture(params=[name for name in chosen(os.environ.get("DB")) if name in KINDS])
def private(
    request: pytest.FixtureRequest, settings: Any, django_db_blocker: Any
) -> Iterator[Private]:
    settings.SEQUENCES_AUTOCOMMIT = "allow"
    aliases = [f"busy {request.param}", f"idle {request.param}"]
    with (
        KINDS[request.param]() as server,
        django_db_blocker.unblock(),
        known_to_django(dict.fromkeys(aliases, server.url)),
    ):
        yield Private(server, *aliases)


def next_request(alias: str) -> None:
    """Do with each connection what Django does between two requests."""
    connections[alias].close_if_unusable_or_obsolete()


def take(alias: str) -> int:
    with transaction.atomic(using=alias):
        return get_next_value(using=alias)


def expect_djangos_error(call: Callable[..., object], **kwargs: Any) -> None:
    with pytest.raises(OperationalError) as caught:
        call(**kwargs)
    assert type(caught.value) is OperationalError  # and none of ours


def test_a_dead_server_is_djangos_error_until_it_is_back(private: Private) -> None:
    """While it is down each call raises OperationalError, unchanged; once it is back all work."""
    server, busy, idle = private
    assert [take(busy), take(idle)] == [1, 2]

    def lose_the_server() -> None:
        with transaction.atomic(using=busy):
            assert get_next_value(using=busy) == 3
            server.stop()
            expect_djangos_error(get_next_value, using=busy)
            # The error is swallowed; that there is no commit must be said all the same.

    expect_djangos_error(lose_the_server)
    for _ in range(2):
        next_request(busy)
        expect_djangos_error(get_next_value, using=busy, nowait=True)
        expect_djangos_error(get_next_value, using=busy, timeout=1)
        expect_djangos_error(get_last_value, using=busy)
        expect_djangos_error(set_last_value, using=busy, value=5)
        expect_djangos_error(delete, using=busy)

    server.start()
    next_request(busy)
    assert take(busy) == 3
    # A connection from before: its first call finds out, and after that all is well.
    expect_djangos_error(take, alias=idle)
    next_request(idle)
    assert take(idle) == 4
    assert get_last_value(using=busy) == 4
