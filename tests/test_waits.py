"""How long takings wait, in the log: of counters that are really locked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from sequences_core import (
    SequenceLocked,
    get_last_value,
    get_next_blocks,
    get_next_value,
    get_next_values,
)
from sequences_core import waits as watching
from sequences_core.testing.threads import Elsewhere
from tests.blocked import HELD, SLOW, locked, take, waits
from tests.numbered.models import Invoice
from tests.privileges import connected_as

APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.admin",
    "tests.numbered",
]


@pytest.fixture(autouse=True)
def _allow_autocommit(settings: Any) -> None:
    settings.SEQUENCES_AUTOCOMMIT = "allow"


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Callable[[], list[Any]]:
    """Return the log records of waits so far."""
    caplog.set_level(logging.WARNING, "sequences_core")
    return lambda: waits(caplog)


def test_without_the_setting_nothing_is_a_warning(
    using: str, records: Callable[[], list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """Waits are logged only at level DEBUG, which can be enabled at any time."""
    with locked(using, lambda: take(using)):
        assert records() == []
    caplog.set_level(logging.DEBUG, "sequences_core")
    take(using)
    (record,) = records()
    assert (record.levelname, record.sequence, record.holder) == ("DEBUG", "s", None)
    with locked(using, lambda: take(using)):
        *_, waited = records()
    assert waited.levelname == "DEBUG"
    assert waited.seconds > HELD / 2 > record.seconds


def test_a_wait_in_vain_is_logged_too(
    using: str, settings: Any, records: Callable[[], list[Any]]
) -> None:
    """The error is what it is without the log."""
    settings.SEQUENCES_SLOW_WAIT = SLOW
    take(using)

    def wait() -> None:
        with pytest.raises(SequenceLocked):
            take(using, timeout=1)

    with transaction.atomic(using=using):
        get_next_value("s", using=using)
        thread = Elsewhere(wait, using)
        thread.start()
        thread.result()
    assert [record.levelname for record in records()] == ["WARNING"]


EVERY_WAY: dict[str, tuple[Callable[[str], Any], list[str]]] = {
    "blocks": (lambda using: get_next_blocks({"b": 1, "a": 2}, using=using), ["a", "b"]),
    "values": (lambda using: get_next_values(3, "s", using=using), ["s"]),
    "callable": (lambda using: get_next_value("s", lambda: 7, using=using), ["s"]),
    "field": (lambda using: Invoice.objects.using(using).create(), ["invoices"]),
    "bulk": (lambda using: Invoice.objects.using(using).bulk_create([Invoice()]), ["invoices"]),
}


@pytest.mark.parametrize("way", EVERY_WAY)
@pytest.mark.parametrize("in_transaction", [True, False])
def test_every_way_to_take_numbers_is_measured(
    way: str,
    in_transaction: bool,
    using: str,
    records: Callable[[], list[Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Measuring sends no statement."""
    function, names = EVERY_WAY[way]
    function(using)

    def run() -> int:
        with CaptureQueriesContext(connections[using]) as queries:
            if in_transaction:
                with transaction.atomic(using=using):
                    function(using)
            else:
                function(using)
        return len(queries)

    unmeasured = run()
    assert records() == []
    caplog.set_level(logging.DEBUG, "sequences_core")
    assert run() == unmeasured
    assert [record.sequence for record in records()] == names


def test_a_server_that_tells_nothing(
    using: str, settings: Any, records: Callable[[], list[Any]]
) -> None:
    """Without the privilege to read locks, the warning has no names, and the number is taken."""
    if connections[using].vendor != "mysql":  # PostgreSQL tells everybody
        return
    settings.SEQUENCES_SLOW_WAIT = SLOW
    take(using)
    with connected_as(using, "SELECT", "INSERT", "UPDATE"), locked(using, lambda: take(using)):
        (record,) = records()
    assert record.levelno == logging.WARNING
    assert record.holder is None
    assert get_last_value("s", using=using) == 3


def test_the_watcher_is_one_thread_and_ends_with_the_setting(using: str, settings: Any) -> None:
    """Takings that aren't slow leave nothing behind."""

    def watchers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "sequences-waits"]

    settings.SEQUENCES_SLOW_WAIT = 0.01
    for _ in range(3):
        take(using)
    (watcher,) = watchers()
    assert not getattr(watcher, "waits")  # noqa: B009 # unknown to Thread
    settings.SEQUENCES_SLOW_WAIT = None
    watcher.join(5)
    assert watchers() == []


@pytest.mark.parametrize("wrong", ["1", True, -1, float("nan"), [], 10**9], ids=str)
def test_a_wrong_value_is_an_error(using: str, settings: Any, wrong: object) -> None:
    """ImproperlyConfigured where a number would be taken, and a check that says the same."""
    settings.SEQUENCES_SLOW_WAIT = wrong
    for taking in (lambda: take(using), lambda: Invoice.objects.using(using).create()):
        with pytest.raises(
            ImproperlyConfigured, match="SEQUENCES_SLOW_WAIT must be a number of sec"
        ):
            taking()
    assert get_last_value("s", using=using) is None
    assert get_last_value("invoices", using=using) is None
    (error,) = [found for found in run_checks(databases=[]) if found.id == "sequences_core.E005"]
    assert repr(wrong) in error.msg


@pytest.mark.parametrize("broken", ["start", "copy"])
def test_a_holder_that_cannot_be_looked_for(
    using: str,
    broken: str,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    records: Callable[[], list[Any]],
) -> None:
    """Where no thread can be started, or no connection made, numbers are taken all the same."""
    settings.SEQUENCES_SLOW_WAIT = SLOW
    raised: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)

    def fail(*args: Any) -> None:
        raise RuntimeError("can't")

    if broken == "start":
        monkeypatch.setattr(watching, "_watcher", None)
        monkeypatch.setattr(watching._Watcher, "start", fail)
    else:
        monkeypatch.setattr(type(connections[using]), "copy", fail)
    with locked(using, lambda: take(using)):
        (record,) = records()
    assert (record.levelname, record.holder) == ("WARNING", None)
    assert not raised
