"""The database function behind NextValue: a number taken inside somebody else's statement.

Any client can call it, so it checks by itself what the core checks in Python. PL/pgSQL keeps the
upsert's plan for the session, which LANGUAGE sql does not before PostgreSQL 18.
"""

from __future__ import annotations

from sequences_core.allocator import EXHAUSTED, FUNCTION, TABLE, function_mark
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE, WHITE_SPACE

# What \s is depends on the locale.
SPACE = "[" + "".join(f"\\u{ord(space):04x}" for space in WHITE_SPACE) + "]"

# 22023 is invalid_parameter_value, 2200H sequence_generator_limit_exceeded.
CREATE = f"""
CREATE OR REPLACE FUNCTION {FUNCTION}(
    sequence_name text, initial_value bigint DEFAULT 1, reset_value bigint DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
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
    INSERT INTO {TABLE} AS counter (name, last)
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
$$
"""

SIGNATURE = f"{FUNCTION}(text, bigint, bigint)"
MARK = function_mark(CREATE)

COMMENT = f"COMMENT ON FUNCTION {SIGNATURE} IS '{MARK}'"
DROP = f"DROP FUNCTION IF EXISTS {SIGNATURE}"
IS_INSTALLED = f"""
    SELECT obj_description(function, 'pg_proc') = '{MARK}'
           AND has_function_privilege(function, 'EXECUTE')
      FROM to_regprocedure('{SIGNATURE}') AS function
"""
