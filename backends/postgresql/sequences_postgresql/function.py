"""The database function behind NextValue: a number taken inside somebody else's statement.

Any client can call it, so it checks by itself what the core checks in Python. PL/pgSQL keeps the
upsert's plan for the session, which LANGUAGE sql does not before PostgreSQL 18.

Its body names the table with its schema, for it is called with whatever search_path there is: none
at all, in a logical replication worker or in what pg_dump restores; or that of another tenant.
So each table has a function of its own, in its own schema, and a copy of the schema that keeps the
body of the original is not current.
"""

from __future__ import annotations

from typing import Any

from django.db import ProgrammingError

from sequences_core.allocator import EXHAUSTED, FUNCTION
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE, WHITE_SPACE
from sequences_core.table import quoted_table, table_parts

# What \s is depends on the locale.
SPACE = "[" + "".join(f"\\u{ord(space):04x}" for space in WHITE_SPACE) + "]"

# 22023 is invalid_parameter_value, 2200H sequence_generator_limit_exceeded.
BODY = f"""
DECLARE
    taken bigint;
BEGIN
    IF sequence_name IS NULL OR char_length(sequence_name) NOT BETWEEN 1 AND {MAX_NAME_LENGTH}
            OR sequence_name ~ '^{SPACE}|{SPACE}$' THEN
        RAISE EXCEPTION '{FUNCTION}: bad sequence name %', quote_nullable(sequence_name)
            USING ERRCODE = '22023';
    END IF;
    IF initial_value IS NULL OR initial_value < 0 OR reset_value <= initial_value THEN
        RAISE EXCEPTION '{FUNCTION}: bad initial_value % or reset_value %',
            initial_value, reset_value USING ERRCODE = '22023';
    END IF;
    INSERT INTO {{table}} AS counter (name, last)
         VALUES (sequence_name, initial_value)
    ON CONFLICT (name)
  DO UPDATE SET last = CASE WHEN counter.last < reset_value - 1 OR reset_value IS NULL
                            THEN counter.last + 1 ELSE initial_value END
          WHERE counter.last < {MAX_VALUE} OR reset_value IS NOT NULL
      RETURNING last INTO taken;
    IF taken IS NULL THEN
        RAISE EXCEPTION '{EXHAUSTED}: %', sequence_name USING ERRCODE = '2200H';
    END IF;
    RETURN taken;
END
"""

# Which table do this connection's statements use, and into which schema belongs the function that
# they call by its bare name: into the table's, if search_path has that. A temporary table that
# hides it is left out, for no function can be in its schema.
PLACE = """
    SELECT table_schema.nspname, function_schema.nspname
      FROM pg_catalog.pg_class AS relation
      JOIN pg_catalog.pg_namespace AS table_schema ON table_schema.oid = relation.relnamespace
 LEFT JOIN pg_catalog.pg_namespace AS function_schema ON function_schema.nspname =
           CASE WHEN table_schema.nspname = ANY (current_schemas(false))
                THEN table_schema.nspname ELSE current_schema() END
     WHERE relation.relname = %(table)s
       AND relation.relkind IN ('r', 'p')
       AND relation.relpersistence <> 't'
       AND table_schema.nspname = ANY (COALESCE(%(schemas)s::text[], current_schemas(false)))
  ORDER BY array_position(current_schemas(false), table_schema.nspname)
     LIMIT 1
"""

SIGNATURE = f"{FUNCTION}(text, bigint, bigint)"

# Which function would be called by its bare name, and may it be?
CALLED = f"""
    SELECT prosrc
      FROM pg_catalog.pg_proc
     WHERE oid = to_regprocedure('{SIGNATURE}')
       AND has_function_privilege(oid, 'EXECUTE')
"""

CREATE = f"""
CREATE OR REPLACE FUNCTION {{schema}}.{FUNCTION}(
    sequence_name text, initial_value bigint DEFAULT 1, reset_value bigint DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $${{body}}$$
"""

DROP = f"DROP FUNCTION IF EXISTS {{schema}}.{SIGNATURE}"


def make(cursor: Any) -> None:
    """Make the function, or replace it."""
    place = _place(cursor)
    if place is None:
        raise ProgrammingError(
            f"there is no table {quoted_table()} in search_path, or no schema for its function"
        )
    table_schema, schema = place
    statement = CREATE.replace("{schema}", _quoted(schema))
    cursor.execute(statement.replace("{body}", _body(table_schema)))


def drop(cursor: Any) -> None:
    """Drop the function, if it is there; never that of another schema's table."""
    if place := _place(cursor):
        cursor.execute(DROP.replace("{schema}", _quoted(place[1])))


def is_current(cursor: Any) -> bool:
    """Is what this connection would call made for the table that its other statements use?"""
    place = _place(cursor)
    cursor.execute(CALLED)
    called = cursor.fetchone()
    return place is not None and called == (_body(place[0]),)


def _place(cursor: Any) -> tuple[str, str] | None:
    *schemas, table = table_parts()
    cursor.execute(PLACE, {"table": table, "schemas": schemas or None})
    place: tuple[str, str] | None = cursor.fetchone()
    return place if place and place[1] else None


def _body(table_schema: str) -> str:
    return BODY.replace("{table}", f"{_quoted(table_schema)}.{_quoted(table_parts()[-1])}")


def _quoted(name: str) -> str:
    name = name.replace('"', '""')
    return f'"{name}"'
