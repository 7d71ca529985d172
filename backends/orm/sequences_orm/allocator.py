"""Counters in any database that Django supports, through the ORM without SQL."""

from __future__ import annotations

import functools
import re
import sqlite3
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from django.apps.registry import Apps
from django.db import (
    DatabaseError,
    IntegrityError,
    OperationalError,
    connections,
    models,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, F, Value, When

from sequences_core.allocator import Allocation, Allocator
from sequences_core.arguments import MAX_NAME_LENGTH
from sequences_core.table import TABLE

from . import vendors

if TYPE_CHECKING:
    from sequences_core.models import Counter

SQLSTATES = ("sqlstate", "pgcode")
"""The attributes with the SQLSTATE: of psycopg's and Firebird's errors, and of psycopg2's."""

OF_LIBPQ = ("pgconn", "pgcode")
"""The attributes that only the errors of psycopg and of psycopg2 have."""

ALIVE = frozenset({0, 1, 2})
"""libpq's transaction states that are not an error: idle, active, in a transaction."""

SQLSTATE = re.compile("[0-9A-Z]{5}")
SERIALIZATION_FAILURE = "40001"


@functools.cache
def _new_counter() -> type[models.Model]:
    """Return a model of the table of counters whose primary key isn't ``name``, for `_create`.

    In an upsert, Django can set any column except the primary key. Setting ``name`` to its own
    value changes nothing, and locks the row. The class is created on first use, because a backend
    must be importable before Django's apps are loaded.
    """

    class NewCounter(models.Model):
        name = models.CharField(max_length=MAX_NAME_LENGTH, unique=True)
        last = models.BigIntegerField(primary_key=True)

        class Meta:
            apps = Apps()  # hides the model from migrations
            app_label = "sequences_orm"
            db_table = TABLE

        def __str__(self) -> str:
            return self.name

    return NewCounter


class ORMAllocator(Allocator):
    """Take a block by an UPDATE, which locks the counter, and a SELECT of the new value."""

    protocol = 1
    single_statement = False
    first_use_may_conflict = True  # on MySQL; sequences_mysql explains why
    # SQLSTATEs, numbers of MySQL and MariaDB, numbers of SQLite, and Oracle's with their prefix.
    # The last four are TiDB's: https://docs.pingcap.com/tidb/stable/error-codes
    retryable_codes: ClassVar = frozenset(
        {
            *(SERIALIZATION_FAILURE, "40P01", 1213, 1020, "ORA-00060", "ORA-08177"),
            *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED),
            *(8002, 8005, 8022, 9007),
        }
    )
    missing_table_codes: ClassVar = frozenset(
        {"42P01", "42S02", 1146, "no such table", "ORA-00942"}
    )

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        counters = _counters(connection, allocation)
        with _transaction(connection):
            if not _move(counters, allocation):
                _create(connection, allocation)
                if not _move(counters, allocation):
                    _check_seen(counters, allocation)
                    return None
            return counters.get().last

    def update(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        counters = _counters(connection, allocation)
        with _transaction(connection):
            return counters.get().last if _move(counters, allocation) else None

    def name_column(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        return vendors.name_column(connection)

    def reads_uncommitted(self, connection: BaseDatabaseWrapper) -> bool:
        return vendors.reads_uncommitted(connection) or super().reads_uncommitted(connection)

    def has_schemas(self, connection: BaseDatabaseWrapper) -> bool:
        return vendors.has_schemas(connection)

    def aborts_transaction(self, connection: BaseDatabaseWrapper, error: DatabaseError) -> bool:
        # PostgreSQL, and databases with its protocol, abort the transaction after any error, until
        # a rollback to a savepoint. Their drivers, psycopg and psycopg2, know the state from the
        # server's last answer.
        cause = error.__cause__
        if not any(hasattr(cause, name) for name in OF_LIBPQ):
            return self.is_retryable(error)
        info = getattr(getattr(connection, "connection", None), "info", None)
        return getattr(info, "transaction_status", None) not in ALIVE

    def error_code(self, error: BaseException) -> str | int | None:
        cause = error.__cause__
        for name in SQLSTATES:
            if sqlstate := getattr(cause, name, None):
                return str(sqlstate)
        if sqlite_code := getattr(cause, "sqlite_errorcode", None):
            missing = str(error).startswith("no such table")
            return "no such table" if missing else int(sqlite_code) & 0xFF
        first = error.args[0] if error.args else None
        if oracle_code := getattr(first, "code", None):
            return f"ORA-{oracle_code:05}"
        if isinstance(first, int) or (isinstance(first, str) and SQLSTATE.fullmatch(first)):
            return first  # from mysqlclient, or from pyodbc for SQL Server
        return None


def _transaction(connection: BaseDatabaseWrapper) -> AbstractContextManager[Any]:
    """Return a transaction for several statements, or nothing if one is open."""
    if connection.in_atomic_block or not connection.get_autocommit():
        return nullcontext()
    return transaction.atomic(using=connection.alias)


def _counters(connection: BaseDatabaseWrapper, allocation: Allocation) -> models.QuerySet[Counter]:
    from sequences_core.models import Counter  # see _new_counter

    return Counter.objects.using(connection.alias).filter(pk=allocation.name)


def _move(counters: models.QuerySet[Counter], allocation: Allocation) -> int:
    """Lock and increase the counter; return the number of rows updated, 0 or 1."""
    if not vendors.update_waits(connections[counters.db]) and not counters.select_for_update():
        return 0
    if allocation.reset_value is None:
        movable = counters.filter(last__lte=allocation.highest_before)
        return movable.update(last=F("last") + allocation.count)
    below = When(last__lt=allocation.reset_value - 1, then=F("last") + 1)
    return counters.update(last=Case(below, default=Value(allocation.initial_value)))


def _check_seen(counters: models.QuerySet[Counter], allocation: Allocation) -> None:
    """Raise a conflict if this transaction can't see the counter; otherwise it is exhausted.

    In that case, another transaction has created the counter and committed after this one's
    snapshot began, so that neither the INSERT nor the UPDATE succeeds. Only a new transaction sees
    it.
    """
    if not counters.exists():
        raise OperationalError(
            SERIALIZATION_FAILURE,
            f"the counter of sequence {allocation.name!r} was created by another transaction "
            f"after this one's snapshot: run this one again",
        )


def _create(connection: BaseDatabaseWrapper, allocation: Allocation) -> None:
    """Lock the counter; if there is none, create it with the value before its first number."""
    assert isinstance(allocation.initial_value, int)
    model = _new_counter()
    new = model(name=allocation.name, last=allocation.initial_value - 1)
    counters = model._base_manager.using(connection.alias)
    if connection.features.supports_update_conflicts:
        # On MySQL, an INSERT that fails because of a duplicate takes a shared lock on the row. Two
        # transactions that then update the row deadlock. An upsert takes an exclusive lock.
        targeted = connection.features.supports_update_conflicts_with_target
        counters.bulk_create(
            [new],
            update_conflicts=True,
            update_fields=["name"],
            unique_fields=["name"] if targeted else None,
        )
        return
    try:
        with transaction.atomic(using=connection.alias):
            counters.bulk_create([new])
    except IntegrityError:
        pass  # another transaction has created it
