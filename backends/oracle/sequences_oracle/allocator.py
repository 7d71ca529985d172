"""Counters in Oracle: one anonymous block with a MERGE, which returns the value in an OUT bind."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any, ClassVar

from django.db import DatabaseError, ProgrammingError
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import FUNCTION, Allocation, Allocator
from sequences_core.arguments import MAX_NAME_LENGTH

from . import function
from .blocks import LIMITED, LOOPING_UPSERT, UPDATE_RETURNING, UPSERT, sql

INSUFFICIENT_PRIVILEGES = 1031


class OracleAllocator(Allocator):
    """Take a block of numbers by one PL/SQL block and one round trip, with or without a timeout."""

    protocol = 1
    vendors = frozenset({"oracle"})
    can_limit_wait = True
    can_limit_first_wait = False
    timeout_step = 1.0
    supports_function = True
    # https://docs.oracle.com/en/error-help/db/: can't serialize, deadlock; NOWAIT, WAIT n; no such
    # table or view; invalid identifier.
    retryable_codes: ClassVar = frozenset({8177, 60})
    lock_timeout_codes: ClassVar = frozenset({54, 30006})
    missing_table_codes: ClassVar = frozenset({942})
    names_missing_table = False
    missing_function_codes: ClassVar = frozenset({904})

    def upsert(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        binds = {"name": allocation.name, "first_last": allocation.first_last}
        if allocation.reset_value is None:
            binds |= {"count": allocation.count, "highest_before": allocation.highest_before}
            return self._last(connection, UPSERT, binds, allocation.timeout)
        binds |= {"last_before_reset": allocation.reset_value - 1}
        return self._last(connection, LOOPING_UPSERT, binds, allocation.timeout)

    def update(self, connection: BaseDatabaseWrapper, allocation: Allocation) -> int | None:
        binds = {
            "name": allocation.name,
            "count": allocation.count,
            "highest_before": allocation.highest_before,
        }
        return self._last(connection, UPDATE_RETURNING, binds, allocation.timeout)

    def aborts_transaction(self, connection: BaseDatabaseWrapper, error: DatabaseError) -> bool:
        # An error undoes only the statement, here the block. Even after ORA-08177, the earlier
        # changes can be committed (Database Concepts, "Serializable Isolation Level").
        return False

    def error_code(self, error: BaseException) -> str | int | None:
        details = error.args[0] if error.args else None  # Django passes on the driver's object
        code: int | None = getattr(details, "code", None)
        if code == 6550:  # the block doesn't compile; the text has the reason
            reason = re.search(r"PL/SQL: ORA-(\d+)", str(details))
            return int(reason[1]) if reason else code
        return code

    def name_column(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        # It compares bytes by default. NVARCHAR2 counts UTF-16 code units; an emoji has two.
        return {"type": f"NVARCHAR2({2 * MAX_NAME_LENGTH})"}

    def has_schemas(self, connection: BaseDatabaseWrapper) -> bool:
        return True

    def install(self, connection: BaseDatabaseWrapper) -> None:
        if self.is_installed(connection):
            return  # because any DDL would commit the transaction
        with connection.cursor() as cursor:
            try:
                cursor.execute(function.create())
            except DatabaseError as error:
                if self.error_code(error) != INSUFFICIENT_PRIVILEGES:
                    raise
                warnings.warn(
                    f"the database function of NextValue was not created ({error}): numbers will "
                    f"be taken by separate statements. To create it, GRANT CREATE PROCEDURE to "
                    f"the user, and run manage.py sequences install",
                    stacklevel=2,
                )
                return
            cursor.execute(function.ERRORS)
            if reason := cursor.fetchone():
                raise ProgrammingError(f"the function {FUNCTION} doesn't compile: {reason[0]}")

    def uninstall(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            cursor.execute(function.DROP)

    def is_installed(self, connection: BaseDatabaseWrapper) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(function.is_installed())
            return cursor.fetchone() is not None

    @staticmethod
    def _last(
        connection: BaseDatabaseWrapper,
        block: str,
        binds: dict[str, Any],
        timeout: float | None,
    ) -> int | None:
        if timeout is not None:
            wait = f"WAIT {math.ceil(timeout)}" if timeout else "NOWAIT"
            block = LIMITED.replace("{wait}", wait).replace("{block}", block)
        with connection.cursor() as cursor:
            last = cursor.var(int)
            cursor.execute(sql(block), {**binds, "last": last})
            value: int | None = last.getvalue()
        return value
