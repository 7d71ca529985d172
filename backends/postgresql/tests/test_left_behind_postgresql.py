"""A call doesn't change the settings of the session and the transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import pytest
from django.db import DatabaseError, connections, transaction

from sequences_core import SequenceExhausted, get_allocator, get_next_value, get_next_values
from sequences_core.arguments import MAX_VALUE
from sequences_core.table import TABLE

BOUNDS: list[dict[str, Any]] = [{"timeout": 0.2}, {"nowait": True}]
TAKES: dict[str, Callable[..., object]] = {
    "plain": lambda **kwargs: get_next_value("s", **kwargs),
    "callable": lambda **kwargs: get_next_value("s", lambda: 1, **kwargs),
    "loop": lambda **kwargs: get_next_value("s", 1, 3, **kwargs),
    "batch": lambda **kwargs: get_next_values(3, "s", **kwargs),
    "callable batch": lambda **kwargs: get_next_values(3, "s", lambda: 1, **kwargs),
    "a batch that can't be the first": lambda **kwargs: get_next_values(
        3, "s", MAX_VALUE, **kwargs
    ),
}


@pytest.mark.django_db(
    transaction=True, databases=["postgresql"], available_apps=["sequences_core"]
)
@pytest.mark.parametrize("bound", BOUNDS, ids=["timeout", "nowait"])
@pytest.mark.parametrize("take", TAKES.values(), ids=list(TAKES))
class TestLeftBehind:
    using: ClassVar[str] = "postgresql"

    @pytest.fixture(autouse=True)
    def _session(self, settings: Any) -> Iterator[None]:
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        with connections[self.using].cursor() as cursor:
            cursor.execute("SET lock_timeout = '7s'")
        yield
        connections[self.using].close()

    def state(self) -> dict[str, str]:
        with connections[self.using].cursor() as cursor:
            cursor.execute("SELECT name, setting FROM pg_settings")
            return dict(cursor.fetchall())

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Compare all settings in the transaction, after a savepoint and after the transaction."""
        before = self.state()
        assert before["lock_timeout"] == "7000"
        with transaction.atomic(using=self.using):
            inside = self.state()
            yield
            assert dict(self.state().items() ^ inside.items()) == {}
        assert dict(self.state().items() ^ before.items()) == {}

    @pytest.mark.parametrize("last", [None, 1, MAX_VALUE])
    def test_a_counter_in_any_state(
        self, last: int | None, take: Callable[..., object], bound: dict[str, Any]
    ) -> None:
        """The settings are unchanged for a new, an existing and an exhausted sequence."""
        if last is not None:
            get_next_value("s", last, using=self.using)
        with self.unchanged(), suppress(SequenceExhausted):
            take(using=self.using, **bound)
        with (
            self.unchanged(),
            suppress(SequenceExhausted),
            transaction.atomic(using=self.using),
        ):
            take(using=self.using, **bound)
            raise SequenceExhausted

    @pytest.mark.parametrize("created", [False, True])
    def test_an_error(
        self, created: bool, take: Callable[..., object], bound: dict[str, Any]
    ) -> None:
        """The settings are unchanged after a timeout, for an existing counter and a new one."""
        if created:
            get_next_value("s", using=self.using)
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with transaction.atomic(using=self.using):
                get_next_value("s", using=self.using)
                held.set()
                done.wait(60)
            connections[self.using].close()

        holder = threading.Thread(target=hold)
        holder.start()
        try:
            assert held.wait(60)
            with self.unchanged(), suppress(DatabaseError), transaction.atomic(using=self.using):
                take(using=self.using, **bound)
        finally:
            done.set()
            holder.join()

    def test_a_trigger_that_fails(self, take: Callable[..., object], bound: dict[str, Any]) -> None:
        """The settings are unchanged after an error of the statement in a savepoint."""
        get_next_value("s", using=self.using)
        with connections[self.using].cursor() as cursor:
            cursor.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN RAISE ''refused by a trigger''; END'"
            )
            cursor.execute(
                f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {TABLE} "
                f"FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
            try:
                with (
                    self.unchanged(),
                    pytest.raises(DatabaseError, match="refused by a trigger"),
                    transaction.atomic(using=self.using),
                ):
                    take(using=self.using, **bound)
            finally:
                cursor.execute("DROP FUNCTION refuse CASCADE")


@pytest.mark.django_db(
    transaction=True, databases=["postgresql"], available_apps=["sequences_core"]
)
class TestConflict:
    using: ClassVar[str] = "postgresql"

    @pytest.mark.parametrize("take", TAKES.values(), ids=list(TAKES))
    def test_a_counter_that_the_snapshot_does_not_see(self, take: Callable[..., object]) -> None:
        """An invisible counter causes the database's own retryable conflict."""

        def create() -> None:
            with transaction.atomic(using=self.using):
                get_next_value("s", using=self.using)
            connections[self.using].close()

        connection = connections[self.using]

        def take_late() -> None:
            with transaction.atomic(using=self.using):
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    cursor.execute(f"SELECT COUNT(*) FROM {TABLE}")
                other = threading.Thread(target=create)
                other.start()
                other.join()
                take(using=self.using)

        with pytest.raises(DatabaseError) as caught:
            take_late()
        assert get_allocator(connection).is_retryable(caught.value)
