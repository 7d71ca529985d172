"""What no way of numbering can be faster than, on this database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from benchmarks.contestants.base import ONE, Call, Contestant, Rollback
from benchmarks.contestants.ours import InStatement, Ours
from benchmarks.models import Invoice
from sequences_core import get_next_value
from tests.servers.install import which

Statement = tuple[str, Any]

UNKNOWN = -1
"""Stands for a number that isn't taken yet."""


@contextmanager
def recorded() -> Iterator[list[Statement]]:
    """Record the statements that go through Django's cursor, with their parameters."""
    statements: list[Statement] = []

    def record(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(record):
        yield statements


def statement_of(call: Call, name: str) -> Statement:
    """The statement that ``call`` issues for the counter ``name``, once that exists."""
    with suppress(Rollback), transaction.atomic():
        call(name)
        with recorded() as statements:
            call(name)
        raise Rollback
    return statements[-1]


class Limit(Contestant):
    """A limit of the calls alone."""

    kind = "limit"
    stores_rows = False

    def create(self, scope: str) -> None:
        raise NotImplementedError


class RoundTrip(Limit):
    """A question to the server that costs it nothing."""

    name = "SELECT 1"

    def calls(self) -> Mapping[str, Call]:
        def call(name: str) -> Any:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1" + connection.features.bare_select_suffix)
                return cursor.fetchall()

        return {"plain": call}


class BareStatement(Limit):
    """The statement of our backend by itself: through Django's cursor, or by the driver alone."""

    def __init__(self, *, driver: bool = False) -> None:
        self.name = "raw driver" if driver else "bare statement, Django's cursor"
        self.run = by_driver if driver else by_django

    def unfit(self) -> str | None:
        known = self.run is by_django or self.vendor in {"postgresql", "mysql", "sqlite"}
        return None if known else f"the suite can't drive {self.vendor} without Django"

    def calls(self) -> Mapping[str, Call]:
        statements: dict[str, Statement] = {}

        def call(name: str) -> Any:
            if name not in statements:
                statements[name] = statement_of(get_next_value, name)
                return get_next_value(name)
            return self.run(*statements[name])

        return {"plain": call}


def by_django(sql: str, params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else cursor.lastrowid


def by_driver(sql: str, params: Any) -> Any:
    """On Django's connection but without Django; prepared where the driver does that."""
    raw: Any = connection.connection
    if connection.vendor == "sqlite":
        return raw.execute(sql.replace("%s", "?"), params).fetchall()
    if connection.vendor == "mysql":  # mysqlclient sends text
        with raw.cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall() or cursor.lastrowid
    import psycopg

    raw.prepare_threshold = 0  # Django says "never"; its own cursors don't prepare anyway
    with psycopg.Cursor(raw) as cursor:
        return cursor.execute(sql, params, prepare=True).fetchall()


class PgBench(Ours):
    """The in-statement INSERT, prepared, by PostgreSQL's own load generator."""

    kind = "limit"
    name = "pgbench"
    stores_rows = False

    @property
    def program(self) -> Path | None:
        return which("pgbench")

    def unfit(self) -> str | None:
        return InStatement().unfit() if self.program else "pgbench is not installed"

    def create(self, scope: str) -> None:
        raise NotImplementedError

    def script(self) -> str:
        """What a writer runs."""
        return self.statement(InStatement().create) + ";\n"

    def statement(self, call: Call) -> str:
        """The statement that ``call`` issues, for pgbench."""
        from psycopg import ClientCursor

        sql, params = statement_of(call, ONE)
        connection.ensure_connection()
        return ClientCursor(connection.connection).mogrify(sql, params)


class PgBenchTransaction(PgBench):
    """The same for get_next_value: take the number, insert the row, commit."""

    name = "pgbench, take then insert"

    def script(self) -> str:
        take = self.statement(get_next_value)
        insert = self.statement(insert_unknown).replace(str(UNKNOWN), ":last")
        return f"BEGIN;\n{take} \\gset\n{insert};\nCOMMIT;\n"


def insert_unknown(scope: str) -> None:
    Invoice.objects.create(scope=scope, number=UNKNOWN)
