"""The database function behind NextValue: a number taken inside somebody else's statement.

Any client can call it, so it checks by itself what the core checks in Python. PL/pgSQL keeps the
upsert's plan for the session, which LANGUAGE sql does not before PostgreSQL 18.

Its body names the table with its schema, for it is called with whatever search_path there is: none
at all, in a logical replication worker or in what pg_dump restores; or that of another tenant.
So each table has a function of its own, in its own schema, and a copy of the schema that keeps the
body of the original is not current. Whether it is current is remembered for each schema that Django
knows of. It doesn't know of a SET search_path in SQL, and so the function itself refuses.
"""

from __future__ import annotations

from typing import Any

from django.db import ProgrammingError

from sequences_core.allocator import EXHAUSTED, FUNCTION
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE, WHITE_SPACE
from sequences_core.table import quoted_table, table_parts

# What \s is depends on the locale.
SPACE = "[" + "".join(f"\\u{ord(space):04x}" for space in WHITE_SPACE) + "]"

SIGNATURE = f"{FUNCTION}(text, bigint, bigint)"

BAD_NAME = f"{FUNCTION}: bad sequence name %"

TAKES_FROM = "INSERT INTO {table} AS counter"

# The table that a statement means by its bare name. A temporary table that hides it is left out,
# for no function can be in its schema.
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

# The session's other statements use another table of the same name, and yet the bare name of the
# function is that of one that takes from this table: undefined_function. A call with the schema's
# name, or from a column's DEFAULT, is right whatever search_path names. Without a search_path,
# to_regclass is NULL.
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

# 22023 is invalid_parameter_value, 2200H sequence_generator_limit_exceeded. Each IF and each
# regular expression takes microseconds in which others wait for the counter: the usual path has one
# IF before the upsert and one after, and a name is examined closely only where its counter is
# created, which the error then undoes.
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
            RAISE EXCEPTION '{EXHAUSTED}: %', sequence_name USING ERRCODE = '2200H';
        ELSIF sequence_name ~ '^{SPACE}|{SPACE}$' THEN
            RAISE EXCEPTION '{BAD_NAME}', quote_nullable(sequence_name) USING ERRCODE = '22023';
        END IF;
    END IF;
    RETURN taken;
END
"""

# Which table do this connection's statements use, and into which schema belongs the function that
# they call by its bare name: into the table's, if search_path has that.
PLACE = """
    SELECT table_schema.nspname,
           CASE WHEN table_schema.nspname = ANY (current_schemas(false))
                THEN table_schema.nspname ELSE current_schema() END
""" + NEAREST.format(
    name="%(table)s", schemas="COALESCE(%(schemas)s::text[], current_schemas(false))"
)

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
    *schemas, table = table_parts()
    qualified = f"{_quoted(table_schema)}.{_quoted(table)}"
    # With its schema in the setting, the table is the same for every statement.
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
