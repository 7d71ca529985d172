"""Recognize statements that end a transaction, or that the server commits by itself."""

from __future__ import annotations

import re
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

START = r"(?>\s+|;|--[^\n]*\n|/\*.*?\*/)*+"
"""White space and comments before the first word, each of them matched in one way only."""

# PL/SQL blocks begin with BEGIN, too. ROLLBACK TO refers to a savepoint.
ENDING = re.compile(
    START
    + r"""(?:
        (?:COMMIT|ABORT|END|(?:START|PREPARE)\s+TRANSACTION)\b
        | ROLLBACK\b (?!\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b)
        | BEGIN (?:\s+(?:WORK|TRANSACTION|DEFERRED|IMMEDIATE|EXCLUSIVE))* \s*(?:;|$)
    )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)

# https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html,
# https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/. Oracle's ALTER SESSION
# doesn't commit.
COMMITTING = re.compile(
    START
    + r"""(?:
        (?:CREATE|DROP)\b (?!\s+(?:OR\s+REPLACE\s+)?TEMPORARY\b)
        | ALTER\b (?!\s+SESSION\b)
        | (?:TRUNCATE|RENAME|GRANT|REVOKE|OPTIMIZE|REPAIR|FLUSH)\b
        | ANALYZE\s+(?:(?:NO_WRITE_TO_BINLOG|LOCAL)\s+)?TABLES?\b
        | (?:UN)?LOCK\s+TABLES\b
        | SET\s+(?:SESSION\s+|@@(?:SESSION\.)?)?autocommit\b
    )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


def ends_transaction(connection: BaseDatabaseWrapper, sql: Any) -> bool:
    """Return whether the statement would commit the open transaction, or roll it back."""
    if not isinstance(sql, str):  # such as a Composed of psycopg
        return False
    commits_ddl = not connection.features.can_rollback_ddl
    return bool(ENDING.match(sql) or (commits_ddl and COMMITTING.match(sql)))
