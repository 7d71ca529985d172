"""Wait for the commit of a released counter; in autocommit, in one round trip with the INSERT.

A durability is the configured level and, behind a pooler such as PgBouncer, the server's run. If
the server crashes between the COMMIT and the wait, the pooler may send the wait to the server that
has recovered. That wait would succeed, although the commit may be lost.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.core.checks import CheckMessage, Warning
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.early_release import forget_durabilities

from .statements import TOGETHER, WAIT, WAIT_BEHIND_POOL

# libpq's states "in a transaction" and "in a failed transaction".
OPEN = frozenset({2, 3})

RUN = ", run "
"""What separates the two parts of a durability."""


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
    return driver.info.transaction_status not in OPEN and not is_in_pipeline(driver)


def is_in_pipeline(driver: Any) -> bool:
    """Return whether the driver's connection is in a pipeline, which psycopg2 doesn't have."""
    return bool(getattr(driver.info, "pipeline_status", False))


def committing(driver: Any) -> AbstractContextManager[Any]:
    """Return a context manager that ends after the server has committed the statements in it.

    In a pipeline, the server returns the rows of a statement before it commits, which it does only
    when the client syncs. The end of a nested pipeline syncs, and waits for the answer.
    """
    return driver.pipeline() if is_in_pipeline(driver) else nullcontext()


def durability_of(level: str, run: str | None) -> str:
    """Return the durability of a level and, behind a pooler, a run of the server."""
    return level if run is None else f"{level}{RUN}{run}"


def level_of(durability: str) -> str:
    """Return the value of synchronous_commit that a durability includes."""
    return durability.partition(RUN)[0]


def is_behind_pool(durability: str) -> bool:
    """Return whether the wait may run in a different session from the COMMIT."""
    return RUN in durability


def wait(connection: BaseDatabaseWrapper, durability: str) -> None:
    """Wait with the level, and raise OperationalError if this is another run of the server."""
    level, _, run = durability.partition(RUN)
    errors = connection.wrap_database_errors
    with connection.cursor() as cursor, errors, committing(connection.connection):
        cursor.execute(WAIT_BEHIND_POOL if run else WAIT, [level])
        found = cursor.fetchone()[-1]
    if run and found != run:
        forget_durabilities()
        raise OperationalError(
            f"the server has restarted or recovered from a crash, or another one has replaced it: "
            f"its start and its last recovery are {found!r}, and were {run!r} before"
        )


def releases_alone(connection: BaseDatabaseWrapper, durability: str) -> bool:
    """Return whether a statement in autocommit may release a counter, and another one waits."""
    return not is_behind_pool(durability) and commits_at_once(connection.connection)


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
