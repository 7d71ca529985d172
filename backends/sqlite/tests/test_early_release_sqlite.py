"""Early release on SQLite: the lock is released before the log is synced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import OperationalError, connections, transaction
from sequences_sqlite import wal

from sequences_core import DurabilityUnknown, get_next_value
from sequences_core.early_release import durability, forget_durabilities
from sequences_core.testing.early import EarlyRelease
from tests.aliases import known_to_django


@pytest.fixture
def normal() -> Iterator[None]:
    """Configure the connection so that its commits don't sync the log."""
    connection = connections["sqlite"]
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous = NORMAL")
    forget_durabilities()
    yield
    connection.close()
    forget_durabilities()


def noted_syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list to which each sync of a log adds its path."""
    logs: list[str] = []
    sync = wal.sync

    def note(log: str) -> None:
        logs.append(log)
        sync(log)

    monkeypatch.setattr(wal, "sync", note)
    return logs


class TestEarlyRelease(EarlyRelease):
    """The kit's tests of early release."""

    using = "sqlite"
    backend = "sqlite"

    @pytest.fixture(autouse=True)
    def _normal(self, normal: None) -> None:
        """Configure the connection before the kit queries what commits wait for."""


@pytest.mark.django_db(transaction=True, databases=["sqlite"])
class TestSync:
    """The wait is a sync of the log."""

    using = "sqlite"

    @pytest.fixture(autouse=True)
    def _early(self, settings: Any) -> None:
        settings.SEQUENCES_EARLY_RELEASE = True

    @pytest.mark.usefixtures("normal")
    def test_a_commit_syncs_the_log(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A transaction syncs the log once if it took numbers, else not at all."""
        logs = noted_syncs(monkeypatch)
        with transaction.atomic(using="sqlite"):
            get_next_value("s", using="sqlite")
            get_next_value("t", using="sqlite")
        with transaction.atomic(using="sqlite"), connections["sqlite"].cursor() as cursor:
            cursor.execute("DELETE FROM sequences_core_counter WHERE name = 't'")
        name = connections["sqlite"].settings_dict["NAME"]
        assert logs == [f"{name}-wal"]

    def test_what_is_synced_by_the_commit_needs_no_wait(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With synchronous = FULL, Django's default, the setting has no effect, and check warns."""
        monkeypatch.setattr(wal, "sync", pytest.fail)
        with transaction.atomic(using="sqlite"):
            get_next_value("s", using="sqlite")
        found = run_checks(tags=["database"], databases=["sqlite"])
        (message,) = [one for one in found if one.id == "sequences_sqlite.I001"]
        assert "PRAGMA synchronous = NORMAL" in (message.hint or "")

    def test_each_wait_asks_the_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wait uses the connection's current level, also if it was set later."""
        logs: list[str] = []
        monkeypatch.setattr(wal, "sync", logs.append)
        for level, expected in (("FULL", 0), ("NORMAL", 1), ("FULL", 0)):
            with connections["sqlite"].cursor() as cursor:
                cursor.execute(f"PRAGMA synchronous = {level}")
            logs.clear()
            with transaction.atomic(using="sqlite"):
                get_next_value("s", using="sqlite")
            assert len(logs) == expected

    @pytest.mark.usefixtures("normal")
    def test_a_sync_that_fails_is_no_success(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """If the sync fails, the row is committed, and the error says that it may be lost."""

        def fail(file: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(wal, "_sync", fail)
        failing = pytest.raises(DurabilityUnknown, match="Input/output error")
        with failing as caught, transaction.atomic(using="sqlite"):
            get_next_value("s", using="sqlite")
        assert isinstance(caught.value.__cause__, OperationalError)


class TestFiles:
    """Tests with separate databases."""

    using = "sqlite"

    @pytest.mark.parametrize("name", [":memory:", "file:shared?mode=memory&cache=shared"])
    def test_what_is_in_memory_is_not_waited_for(
        self, name: str, settings: Any, django_db_blocker: Any
    ) -> None:
        """A database in memory has no file to sync."""
        settings.SEQUENCES_EARLY_RELEASE = True
        with django_db_blocker.unblock(), known_to_django({"memory": "sqlite://:memory:"}):
            connections["memory"].settings_dict["NAME"] = name
            assert durability(connections["memory"]) is None

    def test_an_alias_that_stands_for_another_file(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Any,
        settings: Any,
        django_db_blocker: Any,
    ) -> None:
        """The wait syncs the open file's log; a log that was moved is an error."""
        settings.SEQUENCES_EARLY_RELEASE = True
        logs = noted_syncs(monkeypatch)
        paths = [f"{tmp_path}/{name}.sqlite3" for name in ("one", "other")]
        aliases = known_to_django({"moving": f"sqlite:///{paths[0]}"})
        with django_db_blocker.unblock(), aliases:
            connection = connections["moving"]
            for path in paths:
                connection.close()
                connection.settings_dict["NAME"] = path
                call_command("migrate", "sequences_core", database="moving", verbosity=0)
                with connection.cursor() as cursor:
                    cursor.execute("PRAGMA journal_mode = WAL")
                    cursor.execute("PRAGMA synchronous = NORMAL")
                with transaction.atomic(using="moving"):
                    get_next_value("s", using="moving")
                assert logs.pop() == f"{path}-wal"
            Path(f"{paths[1]}-wal").rename(tmp_path / "away")
            failing = pytest.raises(DurabilityUnknown, match="can't open")
            with failing, transaction.atomic(using="moving"):
                get_next_value("s", using="moving")
