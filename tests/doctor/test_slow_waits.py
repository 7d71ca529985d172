"""The warning of ``SEQUENCES_SLOW_WAIT`` names the holder of the counter."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import connections

from sequences_core import get_last_value
from tests.blocked import HELD, SLOW, locked, take, waits

from .conftest import another
from .reading import only


@pytest.fixture(autouse=True)
def _warnings(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.SEQUENCES_AUTOCOMMIT = "allow"
    settings.SEQUENCES_SLOW_WAIT = SLOW
    caplog.set_level(logging.WARNING, "sequences_core")


def test_a_slow_wait_is_a_warning_with_the_holder(
    alias: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning has the seconds and the names, and the holder if the server provides it."""
    take(alias)
    with locked(alias, lambda: take(alias)) as holder:
        (record,) = waits(caplog)
    assert record.levelno == logging.WARNING
    assert HELD / 2 < record.seconds < 60
    assert (record.sequence, record.using, record.holder) == ("s", alias, holder)
    by = f", locked by session {holder}" if holder else ""
    assert record.getMessage() == (
        f"waited {record.seconds:.4f} s for sequence 's' of database '{alias}'{by}"
    )
    assert get_last_value("s", using=alias) == 3


def test_of_a_queue_the_first_one_is_the_holder(
    alias: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Sessions that wait themselves are not named as holders."""
    take(alias)
    with locked(alias, *[lambda: take(alias)] * 3) as holder:
        slow = [record for record in waits(caplog) if record.levelno == logging.WARNING]
    assert len(slow) == 3
    assert {record.holder for record in slow} == {holder}


def test_an_empty_pool_does_not_hide_the_holder(
    alias: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The query needs no connection of the pool, which waiting threads may have used up."""
    only(alias, "postgresql")
    take(alias)
    pool = {"min_size": 2, "max_size": 2, "timeout": 5}
    with another(alias, "pooled", OPTIONS={"pool": pool}, CONN_MAX_AGE=0) as pooled:
        with locked(pooled, lambda: take(pooled)) as holder:
            pass
        pooled_connection: Any = connections[pooled]
        pooled_connection.close()
        pooled_connection.close_pool()
    assert [record.holder for record in waits(caplog)] == [holder]
