"""What no way of numbering can be faster than, on this database, from Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.db.models import Model

from benchmarks.app.models import Invoice
from benchmarks.contestants.base import ONE, Call, Contestant, Rollback
from benchmarks.contestants.ours import EARLY, InStatement, Ours
from sequences_core import get_allocator, get_next_value
from sequences_core.early_release import durability
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

    def models(self) -> Iterable[type[Model]]:
        return [Invoice]

    stores_rows = False

    def create(self, scope: str) -> None:
        raise NotImplementedError


class BareStatement(Limit):
    """The statement of our backend, through Django's cursor, by itself."""

    name = "bare statement, Django's cursor"

    def calls(self) -> Mapping[str, Call]:
        statements: dict[str, Statement] = {}

        def call(name: str) -> Any:
            if name not in statements:
                statements[name] = statement_of(get_next_value, name)
                return get_next_value(name)
            with connection.cursor() as cursor:
                cursor.execute(*statements[name])
                return cursor.fetchall() if cursor.description else cursor.lastrowid

        return {"plain": call}


class RoundTrip(Limit):
    """A question to the server that costs it nothing."""

    name = "SELECT 1"

    def calls(self) -> Mapping[str, Call]:
        def call(name: str) -> Any:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1" + connection.features.bare_select_suffix)
                return cursor.fetchall()

        return {"plain": call}


class RawDriver(Ours):
    """Our statements by the database's driver, on Django's connection but without Django.

    Prepared where the driver does that: psycopg and sqlite3. mysqlclient sends text.
    """

    name = "raw driver"
    kind = "limit"

    def __init__(self) -> None:
        super().__init__()
        self._takes: dict[str, Statement] = {}
        self._inserts: dict[str, Statement] = {}

    @cached_property
    def by_function(self) -> bool:
        """Does the database take the number inside the INSERT?"""
        return InStatement().unfit() is None

    def unfit(self) -> str | None:
        known = self.vendor in {"postgresql", "mysql", "sqlite"}
        return None if known else f"the suite can't drive {self.vendor} without Django"

    def calls(self) -> Mapping[str, Call]:
        def call(name: str) -> int:
            if name not in self._takes:
                self._takes[name] = statement_of(get_next_value, name)
                return get_next_value(name)
            return run(*self._takes[name])

        return {"plain": call}

    def create(self, scope: str) -> None:
        self._record(scope)
        sql, params = self._inserts[scope]
        if not self.by_function:
            number = run(*self._takes[scope])
            params = [number if param == UNKNOWN else param for param in params]
        run(sql, params)

    def issue(self, scope: str, *, rollback: bool = False) -> None:
        if self.by_function and not rollback:
            return self.create(scope)
        if rollback or self.vendor != "sqlite":
            return super().issue(scope, rollback=rollback)
        self._record(scope)
        raw = self.connection.connection
        raw.execute("BEGIN IMMEDIATE")
        self.create(scope)
        raw.execute("COMMIT")
        return None

    def _record(self, scope: str) -> None:
        if scope not in self._inserts:
            self._inserts[scope] = statement_of(self._insert, scope)
            self._takes[scope] = statement_of(get_next_value, scope)

    def _insert(self, scope: str) -> None:
        if self.by_function:
            InStatement().create(scope)
        else:
            insert_unknown(scope)


def insert_unknown(scope: str) -> None:
    Invoice.objects.create(scope=scope, number=UNKNOWN)


def run(sql: str, params: Any) -> int:
    """Run a statement by the driver and return the number it gives, if any."""
    raw: Any = connection.connection
    if connection.vendor == "sqlite":
        rows = raw.execute(sql.replace("%s", "?"), params).fetchall()
        return int(rows[0][0])
    if connection.vendor == "mysql":
        with raw.cursor() as cursor:
            cursor.execute(sql, params)
            rows = cursor.fetchall()
            return int(rows[0][0] if rows else cursor.lastrowid)
    import psycopg

    raw.prepare_threshold = 0  # Django says "never"; its own cursors don't prepare anyway
    with psycopg.Cursor(raw) as cursor:
        cursor.execute(sql, params, prepare=True)
        row = cursor.fetchone()
        return int(row[0]) if row else 0


class PgBench(Ours):
    """The in-statement INSERT, prepared, by PostgreSQL's own load generator."""

    kind = "limit"
    in_transaction = False

    def __init__(self, *, early: bool = False) -> None:
        super().__init__(early=early)
        self.name = self.title + EARLY * early

    title = "pgbench"

    @property
    def program(self) -> Path | None:
        return which("pgbench")

    def unfit(self) -> str | None:
        if self.program is None:
            return "pgbench is not installed"
        return InStatement(early=self.early).unfit()

    stores_rows = False

    def create(self, scope: str) -> None:
        raise NotImplementedError

    def script(self, *, own: bool) -> str:
        """What a writer runs, with all writers in one scope or each in its own."""
        script = self.statement(InStatement().create, own=own) + ";\n"
        return script + self.wait() if self.early else script

    def wait(self) -> str:
        """The statement by which who releases a counter early waits for the disk."""
        with self.active():
            level = durability(connection)

            def wait(name: str) -> None:
                get_allocator(connection).wait_until_durable(connection, level)

            return self.statement(wait, own=False) + ";\n"

    def statement(self, call: Call, *, own: bool) -> str:
        """The statement that ``call`` issues, for pgbench."""
        from psycopg import ClientCursor

        with self.active():
            sql, params = statement_of(call, "@" if own else ONE)
        connection.ensure_connection()
        text = ClientCursor(connection.connection).mogrify(sql, params)
        return text.replace("'@'", "('w' || :client_id)")


class PgBenchTransaction(PgBench):
    """The same for get_next_value: take the number, insert the row, commit."""

    title = "pgbench, take then insert"

    def unfit(self) -> str | None:
        return None if self.program else "pgbench is not installed"

    def script(self, *, own: bool) -> str:
        take = self.statement(get_next_value, own=own)
        insert = self.statement(insert_unknown, own=own).replace(str(UNKNOWN), ":last")
        return f"BEGIN;\n{take} \\gset\n{insert};\nCOMMIT;\n"
