"""Counters in PostgreSQL: one upsert with RETURNING."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from django.core.checks import CheckMessage
from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import Allocation, Allocator
from sequences_core.diagnosis import Holder
from sequences_core.early_release import durability as known_durability
from sequences_core.early_release import durability_in_transaction, wait_after_commit
from sequences_core.table import quoted_table, with_table

from . import diagnosis, function, holders
from .early_release import (
    binds_itself,
    durability_of,
    level_of,
    not_allowed,
    releases_alone,
    send_together,
    wait,
)
from .statements import (
    DEFAULT_STORAGE,
    DURABILITY,
    EARLY,
    IS_PARTITIONED,
    LIMITED,
    LOCK_AS_FOR_STORAGE,
    LOOPING_UPSERT,
    RELEASING,
    STORAGE,
    UPDATE,
    UPSERT,
    UPSERT_ONE,
    WAIT_AS_SESSION,
)

# The states idle, active, and in a transaction; the others are a failed transaction, and unknown.
# The numbers are libpq's, in psycopg and psycopg2
# (https://www.postgresql.org/docs/15/libpq-status.html).
ALIVE = frozenset({0, 1, 2})


class PostgreSQLAllocator(Allocator):
    """Take a block by one statement and one round trip, with or without a timeout."""

    protocol = 1
    vendors = frozenset({"postgresql"})
    can_limit_wait = True
    can_limit_first_wait = True
    supports_function = True
    can_release_early = True
    # serialization_failure, deadlock_detected; lock_not_available; undefined_function;
    # undefined_table (https://www.postgresql.org/docs/15/errcodes-appendix.html)
    retryable_codes: ClassVar = frozenset({"40001", "40P01"})
    lock_timeout_codes: ClassVar = frozenset({"55P03"})
    missing_function_codes: ClassVar = frozenset({"42883"})
    missing_table_codes: ClassVar = frozenset({"42P01"})

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        name, first_last = allocation.name, allocation.first_last
        if allocation.reset_value is None:
            if allocation.count == 1:
                return self._last(connection, UPSERT_ONE, [name, first_last], allocation.timeout)
            params: list[Any] = [name, first_last, allocation.count, allocation.highest_before]
            return self._last(connection, UPSERT, params, allocation.timeout)
        params = [name, first_last, allocation.reset_value - 1, allocation.initial_value]
        return self._last(connection, LOOPING_UPSERT, params, allocation.timeout)

    def update(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        params = [allocation.count, allocation.name, allocation.highest_before]
        return self._last(connection, UPDATE, params, allocation.timeout)

    def aborts_transaction(self, connection: BaseDatabaseWrapper, error: DatabaseError) -> bool:
        # The state is from the server's last answer: there may have been a rollback to a savepoint.
        return connection.connection.info.transaction_status not in ALIVE

    def name_column(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        # It compares bytes, and doesn't depend on the operating system's locales.
        return {"collation": "C"}

    def reads_uncommitted(self, connection: BaseDatabaseWrapper) -> bool:
        from django.db.backends.postgresql.psycopg_any import IsolationLevel  # imports the driver

        level = connection.settings_dict.get("OPTIONS", {}).get("isolation_level")
        return bool(level == IsolationLevel.READ_UNCOMMITTED)

    def has_schemas(self, connection: BaseDatabaseWrapper) -> bool:
        return True

    def namespace(self, connection: BaseDatabaseWrapper) -> str:
        # django-tenants sets search_path to this attribute's value.
        return getattr(connection, "schema_name", None) or ""

    def install(self, connection: BaseDatabaseWrapper) -> None:
        # The lock of this ALTER TABLE conflicts with itself, and is held until the end of the
        # transaction, so that only one session at a time replaces the function.
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            self._set_storage(cursor, STORAGE)
            function.make(cursor)

    def uninstall(self, connection: BaseDatabaseWrapper) -> None:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            self._set_storage(cursor, DEFAULT_STORAGE)
            function.drop(cursor)

    def is_installed(self, connection: BaseDatabaseWrapper) -> bool:
        with connection.cursor() as cursor:
            return function.is_current(cursor)

    def durability(self, connection: BaseDatabaseWrapper) -> str | None:
        level, allowed, run = self._durability(connection)
        return durability_of(level, run) if allowed and level != "off" else None

    def releasing(self, connection: BaseDatabaseWrapper, sql: str, durability: str) -> str:
        if not (connection.in_atomic_block or releases_alone(connection, durability)):
            return sql
        # The level is safe to interpolate: it is a value of PostgreSQL's setting.
        return RELEASING.replace("%s", f"'{level_of(durability)}'").replace("{call}", sql)

    def wait_until_durable(self, connection: BaseDatabaseWrapper, durability: str | None) -> None:
        if durability is not None:
            wait(connection, durability)
        elif releases_alone(connection, known_durability(connection) or ""):
            with connection.cursor() as cursor:
                cursor.execute(WAIT_AS_SESSION)

    def waiting_wrapper(self, connection: BaseDatabaseWrapper) -> Callable[..., Any] | None:
        from django.db.backends.postgresql.psycopg_any import is_psycopg3  # imports the driver

        # Only a simple query can have several statements. psycopg2 returns the last result only.
        return send_together if is_psycopg3 and binds_itself(connection) else None

    def check_early_release(self, connection: BaseDatabaseWrapper) -> Sequence[CheckMessage]:
        _, allowed, _ = self._durability(connection)
        return () if allowed else [not_allowed(connection)]

    def holders(self, connection: BaseDatabaseWrapper, name: str | None = None) -> Sequence[Holder]:
        return holders.holders(connection, name)

    def describe(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        return super().describe(connection) | diagnosis.describe(connection)

    def diagnose(self, connection: BaseDatabaseWrapper) -> Iterable[CheckMessage]:
        return diagnosis.diagnose(connection)

    def without_waiting(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        return diagnosis.without_waiting(connection)

    @staticmethod
    def _set_storage(cursor: Any, statement: str) -> None:
        cursor.execute(IS_PARTITIONED, [quoted_table()])
        (is_partitioned,) = cursor.fetchone()
        cursor.execute(with_table(LOCK_AS_FOR_STORAGE if is_partitioned else statement))

    @staticmethod
    def _durability(connection: BaseDatabaseWrapper) -> tuple[str, bool, str | None]:
        with connection.cursor() as cursor:
            cursor.execute(DURABILITY, [connection.connection.info.backend_pid])
            row: tuple[str, bool, str | None] = cursor.fetchone()
        return row

    @staticmethod
    def _last(
        connection: BaseDatabaseWrapper, statement: str, params: list[Any], timeout: float | None
    ) -> int | None:
        if timeout is not None:
            # 0 would disable the timeout, so the minimum is 1 ms.
            statement = LIMITED[statement]
            params = [f"{max(1, math.ceil(timeout * 1000))}ms", *params]
        durability = durability_in_transaction(connection)
        if durability is not None:
            statement, params = EARLY[statement], [*params, level_of(durability)]
        with connection.cursor() as cursor:
            cursor.execute(with_table(statement), params)
            row = cursor.fetchone()
        if durability is not None and row is not None and row[1] is not None:
            wait_after_commit(connection)
        return None if row is None else row[0]
