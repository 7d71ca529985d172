"""Find triggers on the table of counters that change the stored values.

Only a BEFORE trigger can do this. LAST_INSERT_ID(expr) doesn't have the number that it stores, and
the function of NextValue would need a SELECT for each number to find it. So the function isn't used
if there is such a trigger, and the allocator's statements raise an error.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.table import table_parts

# Only users with the privilege TRIGGER on the table see its triggers.
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
    "the trigger {trigger} changes the values in the table of counters: the database function of "
    "NextValue would return wrong numbers, and is not used until you drop the trigger"
)

# A string, a quoted identifier or a comment. The server doesn't keep executable comments.
QUOTED = r"""'(?:[^'{0}]|{1}'')*'|"(?:[^"{0}]|{1}"")*"|`[^`]*`"""
COMMENT = r"--(?:\s|$)[^\n]*|\#[^\n]*|/\*.*?\*/"
# With NO_BACKSLASH_ESCAPES and without.
TOKENS = {
    True: re.compile(f"{QUOTED.format('', '')}|{COMMENT}", re.DOTALL),
    False: re.compile(QUOTED.format(r"\\", r"\\.|") + f"|{COMMENT}", re.DOTALL),
}

COLUMN = r"\bNEW\s*\.\s*(?:last|name)\b"
# The first "=" of an item of SET assigns, and others compare. ":=" always assigns.
ASSIGNED = re.compile(
    rf"\bSET\s+(?:[^;]*,\s*)?{COLUMN}\s*=|{COLUMN}\s*:=", re.IGNORECASE | re.DOTALL
)
CALLED = re.compile(
    rf"\bCALL\s+(?:\w+\s*\.\s*)?(\w+)\s*\([^;]*?{COLUMN}\s*(?=[,)])", re.IGNORECASE | re.DOTALL
)
INNERMOST = re.compile(r"\([^()]*\)")


def changing(cursor: Any) -> str | None:
    """Return the name of a trigger that assigns to a column of the table, or None.

    Triggers that the user may not see aren't found.
    """
    *schemas, table = table_parts()
    cursor.execute(BEFORE, [schemas[0] if schemas else None, table])
    for trigger, statement, mode in cursor.fetchall():
        if _changes(cursor, statement, "NO_BACKSLASH_ESCAPES" in mode):
            return str(trigger)
    return None


def warn(connection: BaseDatabaseWrapper) -> None:
    """Warn if a trigger prevents the use of the function."""
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
    while found:  # "=" in parentheses compares
        statement, found = INNERMOST.subn(" 0 ", statement)
    return ASSIGNED.search(statement) is not None


def _plain(token: re.Match[str]) -> str:
    """Return an identifier without its quotes, 0 for a string, and a space for a comment."""
    text = token[0]
    inner = text[1:-1]
    if text[0] in '"`' and re.fullmatch(r"\w+", inner):
        return inner
    return " 0 " if text[0] in "\"'`" else " "
