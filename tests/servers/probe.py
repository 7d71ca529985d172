"""Ask a server what it is, whoever started it."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

import dj_database_url

PATIENCE = 10
"""Seconds to wait for a connection."""


def describe(url: str) -> str:
    """The title and version of the server at `url`, such as "MariaDB 10.11.18".

    Raises the driver's error when it can't be reached.
    """
    settings = dj_database_url.parse(url)
    engine = settings["ENGINE"].rpartition(".")[2]
    return {
        "sqlite3": _sqlite,
        "postgresql": _postgresql,
        "mysql": _mysql,
        "oracle": _oracle,
    }[engine](settings)


def _sqlite(settings: Any) -> str:
    return f"SQLite {sqlite3.sqlite_version}"


def _postgresql(settings: Any) -> str:
    import psycopg

    with psycopg.connect(
        host=settings["HOST"],
        port=settings["PORT"],
        user=settings["USER"],
        password=settings["PASSWORD"],
        dbname=settings["NAME"],
        connect_timeout=PATIENCE,
    ) as connection:
        row = connection.execute("SHOW server_version").fetchone()
        return f"PostgreSQL {row[0].split()[0]}" if row else "PostgreSQL"


def _mysql(settings: Any) -> str:
    import MySQLdb

    connection = MySQLdb.connect(
        host=settings["HOST"],
        port=int(settings["PORT"] or 3306),
        user=settings["USER"],
        password=settings["PASSWORD"],
        connect_timeout=PATIENCE,
    )
    with contextlib.closing(connection):
        version = connection.get_server_info()
    title = "MariaDB" if "MariaDB" in version else "MySQL"
    # MariaDB 10 puts the version of a MySQL before its own.
    return f"{title} {version.removeprefix('5.5.5-').partition('-')[0]}"


def _oracle(settings: Any) -> str:
    import oracledb

    with oracledb.connect(
        user=settings["USER"],
        password=settings["PASSWORD"],
        dsn=f"{settings['HOST']}:{settings['PORT'] or 1521}/{settings['NAME']}",
        tcp_connect_timeout=PATIENCE,
    ) as connection:
        return f"Oracle {connection.version}"
