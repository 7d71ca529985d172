"""Errors of a callable initial_value are raised unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError

from sequences_core import get_next_blocks, get_next_value, get_next_values

from .transactions import Transactions
from .vendors import end_session


class Callables(Transactions):
    """The callable's errors are raised unchanged and don't abort the transaction themselves."""

    @pytest.mark.parametrize("inside", [True, False], ids=["transaction", "autocommit"])
    def test_an_error_of_the_callable_is_its_own(self, inside: bool) -> None:
        """The caller gets the callable's own exception, and nothing is taken."""

        class Unrelated(Exception):
            pass

        for error in (Unrelated(), ValueError("x"), DatabaseError("made by the callable")):
            self._check_unchanged(self._raising(error), error, inside)
        assert self.counters() == {}

    @pytest.mark.parametrize("inside", [True, False], ids=["transaction", "autocommit"])
    def test_a_database_error_of_the_callable_is_its_own(self, inside: bool) -> None:
        """An error about a table that the callable misses isn't a TableMissing."""
        self._check_unchanged(self._failing_in(self.connection), None, inside)
        assert self.counters() == {}

    def test_an_error_of_another_database_leaves_the_transaction(self) -> None:
        """An error in another session, used by the callable, doesn't mark this transaction."""
        other: Any = self.connection.copy(alias="sequences_elsewhere")
        try:
            with self.atomic():
                get_next_value("before", using=self.using)
                for take in self._takes(self._failing_in(other)):
                    with pytest.raises(DatabaseError):
                        take()
                    assert not self.connection.needs_rollback
                get_next_value("after", using=self.using)
        finally:
            end_session(other)
        assert self.counters() == {"before": 1, "after": 1}

    def _takes(self, initial: Callable[[], int]) -> list[Callable[[], Any]]:
        takes: list[Callable[[], Any]] = [
            lambda: get_next_value("s", initial, using=self.using),
            lambda: get_next_values(2, "s", initial, using=self.using),
        ]
        if self.flag("can_limit_wait"):
            takes.append(lambda: get_next_value("s", initial, timeout=1, using=self.using))
        return takes

    def _check_unchanged(
        self, initial: Callable[[], int], error: BaseException | None, inside: bool
    ) -> None:
        raised: list[BaseException] = []

        def recorded() -> int:
            try:
                return initial()
            except BaseException as own:
                raised.append(own)
                raise

        takes = self._takes(recorded)
        takes.append(lambda: get_next_blocks({"s": 1}, recorded, using=self.using))
        for take in takes:
            if inside:
                with self.atomic():
                    with pytest.raises(Exception) as caught, self.atomic():  # noqa: PT011
                        take()
                    assert not self._is_broken()
                    assert not self.connection.needs_rollback
            else:
                with pytest.raises(Exception) as caught:  # noqa: PT011
                    take()
            assert raised, f"the callable was not called, but {caught.value!r} was raised"
            assert caught.value is raised.pop()
            assert error is None or caught.value is error

    @staticmethod
    def _raising(error: BaseException) -> Callable[[], int]:
        def initial() -> int:
            raise error

        return initial

    @staticmethod
    def _failing_in(connection: Any) -> Callable[[], int]:
        def initial() -> int:
            with connection.cursor() as cursor:
                cursor.execute("SELECT last FROM sequences_no_such_table")
            raise AssertionError("there is no such table")

        return initial
