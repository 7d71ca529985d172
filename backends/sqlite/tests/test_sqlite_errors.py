"""SQLite reports which errors end a transaction, and Django's state follows it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from sequences_core import (
    SequencesError,
    get_last_value,
    get_next_value,
    get_next_values,
    run_atomic,
    set_last_value,
)
from sequences_core.table import TABLE
from sequences_core.testing.base import Elsewhere


class TestErrors:
    using = "sqlite"
    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["sqlite"], available_apps=["sequences_core"]
    )

    def test_an_interrupted_take_ends_the_transaction(self) -> None:
        """An interrupt rolls back the transaction (sqlite.org/c3ref/interrupt.html)."""
        connection = connections[self.using]
        with transaction.atomic(using=self.using):
            get_next_values(5, "s", using=self.using)
            connection.connection.set_progress_handler(lambda: 1, 1)
            with pytest.raises(OperationalError, match="interrupted"):
                get_next_value("s", using=self.using)
            connection.connection.set_progress_handler(None, 1)
            assert not connection.connection.in_transaction
            assert connection.needs_rollback
        assert get_last_value("s", using=self.using) is None

    def test_a_full_database_does_not(self) -> None:
        """After a call that fails because the database is full, the transaction goes on."""
        connection = connections[self.using]
        try:
            with transaction.atomic(using=self.using):
                with connection.cursor() as cursor:
                    pages = cursor.execute("PRAGMA page_count").fetchone()[0]
                    cursor.execute(f"PRAGMA max_page_count = {pages:d}")
                get_next_value("s", using=self.using)
                with pytest.raises(OperationalError, match="full"):
                    self.fill()
                assert connection.connection.in_transaction
                assert not connection.needs_rollback
                assert get_next_value("s", using=self.using) == 2
        finally:
            connection.close()  # the limit was the session's
        assert get_last_value("s", using=self.using) == 2

    @pytest.mark.parametrize("timeout", [None, 0, 5])
    def test_an_outdated_snapshot_is_a_conflict(self, timeout: float | None) -> None:
        """An outdated snapshot is a retryable conflict, not a SequenceLocked."""
        connection: Any = connections[self.using]
        connection.ensure_connection()
        calls: list[int] = []
        assert connection.transaction_mode == "IMMEDIATE"
        connection.transaction_mode = None

        def block() -> int:
            calls.append(get_last_value("s", using=self.using) or 0)
            if len(calls) == 1:
                other = Elsewhere(lambda: set_last_value(7, "s", using=self.using), self.using)
                other.start()
                other.result()
            return get_next_value("s", timeout=timeout, using=self.using)

        try:
            assert run_atomic(block, using=self.using) == 8
        finally:
            connection.transaction_mode = "IMMEDIATE"
        assert calls == [0, 7]

    def test_a_function_of_somebody_else_fails(self) -> None:
        """An error of our function in an earlier statement isn't reported as the cause."""
        connection: Any = connections[self.using]
        set_last_value(2**63 - 1, "full", using=self.using)
        set_last_value(1, "s", using=self.using)

        def fail(_: object) -> None:
            raise KeyError("theirs")

        connection.connection.create_function("fail", 1, fail)
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TRIGGER t AFTER UPDATE ON {TABLE} BEGIN SELECT fail(1); END")
            try:
                with pytest.raises(OperationalError):
                    cursor.execute("SELECT sequences_next_value('full', 1, NULL)").fetchall()
                with (
                    pytest.raises(OperationalError) as caught,
                    transaction.atomic(using=self.using),
                ):
                    get_next_value("s", using=self.using)
                assert not isinstance(caught.value, SequencesError)
            finally:
                cursor.execute("DROP TRIGGER t")

    def fill(self) -> None:
        for number in range(10_000):
            get_next_value(f"{number:0200}", using=self.using)
