"""Triggers on the table of counters that change what is stored.

Only a BEFORE trigger can. Of its number LAST_INSERT_ID(expr) knows nothing, and so neither does the
function of NextValue, which would need a SELECT for each number to find out. So that function isn't
used where such a trigger is, and the statements raise an error.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.table import table_parts

# Shown to those who have the privilege TRIGGER on the table.
BEFORE = """
    SELECT trigger_name, action_statement, sql_mode
      FROM information_schema.triggers
     WHERE event_object_schema = COALESCE(%s, DATABASE())
       AND event_object_table = %s
       AND action_timing = 'BEFORE'
"""
WRITES_TO_ARGUMENTS = """
    SELECT 1
      FROM information_schema.parameters
     WHERE specific_name = %s
       AND parameter_mode IN ('OUT', 'INOUT')
     LIMIT 1
"""

UNUSED = (
    "the trigger {trigger} changes what is stored in the table of counters: the database function "
    "of NextValue, which would return wrong numbers, is not used until you drop the trigger"
)

# A text, also in quotation marks, which may be an identifier's, or a comment; the server keeps none
# that it executes.
QUOTED = r"""'(?:[^'{0}]|{1}'')*'|"(?:[^"{0}]|{1}"")*"|`[^`]*`"""
COMMENT = r"--(?:\s|$)[^\n]*|\#[^\n]*|/\*.*?\*/"
# Where \ is a character like others, and where it is not.
TOKENS = {
    True: re.compile(f"{QUOTED.format('', '')}|{COMMENT}", re.DOTALL),
    False: re.compile(QUOTED.format(r"\\", r"\\.|") + f"|{COMMENT}", re.DOTALL),
}

COLUMN = r"\bNEW\s*\.\s*(?:last|name)\b"
# "=" assigns as the first of an item of SET, else it compares; ":=" always assigns.
ASSIGNED = re.compile(
    rf"\bSET\s+(?:[^;]*,\s*)?{COLUMN}\s*=|{COLUMN}\s*:=", re.IGNORECASE | re.DOTALL
)
CALLED = re.compile(
    rf"\bCALL\s+(?:\w+\s*\.\s*)?(\w+)\s*\([^;]*?{COLUMN}\s*(?=[,)])", re.IGNORECASE | re.DOTALL
)
INNERMOST = re.compile(r"\([^()]*\)")


def changing(cursor: Any) -> str | None:
    """Return the name of a trigger that assigns a counter's column, if this user sees one."""
    *schemas, table = table_parts()
    cursor.execute(BEFORE, [schemas[0] if schemas else None, table])
    for trigger, statement, mode in cursor.fetchall():
        if _changes(cursor, statement, "NO_BACKSLASH_ESCAPES" in mode):
            return str(trigger)
    return None


def warn(connection: BaseDatabaseWrapper) -> None:
    """Say which trigger keeps the function from being used."""
    with connection.cursor() as cursor:
        if trigger := changing(cursor):
            warnings.warn(UNUSED.format(trigger=trigger), stacklevel=3)


def _changes(cursor: Any, statement: str, no_escapes: bool) -> bool:
    statement = TOKENS[no_escapes].sub(_plain, statement)
    for procedure in CALLED.findall(statement):
        cursor.execute(WRITES_TO_ARGUMENTS, [procedure])
        if cursor.fetchone():
            return True
    found = 1
    while found:  # what is in parentheses compares
        statement, found = INNERMOST.subn(" 0 ", statement)
    return ASSIGNED.search(statement) is not None


def _plain(token: re.Match[str]) -> str:
    """Return a quoted identifier without its quotes, and nothing of a text or a comment."""
    text = token[0]
    inner = text[1:-1]
    if text[0] in '"`' and re.fullmatch(r"\w+", inner):
        return inner
    return " 0 " if text[0] in "\"'`" else " "
