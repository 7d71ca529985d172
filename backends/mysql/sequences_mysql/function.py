"""The database function behind NextValue: a number taken inside somebody else's statement.

Any client can call it, so it checks by itself what the core checks in Python. Inside it,
LAST_INSERT_ID(expr) works as in the upsert; the server restores the caller's value when it ends
(https://dev.mysql.com/doc/refman/8.4/en/information-functions.html#function_last-insert-id).
"""

from __future__ import annotations

from sequences_core.allocator import EXHAUSTED, FUNCTION, TABLE, function_mark
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE, WHITE_SPACE

from .waiting import GUARD, unlocked_gaps

# A bad name has no counter, so names are checked only where none is found.
# One that is a character too long is let in, to be refused: what happens to a longer one depends on
# the session's sql_mode. Errors 1264 (out of range) and 1406 (data too long) are DataErrors to
# mysqlclient. encoded is 0 for "no such counter", 2**64 - 1 for "exhausted", else last + 1.
#
# A counter that isn't there is created by one session at a time, which looks again before: so that
# nobody waits in the INSERT (why, says allocator.py). A function can't try without waiting: after
# a lock wait timeout inside it, no handler is called.
KEY = GUARD.replace("%s", "sequence_name")

# Bytes, to which the session's character set and collation mean nothing. In UTF-8 a character's are
# never found within others'.
SPACES = WHITE_SPACE.encode().hex()

BODY = f"""(
    sequence_name VARCHAR({MAX_NAME_LENGTH + 1}) CHARACTER SET utf8mb4,
    initial_value BIGINT,
    reset_value BIGINT
) RETURNS BIGINT NOT DETERMINISTIC MODIFIES SQL DATA SQL SECURITY INVOKER COMMENT %s
BEGIN
    DECLARE encoded BIGINT UNSIGNED DEFAULT 0;
    DECLARE guarded INT DEFAULT -1;
    DECLARE complaint VARCHAR(128) CHARACTER SET utf8mb4;
    IF initial_value IS NULL OR initial_value < 0 OR reset_value <= initial_value THEN
        SIGNAL SQLSTATE '22023' SET MYSQL_ERRNO = 1406,
            MESSAGE_TEXT = '{FUNCTION}: bad initial_value or reset_value';
    END IF;
    WHILE encoded = 0 DO
        SET encoded = LAST_INSERT_ID(0);
        UPDATE {TABLE}
           SET last = CASE
               WHEN reset_value IS NULL AND last = {MAX_VALUE}
                   THEN last + 0 * LAST_INSERT_ID({2**64 - 1})
               WHEN reset_value IS NULL OR last < reset_value - 1
                   THEN LAST_INSERT_ID(CAST(last + 1 AS UNSIGNED) + 1) - 1
               ELSE LAST_INSERT_ID(CAST(initial_value AS UNSIGNED) + 1) - 1
           END
         WHERE name = sequence_name;
        SET encoded = LAST_INSERT_ID();
        IF encoded = 0 AND guarded = -1 THEN
            IF sequence_name IS NULL
                    OR CHAR_LENGTH(sequence_name) NOT BETWEEN 1 AND {MAX_NAME_LENGTH}
                    OR LOCATE(x'00', CAST(sequence_name AS BINARY))
                    OR LOCATE(CAST(LEFT(sequence_name, 1) AS BINARY), x'{SPACES}')
                    OR LOCATE(CAST(RIGHT(sequence_name, 1) AS BINARY), x'{SPACES}') THEN
                SIGNAL SQLSTATE '22023'
                    SET MYSQL_ERRNO = 1406, MESSAGE_TEXT = '{FUNCTION}: bad sequence name';
            END IF;
            SET guarded = IFNULL(IF({{unlocked_gaps}}, GET_LOCK({KEY}, 2), 0), 0);
        ELSEIF encoded = 0 THEN
            INSERT INTO {TABLE} (name, last)
                 VALUES (sequence_name, LAST_INSERT_ID(CAST(initial_value AS UNSIGNED) + 1) - 1)
           ON DUPLICATE KEY
                 UPDATE last = last + LAST_INSERT_ID(0);
            SET encoded = LAST_INSERT_ID();
        END IF;
    END WHILE;
    IF guarded = 1 THEN
        DO RELEASE_LOCK({KEY});
    END IF;
    IF encoded = {2**64 - 1} THEN
        SET complaint = CONCAT('{EXHAUSTED}: ', LEFT(sequence_name, 64));
        SIGNAL SQLSTATE '22003' SET MYSQL_ERRNO = 1264, MESSAGE_TEXT = complaint;
    END IF;
    RETURN encoded - 1;
END
"""


def body(mariadb: bool) -> str:
    """Return the function's source after its name; ``%s`` is its comment."""
    return BODY.replace("{unlocked_gaps}", unlocked_gaps(mariadb))


def create(mariadb: bool) -> str:
    """Return the statement that makes the function."""
    return f"CREATE FUNCTION {FUNCTION}" + body(mariadb).replace("%s", repr(mark(mariadb)))


def mark(mariadb: bool) -> str:
    """Return the comment by which the function is known again."""
    return function_mark(body(mariadb))


DROP = f"DROP FUNCTION IF EXISTS {FUNCTION}"
COMMENT = f"""
    SELECT routine_comment
      FROM information_schema.routines
     WHERE routine_schema = DATABASE()
       AND routine_name = '{FUNCTION}'
"""
# Calls nothing, but only for those who may call it.
MAY_EXECUTE = f"SELECT {FUNCTION}(NULL, NULL, NULL) FROM DUAL WHERE 1 = 0"
