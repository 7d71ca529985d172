"""Queries by the drivers alone, without Django, on any server."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

import dj_database_url

dj_database_url.register("firebird", "django_firebird")

TIMEOUT = 10
"""Seconds to wait for a connection."""


def connect(url: str) -> Any:
    """Return the driver's own connection (PEP 249) to the database at `url`, not in autocommit.

    Raise the driver's error if the server can't be reached.
    """
    settings = dj_database_url.parse(url)
    host, port, name = settings["HOST"], settings["PORT"], settings["NAME"]
    account: dict[str, Any] = {"user": settings["USER"], "password": settings["PASSWORD"]}
    match settings["ENGINE"].rpartition(".")[2]:
        case "postgresql":
            import psycopg

            place: Any = {"host": host, "port": port, "dbname": name}
            return psycopg.connect(**account, **place, connect_timeout=TIMEOUT)
        case "mysql":
            import MySQLdb

            place = {"host": host, "port": int(port or 3306), "database": name}
            return MySQLdb.connect(**account, **place, connect_timeout=TIMEOUT)
        case "django_firebird":
            import firebird.driver

            return firebird.driver.connect(f"{host}/{port}:{name}", **account)
        case "oracle":
            import oracledb

            # With a port, the name is a SID, as in Django.
            dsn = oracledb.makedsn(host, int(port), name) if port else name
            return oracledb.connect(**account, dsn=dsn, tcp_connect_timeout=TIMEOUT)
    return sqlite3.connect(name, timeout=TIMEOUT)


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement in a transaction of its own, and return its rows."""
    with contextlib.closing(connect(url)) as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        if cursor.description:  # a Galera node that isn't ready allows SHOW, but no COMMIT
            return [tuple(row) for row in cursor.fetchall()]
        connection.commit()
        return []


def describe(url: str) -> str:
    """Return the title and version of the server at `url`, such as "MariaDB 10.11.18"."""
    with contextlib.closing(connect(url)) as connection:
        match type(connection).__module__.partition(".")[0]:
            case "psycopg":
                return f"PostgreSQL {connection.info.parameter_status('server_version').split()[0]}"
            case "MySQLdb":
                version = connection.get_server_info()
                title = "MariaDB" if "MariaDB" in version else "MySQL"
                # MariaDB 10 prepends a MySQL version to its own.
                return f"{title} {version.removeprefix('5.5.5-').partition('-')[0]}"
            case "firebird":
                return f"Firebird {connection.info.version}"
            case "oracledb":
                return f"Oracle {connection.version}"
            case _:
                return f"SQLite {sqlite3.sqlite_version}"
