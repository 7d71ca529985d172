"""Find the sessions that hold a counter, and those that wait for it.

MySQL lists all locks for users with SELECT on performance_schema. MariaDB lists only locks that a
transaction waits for, for users with PROCESS
(https://dev.mysql.com/doc/refman/8.4/en/performance-schema-data-locks-table.html,
https://mariadb.com/kb/en/information-schema-innodb_lock_waits-table/). On both, the list contains
the lock of an inserted row only after another transaction has begun to wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.diagnosis import Holder
from sequences_core.table import table_parts

from .waiting import is_mariadb

# The key, state and session of each lock of a row. Gap locks, for which an INSERT of another name
# waits, are left out. The thread of a row lock may be that of the first waiting session, which
# created the lock for its holder. The thread of a table lock is the transaction's own.
MYSQL = """
    SELECT locks.lock_data, locks.lock_status = 'WAITING', session.processlist_id,
           session.processlist_user, session.processlist_host, session.processlist_command,
           session.processlist_time
      FROM performance_schema.data_locks AS locks
      JOIN performance_schema.data_locks AS of_table
        ON of_table.engine_transaction_id = locks.engine_transaction_id
       AND of_table.object_schema = locks.object_schema
       AND of_table.object_name = locks.object_name
       AND of_table.lock_type = 'TABLE'
      JOIN performance_schema.threads AS session ON session.thread_id = of_table.thread_id
     WHERE locks.object_schema = DATABASE()
       AND locks.object_name = %s
       AND locks.lock_mode IN ('X', 'X,REC_NOT_GAP')
       AND session.processlist_id <> CONNECTION_ID()
"""
MARIADB = """
    SELECT locks.lock_data, waits.requested_lock_id IS NOT NULL, session.id,
           session.user, session.host, session.command, session.time
      FROM information_schema.innodb_locks AS locks
      JOIN information_schema.innodb_trx AS open ON open.trx_id = locks.lock_trx_id
      JOIN information_schema.processlist AS session ON session.id = open.trx_mysql_thread_id
      LEFT JOIN information_schema.innodb_lock_waits AS waits
        ON waits.requested_lock_id = locks.lock_id
     WHERE locks.lock_table = CONCAT('`', DATABASE(), '`.`', %s, '`')
       AND locks.lock_mode = 'X'
       AND session.id <> CONNECTION_ID()
"""


# The errors of a denied table, and of a missing privilege PROCESS.
DENIED = frozenset({1142, 1227})


def holders(connection: BaseDatabaseWrapper, name: str | None) -> Sequence[Holder]:
    """See :meth:`sequences_core.Allocator.holders`."""
    rows = _rows(connection)
    waiting: dict[str | None, set[int]] = {}
    for key, waits, session, *_ in rows:
        if waits:
            waiting.setdefault(key, set()).add(session)
    found = [
        Holder(
            counter=_unquoted(key),
            session=session,
            waiting=tuple(sorted(waiting.get(key, ()))),
            seconds=seconds,
            activity=f"user {user}, host {host}, {command}",
            remedy=f"KILL {session}",
        )
        for key, waits, session, user, host, command, seconds in rows
        if not waits and session not in waiting.get(key, ())
    ]
    return sorted(
        (holder for holder in found if name is None or holder.counter in {name, None}),
        key=lambda holder: (holder.counter is None, holder.counter, holder.session),
    )


def _rows(connection: BaseDatabaseWrapper) -> set[tuple[Any, ...]]:
    statement, privilege = MYSQL, "SELECT ON performance_schema.*"
    if is_mariadb(connection):
        statement, privilege = MARIADB, "PROCESS ON *.*"
    with connection.cursor() as cursor:
        try:
            if statement is MYSQL:
                cursor.execute("SELECT @@performance_schema")
                if cursor.fetchone() == (0,):
                    raise NotSupportedError(
                        "the holders of counters are unknown, because performance_schema is off: "
                        "start the server with performance_schema = ON"
                    )
            cursor.execute(statement, [table_parts()[-1]])
            return set(cursor.fetchall())
        except DatabaseError as error:
            if error.args[0] not in DENIED:
                raise
            cursor.execute("SELECT CURRENT_USER()")
            user = account(cursor.fetchone()[0])
            raise NotSupportedError(
                f"the user may not see the holders of counters: GRANT {privilege} TO {user}"
            ) from error


def account(user: str) -> str:
    """Return the result of CURRENT_USER() in the syntax of GRANT."""
    name, _, host = user.rpartition("@")
    return f"'{name}'@'{host}'"


def _unquoted(key: str | None) -> str | None:
    """Return the name in a row's key, or None if the server can't show the key."""
    if key is None or not (key.startswith("'") and key.endswith("'")):
        return None
    return key[1:-1].replace("''", "'").replace("\\\\", "\\")
