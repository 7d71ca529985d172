"""The statements, and how the number that they took is found."""

from __future__ import annotations

from typing import Any

from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import Allocation
from sequences_core.table import quoted_table, with_table

from . import triggers

# LAST_INSERT_ID(expr) makes expr the "insert id" of the OK packet, so reading the number costs no
# second round trip (https://dev.mysql.com/doc/refman/8.4/en/information-functions.html).
# MariaDB's RETURNING takes half as long again (192 to 130 µs), an upsert with a SELECT twice.
#
# An insert id of 0 says that no row was found, or that the table has a trigger; or that the number
# is 0, seldom in an UPDATE that adds to it.
UPDATE = """
         UPDATE {table}
            SET last = LAST_INSERT_ID(last + %s)
          WHERE name = %s
"""

# Here 0 is a usual number, so the insert id is one more. It is unsigned, for after the highest
# number comes 2**63. Not above, where parsing it costs 1.5 µs, a fiftieth of the statement.
LOOPING_UPDATE = """
         UPDATE {table}
            SET last = LAST_INSERT_ID(CAST(IF(last < %s, last + 1, %s) AS UNSIGNED) + 1) - 1
          WHERE name = %s
"""

# The row is updated first, and inserted only if it isn't there, without ever waiting in the
# INSERT. For when the first taker rolls back, InnoDB turns the locks of those who wait in an
# INSERT for its row into gap locks, also at READ COMMITTED, and two of them deadlock over the gap;
# those who wait in an UPDATE just find no row. An insert id of 0 says that the row is there by now.
INSERT = """
    INSERT INTO {table} (name, last)
         VALUES (%s, LAST_INSERT_ID(%s) - 1)
   ON DUPLICATE KEY
         UPDATE last = last + LAST_INSERT_ID(0)
"""

# "BIGINT value is out of range": undoes the statement, and only that.
OUT_OF_RANGE = 1690

# A trigger, whatever it does, makes the OK packet's insert id 0. The session's own is not touched
# by statements inside triggers, and SQL still tells it.
INSERT_ID = "SELECT LAST_INSERT_ID(), (SELECT last FROM {table} WHERE name = %s)"


def sql(statement: str) -> str:
    """Return the statement with the table's name in it."""
    return with_table(statement, "`")


def is_exhausted(code: object, error: Exception) -> bool:
    """Is it the UPDATE's own sum that is out of range, and not what a trigger computes?

    The message has the sum, with names in the quotes of the session's sql_mode.
    """
    own = f"{quoted_table('`')}.`last` + "
    return code == OUT_OF_RANGE and own in str(error).replace('"', "`")


def number_despite_trigger(
    connection: BaseDatabaseWrapper, cursor: Any, allocation: Allocation, one_more: int
) -> int | None:
    """Return the ``last`` that the statement before has set, or None if it set none.

    Its insert id is ``one_more`` than that. Raises OperationalError where a trigger has stored, or
    in autocommit may have stored, another number than it was given.
    """
    name = allocation.name
    cursor.execute(sql(INSERT_ID), [name])
    row = cursor.fetchone()
    last, stored = int(row[0]) - one_more, row[1]
    if last == -1:
        return None
    if connection.in_atomic_block or not connection.get_autocommit():
        kept = last == stored
    else:  # the row is unlocked by now, and may have moved on, begun anew, or be deleted
        moved_on = allocation.reset_value is not None or stored is None or stored >= last
        kept = moved_on and triggers.changing(cursor) is None
    if kept:
        return last
    if connection.in_atomic_block:
        transaction.set_rollback(True, using=connection.alias)
    raise OperationalError(
        f"the counter of sequence {name!r} was to be set to {last}, and is {stored}: a trigger on "
        f"{quoted_table('`')} changes what is stored"
    )
