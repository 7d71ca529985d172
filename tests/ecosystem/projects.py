"""Checks that apply to every project here."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext, override_settings

from sequences_core import SequenceLocked, get_next_value
from sequences_core.allocator import FUNCTION
from sequences_core.table import TABLE


def messages_of_ours() -> list[checks.CheckMessage]:
    """Return what the checks of this repository say of the project and its database."""
    found = checks.run_checks(databases=["default"])
    return [message for message in found if str(message.id).startswith("sequences")]


def statements_on_counters(queries: CaptureQueriesContext) -> list[str]:
    """Return the statements that name the table of counters, or the function that moves them."""
    statements = [query["sql"] for query in queries.captured_queries]
    return [sql for sql in statements if TABLE in sql.lower() or FUNCTION in sql.lower()]


@contextmanager
def no_counter_touched() -> Iterator[None]:
    """Assert that the block runs no statement on a counter."""
    with CaptureQueriesContext(connection) as queries:
        yield
    assert statements_on_counters(queries) == []


def is_free(name: str) -> bool:
    """Can another session take a number at once? It gives that number back."""
    outcomes: list[Any] = []

    def take() -> None:
        try:
            with transaction.atomic():
                get_next_value(name, nowait=True)
                transaction.set_rollback(True)
            outcomes.append(True)
        except SequenceLocked:
            outcomes.append(False)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            outcomes.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    assert outcomes in ([True], [False]), outcomes
    return bool(outcomes[0])


def unique_columns(table: str) -> set[tuple[str, ...]]:
    """Return the columns of each unique constraint or index of a table, but the primary key's."""
    with connection.cursor() as cursor:
        found: Any = connection.introspection.get_constraints(cursor, table)
    return {
        tuple(each["columns"])
        for each in found.values()
        if each["unique"] and not each["primary_key"]
    }


def assert_migrations_settle(app_label: str, folder: Path) -> None:
    """``makemigrations --check`` finds nothing after ``makemigrations``, as the user runs them."""
    package = f"migrations_of_{app_label}"
    (folder / package).mkdir()
    (folder / package / "__init__.py").touch()
    modules = {**settings.MIGRATION_MODULES, app_label: package}
    sys.path.insert(0, str(folder))
    try:
        with override_settings(MIGRATION_MODULES=modules):
            call_command("makemigrations", app_label, verbosity=0, interactive=False)
            written = (folder / package / "0001_initial.py").read_text()
            assert "SequenceField" in written
            out = StringIO()
            # SystemExit would say that there are changes, and the output which.
            try:
                call_command("makemigrations", app_label, check=True, dry_run=True, stdout=out)
            except SystemExit:
                raise AssertionError(out.getvalue()) from None
    finally:
        sys.path.remove(str(folder))
        for module in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[module]
