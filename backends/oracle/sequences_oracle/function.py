"""The database function of NextValue, which takes numbers in-statement.

On Oracle, a function can write if an INSERT … VALUES or an UPDATE … SET calls it, but not in a
query (ORA-14551; "PL/SQL Functions that SQL Statements Can Invoke",
https://docs.oracle.com/en/database/oracle/oracle-database/23/lnpls/pl-sql-functions-that-sql-statements-can-invoke.html).
Its writes are part of the calling statement and are undone with it, so that no number is lost: if
the statement fails, and also if an UPDATE restarts because of a concurrent one and calls the
function again. Only package variables keep their values then (T. Kyte, Expert Oracle Database
Architecture, "Write Consistency").

Any client can call the function, so it validates its arguments as the core does in Python.
"""

from __future__ import annotations

from sequences_core.allocator import EXHAUSTED, FUNCTION, function_mark
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE, WHITE_SPACE

from .blocks import sql, upsert_block

MERGE = f"""
     MERGE INTO {{table}} counter
     USING dual
        ON (counter.name = sequence_name)
      WHEN MATCHED THEN
           UPDATE SET counter.last = CASE
                      WHEN reset_value IS NULL OR counter.last < reset_value - 1
                      THEN counter.last + 1
                      ELSE initial_value END
            WHERE reset_value IS NOT NULL OR counter.last < {MAX_VALUE}
      WHEN NOT MATCHED THEN
           INSERT (name, last)
           VALUES (sequence_name, initial_value)
"""

# The characters are escaped, because the source is stored in the database's character set.
SPACES = "".join(f"\\{ord(space):04X}" for space in WHITE_SPACE)

# Applications can use the error numbers from -20000 to -20999. '' is NULL and has no LENGTH.
BODY = f"""(
    sequence_name IN VARCHAR2,
    initial_value IN NUMBER DEFAULT 1,
    reset_value IN NUMBER DEFAULT NULL
) RETURN NUMBER AS  /* %s */
    spaces NVARCHAR2(40) := UNISTR('{SPACES}');
    taken NUMBER;
BEGIN
    IF sequence_name IS NULL OR LENGTH(sequence_name) > {MAX_NAME_LENGTH}
            OR INSTR(sequence_name, CHR(0)) > 0
            OR INSTR(spaces, SUBSTR(sequence_name, 1, 1)) > 0
            OR INSTR(spaces, SUBSTR(sequence_name, -1)) > 0 THEN
        raise_application_error(-20001, '{FUNCTION}: bad sequence name');
    END IF;
    IF initial_value IS NULL OR initial_value NOT BETWEEN 0 AND {MAX_VALUE}
            OR MOD(initial_value, 1) <> 0
            OR reset_value NOT BETWEEN initial_value + 1 AND {MAX_VALUE}
            OR MOD(reset_value, 1) <> 0 THEN
        raise_application_error(-20002, '{FUNCTION}: bad initial_value or reset_value');
    END IF;
{upsert_block(MERGE) % {"name": "sequence_name", "last": "taken"}}
    IF taken IS NULL THEN
        raise_application_error(-20003, '{EXHAUSTED}: ' || sequence_name);
    END IF;
    RETURN taken;
END;
"""


def mark() -> str:
    """Return the comment by which the function is recognized."""
    return function_mark(sql(BODY))


def create() -> str:
    """Return the statement that creates the function."""
    return f"CREATE OR REPLACE FUNCTION {FUNCTION}" + sql(BODY).replace("%s", mark())


def is_installed() -> str:
    """Return the query that finds the function if it is current."""
    return IS_INSTALLED.replace("{mark}", mark())


# Oracle has no IF EXISTS before 23ai.
DROP = f"""
BEGIN
    FOR found IN (SELECT object_name FROM user_objects
                   WHERE object_name = '{FUNCTION.upper()}' AND object_type = 'FUNCTION') LOOP
        EXECUTE IMMEDIATE 'DROP FUNCTION {FUNCTION}';
    END LOOP;
END;
"""

# Oracle keeps a function that doesn't compile. A function that is invalid because the table has
# changed has no errors: the next call compiles it again.
ERRORS = f"""
    SELECT text
      FROM user_errors
     WHERE name = '{FUNCTION.upper()}' AND type = 'FUNCTION' AND attribute = 'ERROR'
"""

IS_INSTALLED = f"""
    SELECT 1
      FROM user_source
     WHERE name = '{FUNCTION.upper()}' AND type = 'FUNCTION' AND text LIKE '%{{mark}}%'
       AND NOT EXISTS ({ERRORS.rstrip()})
"""
