"""Release a counter early in autocommit: execute the INSERT and the wait in one round trip."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning
from django.db.backends.base.base import BaseDatabaseWrapper

from .statements import TOGETHER

# libpq's states "in a transaction" and "in a failed transaction".
OPEN = frozenset({2, 3})


def binds_itself(connection: BaseDatabaseWrapper) -> bool:
    """Return whether psycopg 3 binds parameters on the client, which is Django's default."""
    from psycopg import ClientCursor

    options = connection.settings_dict.get("OPTIONS", {})
    factory = options.get("cursor_factory", ClientCursor)
    return not options.get("server_side_binding") and issubclass(factory, ClientCursor)


def commits_at_once(driver: Any) -> bool:
    """Return whether the driver's connection commits each statement when it ends.

    It doesn't in a transaction that Django doesn't know of, nor in a pipeline of psycopg 3.
    """
    if driver is None:  # Django will open it for the next statement
        return True
    in_pipeline = getattr(driver.info, "pipeline_status", False)
    return driver.info.transaction_status not in OPEN and not in_pipeline


def send_together(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """Execute a statement and the wait in one round trip, and return the statement's result.

    Execute the statement alone, so that its COMMIT waits, if another wrapper has added statements
    to it, or if there is a transaction that Django doesn't know of, or a pipeline.
    """
    driver = context["cursor"].connection
    if ";" in sql or not commits_at_once(driver):
        return execute(sql, params, many, context)
    try:
        result = execute(TOGETHER.replace("{statement}", sql), params, many, context)
    except BaseException:
        if driver.info.transaction_status in OPEN:
            with context["connection"].wrap_database_errors:
                driver.rollback()  # Django would log the cursor's last statement, so don't use it
        raise
    cursor = context["cursor"]
    cursor.nextset()  # skip the result of BEGIN
    cursor.nextset()  # skip the result of SET
    return result


def not_allowed(connection: BaseDatabaseWrapper) -> CheckMessage:
    """Return the warning that the user lacks the privilege for early release."""
    return Warning(
        f"SEQUENCES_EARLY_RELEASE has no effect on database {connection.alias!r}: its user may not "
        f"execute pg_logical_emit_message.",
        hint="As a superuser: GRANT EXECUTE ON FUNCTION "
        "pg_catalog.pg_logical_emit_message(boolean, text, text) TO the user. Since PostgreSQL 17, "
        "the arguments are (boolean, text, text, boolean).",
        id="sequences_postgresql.W001",
    )
