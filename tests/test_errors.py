"""Error messages describe the problem, and are raised only if there is one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    Error,
    OperationalError,
    connections,
    transaction,
)

from sequences_core import (
    SequenceExhausted,
    SequencesError,
    TableMissing,
    delete,
    get_last_value,
    get_next_blocks,
    get_next_value,
    get_next_values,
    set_last_value,
)
from sequences_core.allocator import FUNCTION
from sequences_core.functions import has_function
from sequences_core.models import Counter
from sequences_core.registry import get_allocator
from sequences_core.taking import begin, database_errors
from sequences_core.testing.base import PATIENCE
from tests.app.models import Invoice

APPS = ["tests.app"]

TABLE = Counter._meta.db_table


def run(using: str, sql: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(sql)


def missing_table(using: str) -> Callable[[], int]:
    """A callable that asks a table which isn't there."""

    def initial_value() -> int:
        run(using, "SELECT 1 FROM nowhere")
        return 1

    return initial_value


TAKES: dict[str, Callable[..., object]] = {
    "value": lambda first, **kwargs: get_next_value("s", first, **kwargs),
    "values": lambda first, **kwargs: get_next_values(3, "s", first, **kwargs),
    "blocks": lambda first, **kwargs: get_next_blocks({"s": 1}, first, **kwargs),
}


@pytest.mark.parametrize("timeout", [None, 0.5])
@pytest.mark.parametrize("take", TAKES)
def test_an_error_of_the_callable_is_its_own(using: str, take: str, timeout: float | None) -> None:
    """A missing table of the callable's own is no missing table of counters."""
    if timeout and not get_allocator(connections[using]).can_limit_wait:
        return
    with pytest.raises(DatabaseError) as caught, transaction.atomic(using=using):
        TAKES[take](missing_table(using), using=using, timeout=timeout)
    assert not isinstance(caught.value, SequencesError)
    assert "nowhere" in str(caught.value)
    with transaction.atomic(using=using):
        assert get_next_value("s", using=using) == 1


def test_a_wait_of_the_callable_is_its_own(using: str) -> None:
    """A lock that the callable waits for in vain is no lock of the sequence."""
    connection = connections[using]
    if get_allocator(connection).locks_database:
        return
    Invoice.objects.using(using).create(number=1)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(using=using):
            Invoice.objects.using(using).update(number=2)
            held.set()
            done.wait(PATIENCE)
        connections[using].close()

    def own_wait() -> int:
        if connection.vendor == "postgresql":
            run(using, "SET LOCAL lock_timeout = '50ms'")
        else:
            run(using, "SET SESSION innodb_lock_wait_timeout = 1")
        return Invoice.objects.using(using).update(number=3)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(PATIENCE)
        with pytest.raises(OperationalError) as caught, transaction.atomic(using=using):
            get_next_value("s", own_wait, using=using, timeout=9)
        assert not isinstance(caught.value, SequencesError)
    finally:
        done.set()
        holder.join(PATIENCE)
        connection.close()


@pytest.mark.parametrize("returned", [None, "1", 1.0, True, -1, lambda: 1])
def test_a_wrong_first_number(using: str, returned: Any) -> None:
    """The result of the callable is validated like an explicit initial value."""
    with pytest.raises((TypeError, ValueError), match="initial_value"), transaction.atomic(using):
        get_next_value("s", lambda: returned, using=using)


@pytest.mark.parametrize("backend", ["auto", "orm"])
def test_a_callable_that_has_rolled_back_what_failed(
    using: str, backend: str, settings: Any
) -> None:
    """The caller's transaction is good after it, and Django knows."""
    settings.SEQUENCES_BACKEND = backend

    def first() -> int:
        with transaction.atomic(using=using):
            run(using, "SELECT 1 FROM nowhere")
        return 1

    with transaction.atomic(using=using):
        assert get_next_value("before", using=using) == 1
        with pytest.raises(DatabaseError, match="nowhere"):
            get_next_value("s", first, using=using)
        assert not connections[using].needs_rollback
        assert get_next_value("before", using=using) == 2
    assert get_last_value("before", using=using) == 2


def test_a_callable_that_has_ended_the_transaction(using: str) -> None:
    """Where the server goes on after no error, Django knows that, too."""
    dead = connections[using].vendor == "postgresql"
    with transaction.atomic(using=using):
        with pytest.raises(DatabaseError, match="nowhere"):
            get_next_value("s", missing_table(using), using=using)
        assert connections[using].needs_rollback is dead


@pytest.mark.django_db(transaction=True, databases="__all__", available_apps=["sequences_core"])
class TestTwoDatabases:
    """An error of one of them is none of the other."""

    # The default is a connection of its own to the first database of those that are tested.
    other = "default"

    CONFLICTS = {
        "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$",
        "mysql": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'lost'",
        "sqlite": "SELECT 1 FROM nowhere",
    }

    def lose(self) -> int:
        run(self.other, self.CONFLICTS[connections[self.other].vendor])
        return 1

    @pytest.mark.parametrize("ours", [True, False])
    def test_it_marks_no_transaction_but_its_own(self, using: str, ours: bool) -> None:
        """A conflict there doesn't end the transaction here."""
        with transaction.atomic(using=using):
            with pytest.raises(DatabaseError), database_errors(connections[using], ours=ours):
                self.lose()
            assert not connections[using].needs_rollback
            assert get_next_value("s", using=using) == 1

    def test_by_a_callable(self, using: str) -> None:
        """The same applies if the callable of initial_value queries the other database."""
        with transaction.atomic(using=using):
            with pytest.raises(DatabaseError) as caught:
                get_next_value("s", self.lose, using=using)
            assert not isinstance(caught.value, SequencesError)
            assert not connections[using].needs_rollback
            assert get_next_value("s", using=using) == 1

    @pytest.mark.parametrize("ours", [True, False])
    def test_its_missing_table_is_not_ours(self, using: str, ours: bool) -> None:
        """A missing table of that name there isn't reported as missing on this database."""
        with (
            pytest.raises(DatabaseError) as caught,
            database_errors(connections[using], ours=ours),
        ):
            run(self.other, f"SELECT 1 FROM old_{TABLE}")
        assert not isinstance(caught.value, TableMissing)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM audit_log",
        f"SELECT 1 FROM {TABLE}_audit",
        f"SELECT 1 FROM old_{TABLE}",
        f"SELECT {FUNCTION}_audit(1)",
    ],
)
def test_what_a_trigger_misses_is_not_ours(using: str, sql: str) -> None:
    """An error of our own statement names what is missing: another table, also one named alike."""
    with pytest.raises(DatabaseError) as caught, database_errors(connections[using]):
        run(using, sql)
    assert not isinstance(caught.value, SequencesError)


def begin_and_look(using: str) -> None:
    with ExitStack() as stack:
        stack.push(begin(using, 0.5))
        run(using, "SELECT 1")


def has_function_and_look(using: str) -> None:
    has_function(connections[using])
    run(using, "SELECT 1")


CALLS: dict[str, Callable[[str], object]] = {
    "get_next_value": lambda using: get_next_value("s", using=using),
    "with a callable": lambda using: get_next_value("s", lambda: 1, using=using),
    "get_next_values": lambda using: get_next_values(2, "s", using=using),
    "get_next_blocks": lambda using: get_next_blocks({"s": 2}, using=using),
    "get_last_value": lambda using: get_last_value("s", using=using),
    "set_last_value": lambda using: set_last_value(3, "s", using=using),
    "delete": lambda using: delete("s", using=using),
    "has_function": has_function_and_look,
    "begin": begin_and_look,
}


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("call", CALLS)
def test_no_error_of_the_driver_escapes(using: str, call: str, opened: bool) -> None:
    """On a connection that was closed in its transaction, the error is one of Django's."""
    connection = connections[using]
    with pytest.raises(Error), transaction.atomic(using=using):  # noqa: PT012
        if opened:
            get_next_value("t", using=using)
        connection.close()
        CALLS[call](using)
    connection.close()
    with transaction.atomic(using=using):
        assert get_next_value("s", using=using) == 1


def test_exhausted_leaves_the_transaction_good(using: str) -> None:
    """With an int as initial_value, and with a callable, before and after there is a counter."""
    top = 2**63 - 1
    with transaction.atomic(using=using):
        for initial_value in (top, lambda: top):
            with pytest.raises(SequenceExhausted):
                get_next_values(2, "s", initial_value, using=using)
        assert get_next_value("s", lambda: top, using=using) == top
        for initial_value in (1, lambda: 1):
            with pytest.raises(SequenceExhausted):
                get_next_value("s", initial_value, using=using)
        assert get_next_value("t", using=using) == 1
    assert get_last_value("t", using=using) == 1
