"""The admin's changes on each database: under the lock, but waiting a limited time for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections, transaction
from django.test import Client

from sequences_core import admin as sequences_admin
from sequences_core import get_next_value, set_last_value
from sequences_core.locking import locked
from sequences_core.models import Counter
from sequences_core.table import TABLE
from sequences_core.testing.threads import PATIENCE, Elsewhere
from tests.numbered import pages
from tests.numbered.pages import to_using as to_using
from tests.test_admin import CHANGES, INVOICES, PAGES, change, text

APPS = [*pages.APPS, "tests.books"]

ANSWERS: dict[str, dict[str, Any]] = {
    "set": {"value": 1200, "again": "on"},
    "rename": {"new_name": "bills"},
    "delete": {},
}
AFTER = {"set": [("invoices", 1200)], "rename": [("bills", 1234)], "delete": []}


@pytest.fixture
def client(using: str) -> Client:
    """Return the client of a superuser, on a site that has only this database."""
    Counter.objects.create(name="invoices", last=1234)
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def counters() -> list[tuple[str, int]]:
    return list(Counter.objects.order_by("name").values_list("name", "last"))


@contextmanager
def held(name: str, using: str) -> Iterator[None]:
    """Let another transaction hold a counter during the block."""
    holds, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(using=using):
            get_next_value(name, using=using)
            holds.set()
            done.wait(PATIENCE)
            transaction.set_rollback(True, using=using)

    holder = Elsewhere(hold, using)
    holder.start()
    try:
        holder.reach(holds)
        yield
    finally:
        done.set()
        holder.result()


@contextmanager
def privileges(using: str, rights: str) -> Iterator[None]:
    """Let the database's user have only these rights on the table of counters in the block."""
    connection: Any = connections[using]
    if connection.vendor == "sqlite":
        assert rights == "SELECT"
        run(using, "PRAGMA query_only = ON")
        try:
            yield
        finally:
            run(using, "PRAGMA query_only = OFF")
    elif connection.vendor == "postgresql":
        run(using, "CREATE ROLE clerk", "GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk")
        run(using, "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO clerk")
        run(using, f"REVOKE ALL ON {TABLE} FROM clerk")
        if rights:
            run(using, f"GRANT {rights} ON {TABLE} TO clerk")
        run(using, "SET ROLE clerk")
        try:
            yield
        finally:
            run(using, "RESET ROLE", "DROP OWNED BY clerk", "DROP ROLE clerk")
    else:
        settings = connection.settings_dict
        run(using, "CREATE USER clerk@'%' IDENTIFIED BY 'clerk'")
        for table in connection.introspection.table_names():
            granted = rights if table == TABLE else "ALL"
            if granted:
                run(using, f"GRANT {granted} ON {table} TO clerk@'%'")
        connection.close()
        connection.settings_dict = {**settings, "USER": "clerk", "PASSWORD": "clerk"}
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict = settings
            run(using, "DROP USER clerk@'%'")


def run(using: str, *statements: str) -> None:
    with connections[using].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def atomic_requests(using: str, monkeypatch: pytest.MonkeyPatch, value: bool = True) -> None:
    """Set ATOMIC_REQUESTS of this alias, whose settings another one may share."""
    changed = {**connections.settings[using], "ATOMIC_REQUESTS": value}
    monkeypatch.setitem(connections.settings, using, changed)


def clerk(codenames: list[str]) -> Client:
    """Return the client of a user with only these permissions, who is no superuser."""
    content_type = ContentType.objects.get_for_model(Counter)
    user = User.objects.create_user("clerk", is_staff=True)
    for codename in codenames:
        user.user_permissions.add(
            Permission.objects.get_or_create(content_type=content_type, codename=codename)[0]
        )
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("query", ["credits", "CREDITS", "2026 cRe", "äs"])
def test_the_search_ignores_case(client: Client, query: str) -> None:
    """The collation of the names doesn't, where it is a binary one."""
    Counter.objects.create(name="Credits äs 2026", last=77)
    page = text(client.get(PAGES, {"q": query}))
    assert "77" in page
    assert "1234" not in page


def test_the_search_finds_a_name_as_it_is_written(client: Client) -> None:
    """The search works even if the database can't convert the letters to lower case."""
    Counter.objects.create(name="ÄPFEL", last=77)
    assert "77" in text(client.get(PAGES, {"q": "ÄPFEL"}))


def test_the_history_is_of_this_sequence(client: Client) -> None:
    """It excludes names that differ only in case, even if the log's collation ignores case."""
    Counter.objects.create(name="Invoices", last=5)
    change(client, "set", value=1300)
    change(client, "set", "Invoices", value=6)
    change(client, "rename", "Invoices", new_name="bills")
    history = text(client.get(f"{INVOICES}history/"))
    assert "from 1234 to 1300" in history
    assert "from 5 to 6" not in history
    assert "from 5 to 6" in text(client.get(f"{PAGES}bills/history/"))
    change(client, "rename", "bills", new_name="Invoices")
    assert "from 5 to 6" not in text(client.get(f"{INVOICES}history/"))


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("backend", ["auto", "orm"])
def test_a_change(client: Client, kind: str, backend: str, settings: Any) -> None:
    """A change is made and recorded."""
    settings.SEQUENCES_BACKEND = backend
    change(client, kind, **ANSWERS[kind])
    assert counters() == AFTER[kind]
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize("kind", CHANGES)
def test_a_sequence_that_is_held(
    client: Client, kind: str, using: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page doesn't wait for ever for the transaction that holds it, and changes nothing."""
    monkeypatch.setattr(sequences_admin, "PATIENCE", 1)
    with held("invoices", using):
        start = time.monotonic()
        page = text(change(client, kind, **ANSWERS[kind]))
        assert time.monotonic() - start < 10
        assert "another transaction has locked the sequence for more than 1 seconds" in page
    assert counters() == [("invoices", 1234)]
    assert not LogEntry.objects.exists()
    change(client, kind, **ANSWERS[kind])
    assert counters() == AFTER[kind]


@pytest.mark.parametrize("name", ["a", "z"])
def test_renaming_to_a_name_that_is_just_being_used(
    client: Client, using: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renaming doesn't wait forever for a transaction that first uses the new name."""
    monkeypatch.setattr(sequences_admin, "PATIENCE", 1)
    with held(name, using):
        page = text(change(client, "rename", new_name=name))
        assert "another transaction has locked the sequence" in page
    assert counters() == [("invoices", 1234)]


@pytest.mark.parametrize("kind", CHANGES)
def test_two_at_the_same_moment(
    client: Client, kind: str, using: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number is compared after the counter is locked, not when the page was requested."""
    asked = threading.Event()

    def noted(*args: Any, **kwargs: Any) -> Any:
        asked.set()
        return locked(*args, **kwargs)

    def confirm() -> str:
        sent = {**ANSWERS[kind], "confirmed": "yes", "shown": "1234"}
        return text(client.post(f"{INVOICES}{kind}/", sent, follow=True))

    monkeypatch.setattr(sequences_admin, "locked", noted)
    monkeypatch.setattr(sequences_admin, "PATIENCE", PATIENCE)
    second = Elsewhere(confirm, using)
    with transaction.atomic(using=using):
        set_last_value(1300, "invoices", using=using)
        second.start()
        second.reach(asked)
        assert second.is_waiting()
    assert "has changed since you were asked: its last number is 1300" in second.result()
    assert counters() == [("invoices", 1300)]
    assert not LogEntry.objects.exists()


def test_a_taker_waits_for_the_change(client: Client, using: str) -> None:
    """The number that is taken meanwhile is one after the change, and not one before it."""
    with locked("invoices", timeout=5, using=using) as last:
        assert last == 1234

        def take() -> int:
            with transaction.atomic(using=using):
                return get_next_value("invoices", using=using)

        taker = Elsewhere(take, using)
        taker.start()
        assert taker.is_waiting()
        set_last_value(5, "invoices", force=True, using=using)
    assert taker.result() == 6


def test_locking_changes_nothing(client: Client, using: str) -> None:
    """Locking changes no counter, and creates none."""
    for name, free in (("invoices", None), ("invoices", "bills"), ("invoices", "zebras")):
        with locked(name, free=free, timeout=5, using=using) as last:
            assert last == 1234
    with pytest.raises(Counter.DoesNotExist), locked("bills", timeout=5, using=using):
        pass
    Counter.objects.create(name="bills", last=3)
    both = locked("invoices", free="bills", timeout=5, using=using)
    with pytest.raises(ValueError, match="bills"), both:
        pass
    assert counters() == [("bills", 3), ("invoices", 1234)]


@pytest.mark.parametrize("kind", CHANGES)
def test_with_a_transaction_for_each_request(
    client: Client, kind: str, using: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ATOMIC_REQUESTS doesn't keep the lock, nor hide the errors of the COMMIT."""
    atomic_requests(using, monkeypatch)
    assert text(client.get(PAGES))
    assert text(client.get(f"{INVOICES}change/"))
    monkeypatch.setattr(sequences_admin, "PATIENCE", 1)
    with held("invoices", using):
        page = text(change(client, kind, **ANSWERS[kind]))
        assert "another transaction has locked the sequence" in page
    change(client, kind, **ANSWERS[kind])
    assert counters() == AFTER[kind]


@pytest.mark.parametrize("atomic", [False, True])
def test_without_the_table(
    client: Client, using: str, atomic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page names the command that makes it."""
    atomic_requests(using, monkeypatch, atomic)
    client = clerk(["view_counter", "change_counter", "set_counter", "delete_counter"])
    call_command("migrate", "sequences_core", "zero", database=using, verbosity=0)
    try:
        for page in (PAGES, *(f"{INVOICES}{kind}/" for kind in ("change", "history", *CHANGES))):
            shown = text(client.get(page))
            assert f"has no table {TABLE}: run manage.py migrate sequences_core" in shown, page
            assert "database installation" in shown
        shown = text(client.post(f"{INVOICES}set/", {"value": 5, "confirmed": "yes"}))
        assert f"has no table {TABLE}" in shown
    finally:
        call_command("migrate", "sequences_core", database=using, verbosity=0)


@pytest.mark.parametrize("kind", CHANGES)
def test_without_the_privilege_to_write(client: Client, kind: str, using: str) -> None:
    """The page shows what the database says, and nothing is changed."""
    with privileges(using, "SELECT"):
        assert "invoices" in text(client.get(PAGES))
        page = text(change(client, kind, **ANSWERS[kind]))
        assert "The database refused the change:" in page
    assert counters() == [("invoices", 1234)]
    assert not LogEntry.objects.exists()


def test_without_the_privilege_to_read(client: Client, using: str) -> None:
    """Each page shows what the database says."""
    if connections[using].vendor == "sqlite":
        return  # which has no privileges
    with privileges(using, ""):
        for page in (PAGES, *(f"{INVOICES}{kind}/" for kind in ("change", "history", *CHANGES))):
            shown = text(client.get(page))
            assert "denied" in shown, page
            assert "database installation" in shown
