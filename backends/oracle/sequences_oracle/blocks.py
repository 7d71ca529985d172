"""The PL/SQL blocks, and their statements."""

from __future__ import annotations

from functools import cache

from django.db.backends.utils import truncate_name

from sequences_core.table import table_parts

# Django truncates names on Oracle to this length, also on releases that allow longer ones.
MAX_NAME_LENGTH = 30


@cache
def sql(statement: str) -> str:
    """Return the statement with the table's name in Django's form for Oracle."""
    *schema, table = table_parts()
    parts = [*schema, table] if schema else [truncate_name(table, MAX_NAME_LENGTH)]
    return statement.replace("{table}", ".".join(f'"{part}"' for part in parts).upper())


# Column names are unquoted, so Oracle converts them to upper case, as Django does. Binds are named,
# so that the text is the same for all values and the server parses it once: in a list, Django would
# use one bind for equal values.

# After a MERGE has waited for the row, it compares the columns of its SET clause with the values
# that it read before, and restarts if they have changed, so that it never uses an old value
# (https://blog.sqlora.com/en/ora-30926-in-oracle-23ai-whats-changed/). If the WHERE clause is
# false, nothing is merged: an exhausted sequence is no error.
MERGE = """
     MERGE INTO {table} counter
     USING dual
        ON (counter.name = %(name)s)
      WHEN MATCHED THEN
           UPDATE SET counter.last = counter.last + %(count)s
            WHERE counter.last <= %(highest_before)s
      WHEN NOT MATCHED THEN
           INSERT (name, last)
           VALUES (%(name)s, %(first_last)s)
"""

LOOPING_MERGE = """
     MERGE INTO {table} counter
     USING dual
        ON (counter.name = %(name)s)
      WHEN MATCHED THEN
           UPDATE SET counter.last = CASE WHEN counter.last < %(last_before_reset)s
                                          THEN counter.last + 1
                                          ELSE %(first_last)s END
      WHEN NOT MATCHED THEN
           INSERT (name, last)
           VALUES (%(name)s, %(first_last)s)
"""

UPDATE = """
    UPDATE {table}
       SET last = last + %(count)s
     WHERE name = %(name)s
       AND last <= %(highest_before)s
"""

LAST = "SELECT last INTO %(last)s FROM {table} WHERE name = %(name)s"

LOCK = "SELECT last FROM {table} WHERE name = %(name)s FOR UPDATE"


def upsert_block(merge: str) -> str:
    """Return the block that executes ``merge`` and sets the bind ``last`` if it merged the row.

    MERGE has no RETURNING before release 23, so the block reads the row, which is locked, again.
    Of two concurrent first uses, the second one waits in its INSERT and then fails with ORA-00001.
    Then the other's row is committed, and the same MERGE finds it. A SERIALIZABLE transaction can't
    see the row, so the block raises ORA-08177 instead, which is retryable.
    """
    return f"""
DECLARE
    cannot_serialize EXCEPTION;
    PRAGMA EXCEPTION_INIT(cannot_serialize, -8177);
BEGIN
    BEGIN{merge.rstrip()};
    EXCEPTION
        WHEN dup_val_on_index THEN{merge.rstrip()};
    END;
    IF sql%%rowcount = 1 THEN
        {LAST};
    END IF;
EXCEPTION
    WHEN dup_val_on_index THEN
        RAISE cannot_serialize;
END;
"""


UPSERT = upsert_block(MERGE)

LOOPING_UPSERT = upsert_block(LOOPING_MERGE)

# If no row was updated, the variable of RETURNING is undefined
# (https://docs.oracle.com/en/database/oracle/oracle-database/19/lnpls/RETURNING-INTO-clause.html).
UPDATE_RETURNING = f"""
BEGIN{UPDATE.rstrip()}
 RETURNING last INTO %(last)s;
    IF sql%%rowcount = 0 THEN
        %(last)s := NULL;
    END IF;
END;
"""

# Only SELECT can limit its wait. WAIT needs a literal of whole seconds, and not 0
# (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/SELECT.html). Then the row is
# locked for the statements that follow. If there is no row yet, the INSERT waits without a limit.
LIMITED = f"""
BEGIN
    FOR locked IN ({LOCK} {{wait}}) LOOP
        NULL;
    END LOOP;
{{block}}
END;
"""
