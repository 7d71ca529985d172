"""The database function behind NextValue: a number taken inside somebody else's statement.

Any client can call it, so it checks by itself what the core checks in Python. Inside it,
LAST_INSERT_ID(expr) works as in the upsert; the server restores the caller's value when it ends
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

# A bad name has no counter, so names are checked only where none is found.
# One that is a character too long is let in, to be refused: what happens to a longer one depends on
# the session's sql_mode. Errors 1264 (out of range) and 1406 (data too long) are DataErrors to
# mysqlclient. encoded is 0 for "no such counter", 2**64 - 1 for "exhausted", else last + 1; no
# trigger on the table changes what LAST_INSERT_ID() is after the statement.
#
# A counter that isn't there is created by one session at a time, so that two never wait in the
# INSERT (why, says statements.py). A function can't try without waiting: after a lock wait timeout
# inside it, no handler is called, nor after a KILL. So nothing is waited for while the lock is held
# but, seldom, a transaction that has created the counter since the UPDATE looked. A session that
# finds the lock held looks again after a moment: in a queue for it nobody would find it free. An
# error releases the lock. An error without a handler, which is then a KILL or a lock wait timeout
# in somebody's trigger on the table, leaves it to the session's next use of the same new name, or
# to the session's end; others look for it for two seconds, and then do without.
KEY = GUARD.replace("%s", "sequence_name")

# Bytes, to which the session's character set and collation mean nothing. In UTF-8 a character's are
# never found within others'.
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
    """Return the function's source after its name; ``%s`` is its comment."""
    return sql(BODY).replace("{unlocked_gaps}", unlocked_gaps(mariadb))


def create(mariadb: bool) -> str:
    """Return the statement that makes the function."""
    return f"CREATE FUNCTION {FUNCTION}" + body(mariadb).replace("%s", repr(mark(mariadb)))


def mark(mariadb: bool) -> str:
    """Return the comment by which the function is known again."""
    return function_mark(body(mariadb))


def make(connection: BaseDatabaseWrapper) -> None:
    """Make the function, or replace it."""
    with connection.cursor() as cursor:
        cursor.execute(DROP)
        with undone_by(cursor, RESTORE_SQL_MODE, []):
            cursor.execute(SET_SQL_MODE)
            cursor.execute(create(is_mariadb(connection)))


@contextmanager
def warning_of_privileges(message: str) -> Iterator[None]:
    """Warn if the user may not execute the statement in the block; ``{error}`` says why."""
    try:
        yield
    except OperationalError as error:
        if error.args[0] not in PRIVILEGE_CODES:
            raise
        warnings.warn(message.format(error=error), stacklevel=4)


NOT_MADE = (
    "the database function of NextValue was not made ({error}): numbers will be taken by a "
    "statement of their own. To have it, run manage.py sequences install as a user with CREATE "
    "ROUTINE, on a server with log_bin_trust_function_creators = 1 if it has a binary log"
)
NOT_DROPPED = (
    "the database function of NextValue, if there is one, was not dropped ({error}): that needs "
    "the privilege ALTER ROUTINE"
)

EXECUTE_DENIED = 1370

# Access denied (1044, 1142, 1227, 1370); binary logging without trust in function creators: 1419
# to users without SUPER, 1418 to all, for the function is not deterministic and writes.
PRIVILEGE_CODES = frozenset({1044, 1142, 1227, EXECUTE_DENIED, 1418, 1419})

DROP = f"DROP FUNCTION IF EXISTS {FUNCTION}"
# A function keeps the mode of the session that made it, and MariaDB's Oracle mode, to name one,
# has another syntax.
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
# Calls nothing, but only for those who may call it.
MAY_EXECUTE = f"SELECT {FUNCTION}(NULL, NULL, NULL) FROM DUAL WHERE 1 = 0"
