"""The first use of a sequence, and MariaDB's limit, which includes the statement's own time."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import pytest
from django.db import connections, transaction
from sequences_mysql.waiting import TRIES

from sequences_core import SequenceLocked, get_next_value
from sequences_core.table import TABLE
from sequences_core.testing.threads import together


class FirstUse:
    """Each of many transactions takes the first number of a sequence, and rolls back."""

    using: str

    def test_nobody_gets_an_error(self) -> None:
        def take() -> int:
            with transaction.atomic(using=self.using):
                number = get_next_value("s", using=self.using)
                transaction.set_rollback(True, using=self.using)
            return number

        assert together([take] * 16, self.using) == [1] * 16


class TestFirstUseOfMySQL(FirstUse):
    using = "mysql"

    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["mysql"], available_apps=["sequences_core"]
    )

    def test_others_are_always_faster(self) -> None:
        """Each time, another transaction has created the counter, and rolls back."""
        rounds, lost = TRIES + 2, list[str]()
        with closing(connections[self.using].copy()) as other:
            other.set_autocommit(False)

            def be_faster(execute: Any, sql: str, *args: Any) -> Any:
                if "NOWAIT" not in sql or len(lost) == rounds:
                    return execute(sql, *args)
                lost.append(sql)
                with other.cursor() as cursor:
                    cursor.execute(f"INSERT INTO {TABLE} (name, last) VALUES ('s', 1)")
                try:
                    return execute(sql, *args)
                finally:
                    other.rollback()

            wrapper = connections[self.using].execute_wrapper(be_faster)
            with transaction.atomic(using=self.using), wrapper:
                assert get_next_value("s", using=self.using) == 1
        assert len(lost) == rounds


class TestFirstUseOfMariaDB(FirstUse):
    using = "mariadb"

    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["mariadb"], available_apps=["sequences_core"]
    )


class TestMariaDB:
    using = "mariadb"

    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["mariadb"], available_apps=["sequences_core"]
    )

    def take(self, **kwargs: Any) -> int:
        with transaction.atomic(using=self.using):
            return get_next_value("s", using=self.using, **kwargs)

    def test_a_small_timeout_is_one(self) -> None:
        """A timeout below a microsecond, which would disable the limit, still ends the wait."""
        self.take()
        with closing(connections[self.using].copy()) as other:
            other.set_autocommit(False)
            with other.cursor() as cursor:
                cursor.execute(f"UPDATE {TABLE} SET last = 7")
            begun = time.monotonic()
            with pytest.raises(SequenceLocked):
                self.take(timeout=1e-9)
            assert time.monotonic() - begun < 0.8  # a lock wait's own limit is 1 s

    def test_a_small_timeout_is_no_limit_to_work(self) -> None:
        """A short timeout leaves time for the statement: a call that needn't wait succeeds."""
        for number in range(1, 500):
            assert self.take(timeout=1e-6) == number
