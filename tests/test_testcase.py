"""Inside Django's TestCase a number that is taken outside a transaction is as risky as outside."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase, override_settings

from sequences_core import (
    AutocommitRefused,
    GapWarning,
    Sequence,
    SequenceExhausted,
    get_last_value,
    get_next_blocks,
    get_next_value,
    get_next_values,
    retry_atomic,
    run_atomic,
    set_last_value,
)
from sequences_core.taking import begin, in_users_transaction

TAKES: list[Callable[[], object]] = [
    lambda: get_next_value("s"),
    lambda: get_next_value("s", lambda: 1),
    lambda: get_next_values(2, "s"),
    lambda: get_next_blocks({"s": 1, "t": 2}),
    lambda: next(Sequence("s")),
]


class Takes:
    """The same in both, which differ in what Django does around them."""

    def test_outside_a_transaction(self) -> None:
        assert not in_users_transaction(connection)
        for take in TAKES:
            with pytest.warns(GapWarning) as caught:
                take()
            assert [warning.filename for warning in caught] == [__file__]
            with override_settings(SEQUENCES_AUTOCOMMIT="error"), pytest.raises(AutocommitRefused):
                take()
            with override_settings(SEQUENCES_AUTOCOMMIT="allow"):
                take()
        assert get_last_value("s") == 12

    def test_in_a_transaction(self) -> None:
        with override_settings(SEQUENCES_AUTOCOMMIT="error"):
            for take in TAKES:
                with transaction.atomic():
                    assert in_users_transaction(connection)
                    take()
                    with transaction.atomic(), transaction.atomic(savepoint=False):
                        take()
                run_atomic(take)
                retry_atomic()(take)()
                transaction.atomic(take)()
        assert not in_users_transaction(connection)

    def test_begin(self) -> None:
        """Our transaction counts as the user's while it is open."""
        atomic = begin("default")
        assert in_users_transaction(connection)
        with override_settings(SEQUENCES_AUTOCOMMIT="error"):
            get_next_value("s")
        atomic.__exit__(None, None, None)
        assert not in_users_transaction(connection)

    def test_an_error_of_a_statement_of_its_own(self) -> None:
        """Only that statement is rolled back, and later ones work."""
        with override_settings(SEQUENCES_AUTOCOMMIT="allow"):
            set_last_value(2**63 - 1, "t")
            with pytest.raises(SequenceExhausted):
                get_next_blocks({"s": 1, "t": 1})
            with pytest.raises(ValueError, match="force"):
                set_last_value(1, "t")
            assert get_last_value("s") is None
            assert get_next_value("s") == 1


class TestInTestCase(Takes, TestCase):
    pass


class TestInTransactionTestCase(Takes, TransactionTestCase):
    available_apps = ["sequences_core"]


class TestWithClassData(TestCase):
    """Numbers taken in setUpTestData belong to the transaction of the class."""

    caught: ClassVar[list[warnings.WarningMessage]]

    @classmethod
    def setUpTestData(cls) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            get_next_value("s")
        cls.caught = caught

    def test_it_warned(self) -> None:
        assert [warning.category for warning in self.caught] == [GapWarning]
        with transaction.atomic():
            assert get_next_value("s") == 2


def test_with_the_fixture_of_pytest_django(db: Any) -> None:
    """The ``db`` fixture uses such a TestCase as well."""
    with pytest.warns(GapWarning):
        get_next_value("s")
    with transaction.atomic():
        assert get_next_value("s") == 2
