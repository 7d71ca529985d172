"""The SQL statements, and how to read the number that they took."""

from __future__ import annotations

from typing import Any

from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import Allocation
from sequences_core.table import quoted_table, with_table

from . import triggers

# LAST_INSERT_ID(expr) makes expr the "insert id" of the OK packet, so that reading the number needs
# no second round trip (https://dev.mysql.com/doc/refman/8.4/en/information-functions.html).
# MariaDB's RETURNING takes half as long again (192 instead of 130 µs), and an upsert with a SELECT
# takes twice as long.
#
# An insert id of 0 means that no row was found, that the table has a trigger, or that the number is
# 0, which is rare in an UPDATE that adds to it.
UPDATE = """
         UPDATE {table}
            SET last = LAST_INSERT_ID(last + %s)
          WHERE name = %s
"""

# In a loop, 0 is a usual number, so the insert id is the number plus 1. It is unsigned, because
# MAX_VALUE + 1 is 2**63. UPDATE doesn't do this, because parsing it takes 1.5 µs, a fiftieth of the
# statement's time.
LOOPING_UPDATE = """
         UPDATE {table}
            SET last = LAST_INSERT_ID(CAST(IF(last < %s, last + 1, %s) AS UNSIGNED) + 1) - 1
          WHERE name = %s
"""

# The allocator updates the row first, and inserts it only if it doesn't exist, without waiting in
# the INSERT. If several INSERTs wait for a row that another transaction has inserted, and that
# transaction rolls back, InnoDB turns their locks into gap locks, also at READ COMMITTED, so that
# they deadlock. An UPDATE that waits finds no row and takes no such lock. An insert id of 0 means
# that the row exists by now.
INSERT = """
    INSERT INTO {table} (name, last)
         VALUES (%s, LAST_INSERT_ID(%s) - 1)
   ON DUPLICATE KEY
         UPDATE last = last + LAST_INSERT_ID(0)
"""

# "BIGINT value is out of range". The error undoes the statement, not the transaction.
OUT_OF_RANGE = 1690

# If the table has any trigger, the OK packet's insert id is 0. Statements inside triggers don't
# change the session's value, which this query reads.
INSERT_ID = "SELECT LAST_INSERT_ID(), (SELECT last FROM {table} WHERE name = %s)"


def sql(statement: str) -> str:
    """Return the statement with the table's name in it."""
    return with_table(statement, "`")


def is_exhausted(code: object, error: Exception) -> bool:
    """Return whether the UPDATE's sum is out of range, not an expression in a trigger.

    The message contains the expression, with the quotes of the session's sql_mode. With
    ``lower_case_table_names``, the table's name is in lower case.
    """
    own = f"{quoted_table('`')}.`last` + ".lower()
    return code == OUT_OF_RANGE and own in str(error).replace('"', "`").lower()


def number_despite_trigger(
    connection: BaseDatabaseWrapper, cursor: Any, allocation: Allocation, one_more: int
) -> int | None:
    """Return the ``last`` that the previous statement has set, or None if it set none.

    The statement's insert id is this number plus ``one_more``.

    :raises OperationalError: a trigger has stored another number, or may have done so in
    autocommit.
    """
    name = allocation.name
    cursor.execute(sql(INSERT_ID), [name])
    row = cursor.fetchone()
    last, stored = int(row[0]) - one_more, row[1]
    if last == -1:
        return None
    if connection.in_atomic_block or not connection.get_autocommit():
        kept = last == stored
    else:  # the row isn't locked any more: it may have changed, restarted or been deleted
        moved_on = allocation.reset_value is not None or stored is None or stored >= last
        kept = moved_on and triggers.changing(cursor) is None
    if kept:
        return last
    if connection.in_atomic_block:
        transaction.set_rollback(True, using=connection.alias)
    raise OperationalError(
        f"the counter of sequence {name!r} was set to {last}, but is {stored}: a trigger on "
        f"{quoted_table('`')} changes the stored value"
    )
