"""The database function of NextValue, which takes numbers in-statement.

Any client can call it, so it validates its arguments as the core does in Python. PL/pgSQL caches
the upsert's plan in the session; LANGUAGE sql does so only since PostgreSQL 18.

The body names the table with its schema, because callers have different values of search_path: it
is empty in a logical replication worker and while restoring a pg_dump, and names another schema for
another tenant. So each table has a function of its own, in its own schema. If a copy of a schema
has the function of the original schema, that function isn't current. The core caches for each
schema that Django knows whether its function is current. Django doesn't know of a SET search_path
in SQL, so the function itself checks the table.
"""

from __future__ import annotations

from typing import Any

from django.db import ProgrammingError

from sequences_core.allocator import EXHAUSTED, FUNCTION
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE, WHITE_SPACE
from sequences_core.table import quoted_table, table_parts

# The characters that \s matches depend on the locale.
SPACE = "[" + "".join(f"\\u{ord(space):04x}" for space in WHITE_SPACE) + "]"

SIGNATURE = f"{FUNCTION}(text, bigint, bigint)"

BAD_NAME = f"{FUNCTION}: bad sequence name %"

TAKES_FROM = "INSERT INTO {table} AS counter"

# The table that an unqualified name refers to. Temporary tables are left out, because their schema
# can't contain a function.
NEAREST = """
      FROM pg_catalog.pg_class AS relation
      JOIN pg_catalog.pg_namespace AS table_schema ON table_schema.oid = relation.relnamespace
     WHERE relation.relname = {name}
       AND relation.relkind IN ('r', 'p')
       AND relation.relpersistence <> 't'
       AND table_schema.nspname = ANY ({schemas})
  ORDER BY array_position(current_schemas(false), table_schema.nspname)
     LIMIT 1
"""

# Raise undefined_function if the session's other statements use another table of the same name, but
# the unqualified name of the function refers to one for this table. Calls with the schema's name or
# from a column's DEFAULT are correct for any search_path. With an empty search_path, to_regclass
# returns NULL.
OTHER_TABLE = "OR to_regclass({bare}) <> {qualified}::regclass"
REFUSAL = f"""
        IF (SELECT relation.oid {NEAREST}) <> {{qualified}}::regclass AND EXISTS (
            SELECT FROM pg_catalog.pg_proc
             WHERE oid = to_regprocedure('{SIGNATURE}')
               AND strpos(prosrc, {{takes_from}}) > 0
        ) THEN
            RAISE EXCEPTION '{FUNCTION} takes from %, which is not the table in search_path, %',
                {{qualified}}, current_setting('search_path') USING ERRCODE = '42883';
        END IF;
"""

LENGTH = f"BETWEEN 1 AND {MAX_NAME_LENGTH}"
IS_BAD_NAME = f"sequence_name IS NULL OR char_length(sequence_name) NOT {LENGTH}"
IS_BAD_VALUE = "initial_value IS NULL OR initial_value < 0 OR reset_value <= initial_value"

# 22023 is invalid_parameter_value, 2200H is sequence_generator_limit_exceeded, 55000 is
# object_not_in_prerequisite_state, after a BEFORE trigger has returned NULL. Each IF and each
# regular expression takes microseconds, while others wait for the counter. So the usual path has
# one IF before the upsert and one after. A name is fully validated only when its counter is
# created; an error then undoes the creation.
BODY = f"""
DECLARE
    taken bigint;
BEGIN
    IF {IS_BAD_NAME}
            OR {IS_BAD_VALUE}
            {{other_table}} THEN
        IF {IS_BAD_NAME} THEN
            RAISE EXCEPTION '{BAD_NAME}', quote_nullable(sequence_name) USING ERRCODE = '22023';
        END IF;
        IF {IS_BAD_VALUE} THEN
            RAISE EXCEPTION '{FUNCTION}: bad initial_value % or reset_value %',
                initial_value, reset_value USING ERRCODE = '22023';
        END IF;
        {{refusal}}
    END IF;
    {TAKES_FROM} (name, last)
         VALUES (sequence_name, initial_value)
    ON CONFLICT (name)
  DO UPDATE SET last = CASE WHEN counter.last < reset_value - 1 OR reset_value IS NULL
                            THEN counter.last + 1 ELSE initial_value END
          WHERE counter.last < {MAX_VALUE} OR reset_value IS NOT NULL
      RETURNING last INTO taken;
    IF taken IS NULL OR taken = initial_value THEN
        IF taken IS NULL THEN
            IF NOT EXISTS (
                SELECT FROM {{table}} WHERE name = sequence_name AND last = {MAX_VALUE}
            ) THEN
                RAISE EXCEPTION '{FUNCTION}: the number was not stored: does a trigger skip it?'
                    USING ERRCODE = '55000';
            END IF;
            RAISE EXCEPTION '{EXHAUSTED}: %', sequence_name USING ERRCODE = '2200H';
        ELSIF sequence_name ~ '^{SPACE}|{SPACE}$' THEN
            RAISE EXCEPTION '{BAD_NAME}', quote_nullable(sequence_name) USING ERRCODE = '22023';
        END IF;
    END IF;
    RETURN taken;
END
"""

# The schema of the table that this connection's statements use, and the schema for the function
# that they call by its unqualified name: the table's, if search_path contains it.
PLACE = """
    SELECT table_schema.nspname,
           CASE WHEN table_schema.nspname = ANY (current_schemas(false))
                THEN table_schema.nspname ELSE current_schema() END
""" + NEAREST.format(
    name="%(table)s", schemas="COALESCE(%(schemas)s::text[], current_schemas(false))"
)

# The function that its unqualified name refers to, if the user may execute it.
CALLED = f"""
    SELECT prosrc
      FROM pg_catalog.pg_proc
     WHERE oid = to_regprocedure('{SIGNATURE}')
       AND has_function_privilege(oid, 'EXECUTE')
"""

CREATE = f"""
CREATE OR REPLACE FUNCTION {{schema}}.{FUNCTION}(
    sequence_name text, initial_value bigint DEFAULT 1, reset_value bigint DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql VOLATILE AS ${FUNCTION}${{body}}${FUNCTION}$
"""

DROP = f"DROP FUNCTION IF EXISTS {{schema}}.{SIGNATURE}"


def make(cursor: Any) -> None:
    """Create or replace the function."""
    place = _place(cursor)
    if place is None:
        raise ProgrammingError(
            f"search_path has no table {quoted_table()}, or no schema for its function"
        )
    table_schema, schema = place
    statement = CREATE.replace("{schema}", _quoted(schema))
    cursor.execute(statement.replace("{body}", _body(table_schema)))


def drop(cursor: Any) -> None:
    """Drop the function if it exists, but never that of another schema's table."""
    if place := _place(cursor):
        cursor.execute(DROP.replace("{schema}", _quoted(place[1])))


def is_current(cursor: Any) -> bool:
    """Return whether this connection's function is for the table that its statements use."""
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
    *schemas, table = table_parts()
    qualified = f"{_quoted(table_schema)}.{_quoted(table)}"
    # If SEQUENCES_TABLE has a schema, all statements use the same table.
    other_table, refusal = ("", "") if schemas else (OTHER_TABLE, REFUSAL)
    body = BODY.replace("{other_table}", other_table).replace("{refusal}", refusal)
    return body.format(
        table=qualified,
        bare=_literal(_quoted(table)),
        qualified=_literal(qualified),
        name=_literal(table),
        schemas="current_schemas(false)",
        takes_from=_literal(TAKES_FROM.replace("{table}", qualified)),
    )


def _quoted(name: str) -> str:
    name = name.replace('"', '""')
    return f'"{name}"'


def _literal(text: str) -> str:
    text = text.replace("'", "''")
    return f"'{text}'"
