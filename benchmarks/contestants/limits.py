"""Limits: no way of numbering can be faster than these on the same database."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
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
    select = "SELECT 1" + connection.features.bare_select_suffix
    yield Contestant("bare statement, Django's cursor", "limit", calls={"plain": bare()})
    yield Contestant("SELECT 1", "limit", calls={"plain": lambda name: run(select, None)})
    if connection.vendor == "postgresql":
        models, check = (Invoice, Counter), pgbench_check
        yield PgBench("pgbench", "limit", models=models, last=get_last_value, check=check)


def pgbench_check() -> str | None:
    return None if which("pgbench") else "pgbench is not installed"


def bare() -> Call:
    """Return a call that runs the statement of get_next_value, which it records at first."""
    statements: dict[str, Statement] = {}

    def call(name: str) -> Any:
        if name not in statements:
            statements[name] = statement_of(get_next_value, name)
            return get_next_value(name)
        return run(*statements[name])

    return call


def run(sql: str, params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else cursor.lastrowid


class PgBench(Contestant):
    """The INSERT of NextValue as a prepared statement, which PostgreSQL's load generator runs."""

    def load(self, writers: int, seconds: float, port: int | None) -> float:
        """Run the INSERT in parallel; return the seconds, without the time to connect."""
        from psycopg import ClientCursor

        settings: dict[str, Any] = connection.settings_dict
        host = settings["HOST"] if port is None else "127.0.0.1"
        options = ["-n", "-M", "prepared", "-f", "-", "-h", host, "-U", settings["USER"]]
        options += ["-p", str(port or settings["PORT"]), "-c", str(writers)]
        # pgbench accepts whole seconds only.
        options += ["-j", str(min(2, writers)), "-T", str(max(1, round(seconds)))]
        insert = statement_of(storing(NextValue), ONE)
        connection.ensure_connection()
        done = subprocess.run(
            [str(which("pgbench")), *options, settings["NAME"]],
            input=ClientCursor(connection.connection).mogrify(*insert) + ";\n",
            env={"PGPASSWORD": settings["PASSWORD"] or ""},
            capture_output=True,
            text=True,
        )
        report = REPORT.search(done.stdout)
        if done.returncode or report is None:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return float(report[1]) / float(report[2])
