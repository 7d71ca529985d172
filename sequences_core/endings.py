"""Recognize statements that end a transaction, or that the server commits by itself."""

from __future__ import annotations

import re
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

# The servers of MySQL and MariaDB execute what a comment such as /*!50000 ... */ contains.
START = r"(?>\s+|;|(?:--|\#)[^\n]*\n|/\*M?!\d*|/\*.*?\*/)*+"
"""White space and comments before the first word, each of them matched in one way only."""

# PL/SQL blocks begin with BEGIN, too. ROLLBACK TO refers to a savepoint.
ENDING = re.compile(
    START
    + r"""(?:
        (?:COMMIT|ABORT|(?:START|PREPARE)\s+TRANSACTION)\b
        | ROLLBACK\b (?!\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b)
        | BEGIN (?:\s+(?:WORK|TRANSACTION|DEFERRED|IMMEDIATE|EXCLUSIVE))* \s*(?:;|$)
    )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)

END = re.compile(rf"{START}END\b", re.IGNORECASE | re.DOTALL)
"""It is COMMIT as the first word of the text, but it can also end a block of statements."""

# https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html,
# https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/. Oracle's ALTER SESSION
# and LOCK TABLE don't commit.
COMMITTING = re.compile(
    START
    + r"""(?:
        (?:CREATE|DROP)\b (?!\s+(?:(?:OR\s+REPLACE\s+)?TEMPORARY|PREPARE)\b)
        | ALTER\b (?!\s+SESSION\b)
        | (?:TRUNCATE|RENAME|GRANT|REVOKE|OPTIMIZE|REPAIR|FLUSH|RESET|COMMENT|(?:UN)?INSTALL)\b
        | (?:BACKUP|CLONE|CHANGE|CACHE|IMPORT)\s+\w
        | LOAD\s+INDEX\b
        | CHECK\s+(?:TABLE|VIEW)S?\b
        | ANALYZE\s+(?:(?:NO_WRITE_TO_BINLOG|LOCAL)\s+)?TABLES?\b
        | LOCK\s+TABLES?\b (?!.*\bMODE\b)
        | UNLOCK\s+TABLES?\b
        | (?:START|STOP)\s+(?:ALL\s+)?(?:GROUP_REPLICATION|REPLICAS?|SLAVES?)\b
        | SET\s+(?:PASSWORD|DEFAULT\s+ROLE)\b
        | SET\b [^;]*? (?:[\s,.`]|@@) autocommit\b
    )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)

# A backslash escapes a quote on MySQL and MariaDB. PostgreSQL has dollar quotes.
QUOTED = re.compile(
    r"""'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `[^`]*` | \$(\w*)\$.*?\$\1\$
        | --[^\n]* | /\*(?!M?!).*?\*/""",
    re.DOTALL | re.VERBOSE,
)
"""Parts of a text whose semicolons don't separate statements."""


def ends_transaction(connection: BaseDatabaseWrapper, sql: str) -> bool:
    """Return whether a statement would commit the open transaction, or roll it back.

    :param sql: one statement or, where the database executes that, several of them.
    """
    if END.match(sql):
        return True
    kinds = [ENDING] if connection.features.can_rollback_ddl else [ENDING, COMMITTING]
    statements = QUOTED.sub(" ", sql).split(";") if ";" in sql else []
    return any(kind.match(each) for each in (sql, *statements) for kind in kinds)


def text_of(connection: BaseDatabaseWrapper, sql: Any) -> str:
    """Return the text of a statement, which can also be of one of the driver's own types."""
    if isinstance(sql, bytes):
        return sql.decode(errors="replace")
    as_string = getattr(sql, "as_string", None)  # a Composable of psycopg
    return str(sql) if as_string is None else str(as_string(connection.connection))
