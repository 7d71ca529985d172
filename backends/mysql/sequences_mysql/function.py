"""The database function behind NextValue: a number taken inside somebody else's statement.

Any client can call it, so it checks by itself what the core checks in Python. Inside it,
LAST_INSERT_ID(expr) works as in the upsert; the server restores the caller's value when it ends
(https://dev.mysql.com/doc/refman/8.4/en/information-functions.html#function_last-insert-id).
"""

from __future__ import annotations

from sequences_core.allocator import EXHAUSTED, FUNCTION, TABLE, function_mark
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE

# A name one character too long is let in, to be refused: what happens to a longer one depends on
# the session's sql_mode. Errors 1264 (out of range) and 1406 (data too long) are DataErrors to
# mysqlclient.
BODY = f"""(
    sequence_name VARCHAR({MAX_NAME_LENGTH + 1}) CHARACTER SET utf8mb4,
    initial_value BIGINT,
    reset_value BIGINT
) RETURNS BIGINT NOT DETERMINISTIC MODIFIES SQL DATA SQL SECURITY INVOKER COMMENT %s
BEGIN
    DECLARE encoded BIGINT UNSIGNED;
    DECLARE complaint VARCHAR(128) CHARACTER SET utf8mb4;
    IF sequence_name IS NULL OR CHAR_LENGTH(sequence_name) NOT BETWEEN 1 AND {MAX_NAME_LENGTH}
            OR sequence_name REGEXP '^[[:space:]]|[[:space:]]$' THEN
        SIGNAL SQLSTATE '22023'
            SET MYSQL_ERRNO = 1406, MESSAGE_TEXT = '{FUNCTION}: bad sequence name';
    END IF;
    IF initial_value IS NULL OR initial_value < 0 OR reset_value <= initial_value THEN
        SIGNAL SQLSTATE '22023' SET MYSQL_ERRNO = 1406,
            MESSAGE_TEXT = '{FUNCTION}: bad initial_value or reset_value';
    END IF;
    INSERT INTO {TABLE} (name, last)
         VALUES (sequence_name, LAST_INSERT_ID(CAST(initial_value AS UNSIGNED) + 1) - 1)
   ON DUPLICATE KEY
         UPDATE last = CASE
             WHEN reset_value IS NULL AND last = {MAX_VALUE} THEN last + LAST_INSERT_ID(0)
             WHEN reset_value IS NULL OR last < reset_value - 1
                 THEN LAST_INSERT_ID(CAST(last AS UNSIGNED) + 2) - 1
             ELSE LAST_INSERT_ID(CAST(initial_value AS UNSIGNED) + 1) - 1
         END;
    SET encoded = LAST_INSERT_ID();
    IF encoded = 0 THEN
        SET complaint = CONCAT('{EXHAUSTED}: ', LEFT(sequence_name, 64));
        SIGNAL SQLSTATE '22003' SET MYSQL_ERRNO = 1264, MESSAGE_TEXT = complaint;
    END IF;
    RETURN encoded - 1;
END
"""

MARK = function_mark(BODY)

CREATE = f"CREATE FUNCTION {FUNCTION}{BODY.replace('%s', repr(MARK))}"
DROP = f"DROP FUNCTION IF EXISTS {FUNCTION}"
IS_INSTALLED = f"""
    SELECT routine_comment = '{MARK}'
      FROM information_schema.routines
     WHERE routine_schema = DATABASE()
       AND routine_name = '{FUNCTION}'
"""
