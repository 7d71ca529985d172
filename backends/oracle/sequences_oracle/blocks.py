"""The blocks of PL/SQL, and the statements in them."""

from __future__ import annotations

from functools import cache

from django.db.backends.utils import truncate_name

from sequences_core.table import table_parts

# As long as Django's names get on Oracle, whatever the release allows.
MAX_NAME_LENGTH = 30


@cache
def sql(statement: str) -> str:
    """Return the statement with the table's name as Django writes it on Oracle."""
    *schema, table = table_parts()
    parts = [*schema, table] if schema else [truncate_name(table, MAX_NAME_LENGTH)]
    return statement.replace("{table}", ".".join(f'"{part}"' for part in parts).upper())


# Names of columns are unquoted, and so in upper case, as Django makes them. Binds are
# named: the text is then the same for all values (Django gives equal values in a list one bind),
# and the server parses it once.

# A MERGE that has waited for the row compares the columns of its SET clause with what it read
# before, and starts over where they changed: no number is lost to an old value
# (https://blog.sqlora.com/en/ora-30926-in-oracle-23ai-whats-changed/). Where the WHERE is false
# nothing is merged: a full counter is no error.
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
    """Return the block that runs ``merge`` and sets the bind ``last`` if it merged the row.

    MERGE has no RETURNING before release 23, so the row, locked by now, is read again. Of two
    first takers the second waits in its INSERT and then fails with ORA-00001, but by then the
    other's row is committed, and the same MERGE finds it. A SERIALIZABLE transaction doesn't: it
    can't see the row. Oracle has a number for that, which says that the transaction may be run
    again; ORA-00001 doesn't.
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

# What RETURNING leaves in its variable where no row was updated is undefined
# (https://docs.oracle.com/en/database/oracle/oracle-database/19/lnpls/RETURNING-INTO-clause.html).
UPDATE_RETURNING = f"""
BEGIN{UPDATE.rstrip()}
 RETURNING last INTO %(last)s;
    IF sql%%rowcount = 0 THEN
        %(last)s := NULL;
    END IF;
END;
"""

# Only SELECT can bound its wait, and its WAIT takes whole seconds, as a literal, and no 0
# (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/SELECT.html). What follows
# then finds the row locked. Where there is no row yet the INSERT waits, for as long as it takes.
LIMITED = f"""
BEGIN
    FOR locked IN ({LOCK} {{wait}}) LOOP
        NULL;
    END LOOP;
{{block}}
END;
"""
