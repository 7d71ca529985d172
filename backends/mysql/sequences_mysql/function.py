"""The database function of NextValue, which takes numbers in-statement.

Any client can call it, so it validates its arguments as the core does in Python. Inside it,
LAST_INSERT_ID(expr) works as in the allocator's statements. The server restores the caller's value
when the function ends
(https://dev.mysql.com/doc/refman/8.4/en/information-functions.html#function_last-insert-id).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.allocator import EXHAUSTED, FUNCTION, function_mark
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE, WHITE_SPACE

from .statements import sql
from .waiting import GUARD, is_mariadb, undone_by, unlocked_gaps

# An invalid name has no counter, so names are validated only if none is found. The parameter allows
# one character more than a valid name, so that the function can refuse it: the treatment of longer
# names depends on the session's sql_mode. mysqlclient raises DataError for the codes 1264 (out of
# range) and 1406 (data too long). encoded is 0 if there is no counter, 2**64 - 1 if the sequence is
# exhausted, else last + 1. Triggers on the table don't change LAST_INSERT_ID() after the statement.
#
# A user-level lock lets one session at a time create a counter, so that two never wait in the
# INSERT (statements.py explains why). A function can't try an INSERT without waiting, because no
# handler is called after a lock wait timeout inside it, or after a KILL. While a session holds this
# lock, it waits for a row only in a rare case: if another transaction has created the counter since
# the UPDATE. A session that doesn't get the lock tries again after a moment instead of waiting in a
# queue for it. An error releases the lock. After an error without a handler, which is a KILL or a
# lock wait timeout in a trigger on the table, the session keeps the lock until it ends or uses the
# same new name again; other sessions try for two seconds, and then go on without the lock.
KEY = GUARD.replace("%s", "sequence_name")

# The characters as bytes, so that the session's character set and collation don't matter. In UTF-8,
# the bytes of a character are never part of another one's.
SPACES = WHITE_SPACE.encode().hex()

CREATE_COUNTER = """INSERT INTO {table} (name, last)
                 VALUES (sequence_name, LAST_INSERT_ID(CAST(initial_value AS UNSIGNED) + 1) - 1)
           ON DUPLICATE KEY
                 UPDATE last = last + LAST_INSERT_ID(0);
            SET encoded = LAST_INSERT_ID();"""

BODY = f"""(
    sequence_name VARCHAR({MAX_NAME_LENGTH + 1}) CHARACTER SET utf8mb4,
    initial_value BIGINT,
    reset_value BIGINT
) RETURNS BIGINT NOT DETERMINISTIC MODIFIES SQL DATA SQL SECURITY INVOKER COMMENT %s
BEGIN
    DECLARE encoded BIGINT UNSIGNED DEFAULT 0;
    DECLARE guarded INT;
    DECLARE patience INT DEFAULT 1000;
    DECLARE complaint VARCHAR(128) CHARACTER SET utf8mb4;
    IF initial_value IS NULL OR initial_value < 0 OR reset_value <= initial_value THEN
        SIGNAL SQLSTATE '22023' SET MYSQL_ERRNO = 1406,
            MESSAGE_TEXT = '{FUNCTION}: bad initial_value or reset_value';
    END IF;
    WHILE encoded = 0 DO
        SET encoded = LAST_INSERT_ID(0);
        UPDATE {{table}}
           SET last = CASE
               WHEN reset_value IS NULL AND last = {MAX_VALUE}
                   THEN last + 0 * LAST_INSERT_ID({2**64 - 1})
               WHEN reset_value IS NULL OR last < reset_value - 1
                   THEN LAST_INSERT_ID(CAST(last + 1 AS UNSIGNED) + 1) - 1
               ELSE LAST_INSERT_ID(CAST(initial_value AS UNSIGNED) + 1) - 1
           END
         WHERE name = sequence_name;
        SET encoded = LAST_INSERT_ID();
        IF encoded = 0 THEN
            IF sequence_name IS NULL
                    OR CHAR_LENGTH(sequence_name) NOT BETWEEN 1 AND {MAX_NAME_LENGTH}
                    OR LOCATE(x'00', CAST(sequence_name AS BINARY))
                    OR LOCATE(CAST(LEFT(sequence_name, 1) AS BINARY), x'{SPACES}')
                    OR LOCATE(CAST(RIGHT(sequence_name, 1) AS BINARY), x'{SPACES}') THEN
                SIGNAL SQLSTATE '22023'
                    SET MYSQL_ERRNO = 1406, MESSAGE_TEXT = '{FUNCTION}: bad sequence name';
            END IF;
            SET guarded = IF(patience > 0 AND {{unlocked_gaps}}, GET_LOCK({KEY}, 0), NULL);
            IF guarded = 1 THEN
                BEGIN
                    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
                        DO RELEASE_LOCK({KEY});
                        RESIGNAL;
                    END;
                    {CREATE_COUNTER}
                END;
                WHILE RELEASE_LOCK({KEY}) = 1 DO
                    SET guarded = 0;
                END WHILE;
            ELSEIF guarded = 0 THEN
                SET patience = patience - 1;
                DO SLEEP(0.002);
            ELSE
                {CREATE_COUNTER}
            END IF;
        END IF;
    END WHILE;
    IF encoded = {2**64 - 1} THEN
        SET complaint = CONCAT('{EXHAUSTED}: ', LEFT(sequence_name, 64));
        SIGNAL SQLSTATE '22003' SET MYSQL_ERRNO = 1264, MESSAGE_TEXT = complaint;
    END IF;
    RETURN encoded - 1;
END
"""


def body(mariadb: bool) -> str:
    """Return the source that follows the function's name; ``%s`` stands for its comment."""
    return sql(BODY).replace("{unlocked_gaps}", unlocked_gaps(mariadb))


def create(mariadb: bool) -> str:
    """Return the statement that creates the function."""
    return f"CREATE FUNCTION {FUNCTION}" + body(mariadb).replace("%s", repr(mark(mariadb)))


def mark(mariadb: bool) -> str:
    """Return the comment by which the function is recognized."""
    return function_mark(body(mariadb))


def make(connection: BaseDatabaseWrapper) -> bool:
    """Create or replace the function; return False if another session has created one meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(DROP)
        with undone_by(cursor, RESTORE_SQL_MODE, []):
            cursor.execute(SET_SQL_MODE)
            try:
                cursor.execute(create(is_mariadb(connection)))
            except OperationalError as error:
                if error.args[0] != ALREADY_EXISTS:
                    raise
                return False
    return True


@contextmanager
def warning_of_privileges(message: str) -> Iterator[None]:
    """Warn if the user may not execute the statement in the block; ``{error}`` is the reason."""
    try:
        yield
    except OperationalError as error:
        if error.args[0] not in PRIVILEGE_CODES:
            raise
        warnings.warn(message.format(error=error), stacklevel=4)


NOT_MADE = (
    "the database function of NextValue was not created ({error}): numbers will be taken by "
    "separate statements. To create it, run manage.py sequences install as a user with CREATE "
    "ROUTINE, on a server with log_bin_trust_function_creators = 1 if it has a binary log"
)
NOT_DROPPED = (
    "the database function of NextValue, if there is one, was not dropped ({error}): this requires "
    "the privilege ALTER ROUTINE"
)

ALREADY_EXISTS = 1304
EXECUTE_DENIED = 1370

# Access denied (1044, 1142, 1227, 1370). With binary logging and without
# log_bin_trust_function_creators: 1419 for users without SUPER, 1418 for all, because the function
# isn't deterministic and writes.
PRIVILEGE_CODES = frozenset({1044, 1142, 1227, EXECUTE_DENIED, 1418, 1419})

DROP = f"DROP FUNCTION IF EXISTS {FUNCTION}"
# A function keeps the sql_mode of the session that created it, and some modes, such as MariaDB's
# Oracle mode, have another syntax.
SQL_MODE = "STRICT_TRANS_TABLES"
SET_SQL_MODE = f"SET @sequences_core_mode = @@SESSION.sql_mode, SESSION sql_mode = '{SQL_MODE}'"
RESTORE_SQL_MODE = """
    SET SESSION sql_mode = COALESCE(@sequences_core_mode, @@SESSION.sql_mode),
        @sequences_core_mode = NULL
"""
FOUND = f"""
    SELECT routine_comment, sql_mode
      FROM information_schema.routines
     WHERE routine_schema = DATABASE()
       AND routine_name = '{FUNCTION}'
"""
# This doesn't call the function, but fails if the user may not execute it.
MAY_EXECUTE = f"SELECT {FUNCTION}(NULL, NULL, NULL) FROM DUAL WHERE 1 = 0"
