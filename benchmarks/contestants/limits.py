"""Limits: no way of numbering can be faster than these on the same database."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
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

REPORT = re.compile(r"actually processed: (\d+).*^tps = ([\d.]+)", re.DOTALL | re.MULTILINE)
"""The number of transactions, and of transactions per second, in the output of pgbench."""

UNKNOWN = -1
"""A placeholder for a number that isn't taken yet."""


def statement_of(call: Call, name: str) -> Statement:
    """Return the statement that ``call`` issues for an existing counter."""
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


def everyone() -> Iterator[Contestant]:
    """Yield the limits: our statement alone, a round trip, and pgbench on PostgreSQL."""
    vendor, select = connection.vendor, "SELECT 1" + connection.features.bare_select_suffix
    calls: dict[str, Call] = {
        "bare statement, Django's cursor": by(through_django),
        "SELECT 1": lambda name: through_django(select, None),
        "raw driver": by(through_driver),
    }
    for name, call in calls.items():
        check = driver_check if name == "raw driver" else lambda: None
        yield Contestant(name, "limit", calls={"plain": call}, check=check)
    if vendor == "postgresql":
        shared: Any = {"models": (Invoice, Counter), "check": pgbench_check, "last": get_last_value}
        yield PgBench("pgbench", "limit", script=insert, **shared)
        yield PgBench("pgbench, take then insert", "limit", script=take_then_insert, **shared)


def driver_check() -> str | None:
    known = connection.vendor in {"postgresql", "mysql", "sqlite"}
    return None if known else f"the suite supports no raw driver of {connection.vendor}"


def pgbench_check() -> str | None:
    return None if which("pgbench") else "pgbench is not installed"


def by(run: Callable[[str, Any], Any]) -> Call:
    """Return a call that runs the statement of get_next_value, which it records at first."""
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
    """Run a statement on Django's connection without Django, prepared where the driver can."""
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
    """A script of prepared statements that PostgreSQL's load generator runs."""

    script: Callable[[], str] = str

    def load(self, writers: int, seconds: float, port: int | None) -> float:
        """Run the script in parallel; return the seconds, without the time to connect."""
        settings: dict[str, Any] = connection.settings_dict
        host = settings["HOST"] if port is None else "127.0.0.1"
        options = ["-n", "-M", "prepared", "-f", "-", "-h", host, "-U", settings["USER"]]
        options += ["-p", str(port or settings["PORT"]), "-c", str(writers)]
        # pgbench accepts whole seconds only.
        options += ["-j", str(min(2, writers)), "-T", str(max(1, round(seconds)))]
        done = subprocess.run(
            [str(which("pgbench")), *options, settings["NAME"]],
            input=self.script(),
            env={"PGPASSWORD": settings["PASSWORD"] or ""},
            capture_output=True,
            text=True,
        )
        report = REPORT.search(done.stdout)
        if done.returncode or report is None:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return float(report[1]) / float(report[2])


def insert() -> str:
    """Return a script with the INSERT of NextValue."""
    return text_of(storing(NextValue)) + ";\n"


def take_then_insert() -> str:
    """Return a script that takes a number, inserts the row and commits."""
    stored = text_of(storing(lambda scope: UNKNOWN)).replace(str(UNKNOWN), ":last")
    return f"BEGIN;\n{text_of(get_next_value)} \\gset\n{stored};\nCOMMIT;\n"


def text_of(call: Call) -> str:
    """Return the statement that ``call`` issues, with its parameters interpolated."""
    from psycopg import ClientCursor

    sql, params = statement_of(call, ONE)
    connection.ensure_connection()
    return ClientCursor(connection.connection).mogrify(sql, params)
