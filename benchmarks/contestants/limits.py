"""What no way of numbering can be faster than, on this database."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from benchmarks.contestants.base import ONE, Call, Contestant, Rollback, storing
from benchmarks.models import Invoice
from sequences_core import NextValue, get_last_value, get_next_value
from sequences_core.models import Counter
from tests.servers.install import which

Statement = tuple[str, Any]

SAID = re.compile(r"actually processed: (\d+).*^tps = ([\d.]+)", re.DOTALL | re.MULTILINE)
"""What pgbench says of its run: how many transactions, and how many per second."""

UNKNOWN = -1
"""Stands for a number that isn't taken yet."""


def statement_of(call: Call, name: str) -> Statement:
    """The statement that ``call`` issues for the counter ``name``, once that exists."""
    statements: list[Statement] = []

    def record(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append((sql, params))
        return execute(sql, params, many, context)

    with suppress(Rollback), transaction.atomic():
        call(name)
        with connection.execute_wrapper(record):
            call(name)
        raise Rollback
    return statements[-1]


def limit(name: str, call: Call, **values: Any) -> Contestant:
    return Contestant(name, "limit", calls={"plain": call}, **values)


def bare_statement() -> Contestant:
    """The statement of our backend by itself, through Django's cursor."""
    return limit("bare statement, Django's cursor", by(through_django))


def raw_driver() -> Contestant:
    """The same by the driver alone."""

    def check() -> str | None:
        known = connection.vendor in {"postgresql", "mysql", "sqlite"}
        return None if known else f"the suite can't drive {connection.vendor} without Django"

    return limit("raw driver", by(through_driver), check=check)


def round_trip() -> Contestant:
    """A question to the server that costs it nothing."""
    select = "SELECT 1" + connection.features.bare_select_suffix
    return limit("SELECT 1", lambda name: through_django(select, None))


def by(run: Callable[[str, Any], Any]) -> Call:
    """Runs the statement of get_next_value, which it issues itself the first time."""
    statements: dict[str, Statement] = {}

    def call(name: str) -> Any:
        if name not in statements:
            statements[name] = statement_of(get_next_value, name)
            return get_next_value(name)
        return run(*statements[name])

    return call


def through_django(sql: str, params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else cursor.lastrowid


def through_driver(sql: str, params: Any) -> Any:
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


@dataclass(frozen=True)
class PgBench(Contestant):
    """Statements, prepared, run by PostgreSQL's own load generator."""

    script: Callable[[], str] = str

    def load(self, writers: int, seconds: float, port: int | None) -> float:
        """Have so many writers do so; return the seconds, without the time to connect."""
        settings: dict[str, Any] = connection.settings_dict
        host = settings["HOST"] if port is None else "127.0.0.1"
        options = ["-n", "-M", "prepared", "-f", "-", "-h", host, "-U", settings["USER"]]
        options += ["-p", str(port or settings["PORT"]), "-c", str(writers)]
        # It counts in whole seconds.
        options += ["-j", str(min(2, writers)), "-T", str(max(1, round(seconds)))]
        done = subprocess.run(
            [str(which("pgbench")), *options, settings["NAME"]],
            input=self.script(),
            env={"PGPASSWORD": settings["PASSWORD"] or ""},
            capture_output=True,
            text=True,
        )
        said = SAID.search(done.stdout)
        if done.returncode or said is None:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return float(said[1]) / float(said[2])


def pgbench(name: str, script: Callable[[], str]) -> PgBench:
    def check() -> str | None:
        return None if which("pgbench") else "pgbench is not installed"

    models = (Invoice, Counter)
    return PgBench(name, "limit", models=models, check=check, last=get_last_value, script=script)


def insert() -> str:
    """The INSERT of NextValue."""
    return text_of(storing(NextValue)) + ";\n"


def take_then_insert() -> str:
    """The same for get_next_value: take the number, insert the row, commit."""
    stored = text_of(storing(lambda scope: UNKNOWN)).replace(str(UNKNOWN), ":last")
    return f"BEGIN;\n{text_of(get_next_value)} \\gset\n{stored};\nCOMMIT;\n"


def text_of(call: Call) -> str:
    """The statement that ``call`` issues, with its parameters."""
    from psycopg import ClientCursor

    sql, params = statement_of(call, ONE)
    connection.ensure_connection()
    return ClientCursor(connection.connection).mogrify(sql, params)
