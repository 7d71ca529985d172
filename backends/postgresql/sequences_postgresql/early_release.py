"""Releasing a counter early in autocommit: the INSERT and the wait for it in one round trip."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning
from django.db.backends.base.base import BaseDatabaseWrapper

from .statements import TOGETHER

# libpq's numbers of "in a transaction" and "in one that has failed".
OPEN = frozenset({2, 3})


def binds_itself(connection: BaseDatabaseWrapper) -> bool:
    """Does psycopg 3 write the parameters into the statement, as Django asks for by default?"""
    from psycopg import ClientCursor

    options = connection.settings_dict.get("OPTIONS", {})
    factory = options.get("cursor_factory", ClientCursor)
    return not options.get("server_side_binding") and issubclass(factory, ClientCursor)


def send_together(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """Execute a statement and the wait for it by one round trip; its result is the statement's.

    By itself, so that its COMMIT waits, where somebody else has added statements, whose results he
    skips; has begun a transaction that Django doesn't know of; or has opened a pipeline.
    """
    driver = context["cursor"].connection
    if ";" in sql or driver.info.transaction_status or driver.info.pipeline_status:
        return execute(sql, params, many, context)
    try:
        result = execute(TOGETHER.replace("{statement}", sql), params, many, context)
    except BaseException:
        if driver.info.transaction_status in OPEN:
            with context["connection"].wrap_database_errors:
                driver.rollback()  # not by the cursor, of which Django logs the last statement
        raise
    cursor = context["cursor"]
    cursor.nextset()  # past that of BEGIN
    cursor.nextset()  # past that of SET
    return result


def not_allowed(connection: BaseDatabaseWrapper) -> CheckMessage:
    """Make the warning that counters are not released early, for the user may not wait."""
    return Warning(
        f"SEQUENCES_EARLY_RELEASE asks for database {connection.alias!r}, whose user may not "
        f"execute pg_logical_emit_message: numbers are taken as without it.",
        hint="GRANT EXECUTE ON FUNCTION pg_catalog.pg_logical_emit_message(boolean, text, text) "
        "TO the user, as a superuser; from PostgreSQL 17 on it is (boolean, text, text, boolean).",
        id="sequences_postgresql.W001",
    )
