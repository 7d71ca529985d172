"""Commits keep numbers, and rollbacks and errors give them back."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction

from sequences_core import (
    AutocommitRefused,
    GapWarning,
    SequenceLocked,
    TableMissing,
    delete,
    get_last_value,
    get_next_value,
    get_next_values,
    retry_atomic,
    run_atomic,
    set_last_value,
)
from sequences_core.models import Counter
from sequences_core.table import TABLE, table_parts

from .base import Contract


class Rollback(Exception):
    """Raised to leave a transaction by rollback."""


class Transactions(Contract):
    """Rollback, savepoints, autocommit, errors."""

    def test_rollback_gives_numbers_back(self) -> None:
        """After a rollback, the next transaction takes the same numbers."""
        with self.atomic():
            get_next_value("s", using=self.using)
        with pytest.raises(Rollback), self.atomic():
            assert get_next_value("s", using=self.using) == 2
            assert get_next_values(10, "s", using=self.using) == range(3, 13)
            raise Rollback
        with self.atomic():
            assert get_next_value("s", using=self.using) == 2
        assert self.counters() == {"s": 2}

    def test_rollback_of_the_first_use_leaves_no_counter(self) -> None:
        """A rollback of the first use removes the counter."""
        takes: list[Callable[[], int]] = [
            lambda: get_next_value("s", 5, using=self.using),
            lambda: get_next_value("s", lambda: 5, using=self.using),
            lambda: get_next_value("s", 5, 9, using=self.using),
        ]
        for take in takes:
            with pytest.raises(Rollback), self.atomic():
                take()
                raise Rollback
            assert self.counters() == {}

    @pytest.mark.parametrize("exists", [True, False], ids=["counter", "first use"])
    def test_rollback_undoes_what_came_before_the_call(self, exists: bool) -> None:
        """No form of a call commits the caller's earlier statements, or rolls them back."""
        limit: dict[str, Any] = {"nowait": True} if self.flag("can_limit_wait") else {}
        takes: list[Callable[[], object]] = [
            lambda: get_next_value("s", using=self.using),
            lambda: get_next_value("s", using=self.using, **limit),
            lambda: get_next_values(2, "s", using=self.using),
            lambda: get_next_value("s", 1, 9, using=self.using),
            lambda: get_next_value("s", lambda: 1, using=self.using),
        ]
        if exists:
            with self.atomic():
                get_next_value("s", using=self.using)
        before = self.counters()
        mine = Counter.objects.using(self.using).filter(pk="mine")
        for take in takes:
            with pytest.raises(Rollback), self.atomic():
                mine.create(name="mine", last=7)
                take()
                assert mine.exists()
                raise Rollback
            assert self.counters() == before

    def test_savepoint_rollback_gives_numbers_back(self) -> None:
        """A rollback to a savepoint gives back exactly the numbers that were taken since then."""
        with self.atomic():
            assert get_next_value("s", using=self.using) == 1
            with pytest.raises(Rollback), self.atomic():
                assert get_next_value("s", using=self.using) == 2
                with self.atomic():
                    assert get_next_value("s", using=self.using) == 3
                raise Rollback
            assert get_next_value("s", using=self.using) == 2
            with self.atomic():
                assert get_next_value("s", using=self.using) == 3
        assert self.counters() == {"s": 3}

    def test_deletion_and_setting_roll_back_too(self) -> None:
        """A rollback undoes delete and set_last_value."""
        with self.atomic():
            get_next_values(5, "s", using=self.using)
        for change in (
            lambda: delete("s", using=self.using),
            lambda: set_last_value(50, "s", using=self.using),
            lambda: set_last_value(2, "s", force=True, using=self.using),
        ):
            with pytest.raises(Rollback), self.atomic():
                change()
                raise Rollback
            assert self.counters() == {"s": 5}

    def test_numbers_are_seen_at_commit_only(self) -> None:
        """Another connection sees the new last number only after the commit."""
        with self.atomic():
            get_next_value("s", using=self.using)

            def look() -> int | None:
                return get_last_value("s", using=self.using)

            with self.elsewhere(look) as other:
                assert other.result() is None
        with self.elsewhere(look) as other:
            assert other.result() == 1

    def test_manual_transaction_management(self) -> None:
        """With autocommit off, a transaction is open without atomic(), so there is no warning."""
        self.connection.ensure_connection()
        transaction.set_autocommit(False, using=self.using)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert get_next_value("s", using=self.using) == 1
                transaction.rollback(using=self.using)
                assert get_next_value("s", using=self.using) == 1
                transaction.commit(using=self.using)
        finally:
            transaction.rollback(using=self.using)
            transaction.set_autocommit(True, using=self.using)
        assert self.counters() == {"s": 1}

    def test_autocommit_warns_at_the_callers_line(self, settings: Any) -> None:
        """Outside a transaction a GapWarning names the line of the caller."""
        settings.SEQUENCES_AUTOCOMMIT = "warn"
        takes: list[Callable[[], object]] = [
            lambda: get_next_value("s", using=self.using),
            lambda: get_next_values(2, "s", using=self.using),
        ]
        for take in takes:
            with pytest.warns(GapWarning, match="atomic") as caught:
                take()
            assert caught[0].filename == __file__
        assert self.counters() == {"s": 3}

    def test_autocommit_can_be_refused_or_allowed(self, settings: Any) -> None:
        """With "error", SEQUENCES_AUTOCOMMIT raises and takes nothing; with "allow", neither."""
        settings.SEQUENCES_AUTOCOMMIT = "error"
        with pytest.raises(AutocommitRefused):
            get_next_value("s", using=self.using)
        assert self.counters() == {}
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert get_next_value("s", using=self.using) == 1

    def test_missing_table_names_the_command(self) -> None:
        """Without the table, every function's error names the command that creates it."""
        table, hidden = Counter._meta.db_table, "sequences_core_hidden"
        *schema, name = table_parts()
        renamed = table.replace(name, hidden) if schema else hidden  # it stays in its schema
        self._rename_table(table, hidden)
        try:
            calls: list[Callable[[], object]] = [
                lambda: get_next_value("s", using=self.using),
                lambda: get_last_value("s", using=self.using),
                lambda: set_last_value(1, "s", using=self.using),
                lambda: delete("s", using=self.using),
            ]
            for call in calls:
                with pytest.raises(TableMissing, match="migrate sequences_core --database"):
                    call()
            for take in self.forms():
                with suppress(Rollback), self.atomic():
                    with pytest.raises(TableMissing):
                        take()
                    # Django itself marks a transaction after any error of save() or delete().
                    assert self.connection.needs_rollback or not self._is_broken(renamed)
                    raise Rollback
        finally:
            self._rename_table(renamed, name)  # the new name is unqualified
        assert get_next_value("s", using=self.using) == 1

    def _rename_table(self, old: str, new: str) -> None:
        with self.connection.schema_editor() as editor:
            editor.alter_db_table(Counter, old, new)

    def test_django_knows_the_state_after_an_error(self) -> None:
        """After an error, needs_rollback agrees with the server, and a rollback is enough."""
        self.requires("can_limit_wait")
        self.requires("locks_database", False)
        with self.atomic():
            get_next_value("s", using=self.using)

            def collide() -> tuple[bool, bool]:
                try:
                    with self.atomic():
                        get_next_value("mine", using=self.using)
                        with pytest.raises(SequenceLocked):
                            get_next_value("s", nowait=True, using=self.using)
                        believed = self.connection.needs_rollback
                        actual = self._is_broken()
                        raise Rollback
                except Rollback:
                    pass
                with self.atomic():
                    assert get_next_value("mine", using=self.using) == 1
                return believed, actual

            with self.elsewhere(collide) as other:
                believed, actual = other.result()
        assert believed == actual

    def _is_broken(self, table: str = TABLE) -> bool:
        try:
            # Use the driver's cursor, because Django's checks needs_rollback itself.
            with closing(connections[self.using].connection.cursor()) as cursor:
                cursor.execute(f"SELECT last FROM {table} WHERE 1 = 0")
                cursor.fetchall()
        except Exception:  # noqa: BLE001 - each driver has its own errors
            return True
        return False

    def test_an_error_in_a_savepoint_leaves_the_transaction(self) -> None:
        """After a SequenceLocked inside a savepoint, the transaction goes on."""
        self.requires("can_limit_wait")
        self.requires("locks_database", False)
        with self.atomic():
            get_next_value("s", using=self.using)

            def collide() -> int:
                with self.atomic():
                    get_next_value("mine", using=self.using)
                    with pytest.raises(SequenceLocked), self.atomic():
                        get_next_value("s", nowait=True, using=self.using)
                    return get_next_value("mine", using=self.using)

            with self.elsewhere(collide) as other:
                assert other.result() == 2
        assert self.counters() == {"s": 1, "mine": 2}

    def test_run_atomic_runs_the_block_again(self) -> None:
        """run_atomic retries exactly the errors for which is_retryable is true, up to attempts."""
        ends: list[BaseException | None] = []

        def block() -> int:
            number = get_next_value("s", using=self.using)
            if error := ends.pop(0):
                raise error
            return number

        codes = sorted(self.allocator.retryable_codes, key=str)
        for number, code in enumerate(codes, 1):
            assert self.allocator.error_code(self.error_of(code)) == code, (
                f"error_code() doesn't find the code {code!r} in the error of the kit: override "
                f"error_of() in your test class"
            )
            ends = [self.error_of(code), None]
            assert run_atomic(block, using=self.using) == number
            assert ends == []
        ends = [*map(self.error_of, codes[:1] * 3), None]
        with pytest.raises(DatabaseError):
            run_atomic(block, attempts=3, using=self.using)
        assert ends == [None]
        for error in (Rollback(), DatabaseError("no conflict")):
            ends = [error, None]
            with pytest.raises(type(error)):
                retry_atomic(using=self.using)(block)()
        assert self.counters() == {"s": len(codes)}

    def test_only_conflicts_are_retryable(self) -> None:
        """Errors that the block would meet again are no conflicts."""
        errors: list[DatabaseError] = []

        def expect_error(call: Callable[[], object]) -> None:
            with pytest.raises(DatabaseError) as caught, self.atomic():
                call()
            # The core's own error, SequenceLocked, is raised from that of the database.
            cause = caught.value.__cause__
            errors.append(cause if isinstance(cause, DatabaseError) else caught.value)

        def query(sql: str) -> None:
            with self.connection.cursor() as cursor:
                cursor.execute(sql)

        with self.atomic():
            get_next_value("s", using=self.using)
            rows = Counter.objects.using(self.using)
            expect_error(lambda: rows.create(name="s", last=1))
            expect_error(lambda: query("SELECT last FROM sequences_no_such_table"))
            expect_error(lambda: query("no SQL"))
            # Where BEGIN locks the database, waiting for the lock may be a conflict.
            if self.flag("can_limit_wait") and not self.flag("locks_database"):
                nowait = partial(get_next_value, "s", nowait=True, using=self.using)
                with self.elsewhere(lambda: expect_error(nowait)) as other:
                    other.result()
        for error in errors:
            assert not self.allocator.is_retryable(error), repr(error)

    def test_run_atomic_owns_the_commit(self) -> None:
        """Inside a transaction, run_atomic raises RuntimeError: it can't execute the COMMIT."""
        with self.atomic(), pytest.raises(RuntimeError):
            run_atomic(lambda: None, using=self.using)
        with pytest.raises(ValueError, match="attempts"):
            run_atomic(lambda: None, attempts=0, using=self.using)
