"""A counter that another transaction has created, and that this snapshot doesn't see."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import pytest
from django.db import DatabaseError, connections, transaction
from django.test.utils import CaptureQueriesContext
from sequences_orm import vendors

from sequences_core import SequenceExhausted, get_allocator, get_next_value
from sequences_core.arguments import MAX_VALUE
from sequences_core.table import TABLE
from tests.snapshots import finds_what_it_does_not_see


class Conflicts:
    using: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _orm(self, settings: Any) -> None:
        settings.SEQUENCES_BACKEND = "orm"

    @pytest.mark.parametrize("upserts", [True, False])
    def test_it_is_seen_or_a_conflict(self, upserts: bool, monkeypatch: Any) -> None:
        """An invisible counter is used or a conflict, also without upserts."""
        connection = connections[self.using]
        monkeypatch.setattr(connection.features, "supports_update_conflicts", upserts)

        def create() -> None:
            with transaction.atomic(using=self.using):
                get_next_value("s", using=self.using)
            connections[self.using].close()

        def take() -> int:
            if connection.vendor == "mysql":
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            with transaction.atomic(using=self.using):
                with connection.cursor() as cursor:
                    if connection.vendor == "postgresql":
                        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    cursor.execute(f"SELECT COUNT(*) FROM {TABLE}")
                other = threading.Thread(target=create)
                other.start()
                other.join()
                return get_next_value("s", using=self.using)

        if finds_what_it_does_not_see(connection):
            assert take() == 2
            return
        with pytest.raises(DatabaseError) as caught:
            take()
        assert not isinstance(caught.value, SequenceExhausted)
        assert get_allocator(connection).is_retryable(caught.value)
        with transaction.atomic(using=self.using):
            assert get_next_value("s", using=self.using) == 2

    def test_a_lock_before_the_update(self, monkeypatch: Any) -> None:
        """A SELECT FOR UPDATE comes first where an UPDATE would not wait, as on Firebird."""
        monkeypatch.setattr(vendors, "update_waits", lambda connection: False)
        for expected in (1, 2):
            queries = CaptureQueriesContext(connections[self.using])
            with queries, transaction.atomic(using=self.using):
                assert get_next_value("s", using=self.using) == expected
        kinds = [query["sql"].split()[0] for query in queries if TABLE in query["sql"]]
        assert kinds == ["SELECT", "UPDATE", "SELECT"]

    def test_a_full_counter_is_no_conflict(self) -> None:
        """An exhausted sequence, whose counter is visible, is no conflict."""
        with transaction.atomic(using=self.using):
            get_next_value("s", MAX_VALUE, using=self.using)
            with pytest.raises(SequenceExhausted):
                get_next_value("s", using=self.using)


class TestPostgreSQL(Conflicts):
    using = "postgresql"
    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["postgresql"], available_apps=["sequences_core"]
    )


class TestMariaDB(Conflicts):
    using = "mariadb"
    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["mariadb"], available_apps=["sequences_core"]
    )


class TestMySQL(Conflicts):
    using = "mysql"
    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["mysql"], available_apps=["sequences_core"]
    )
