"""The ORM backend recognizes conflicts in the form of each driver, also of untested servers.

The servers' error codes are from their documentation; see ``sequences_orm.allocator``.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError
from sequences_orm import ORMAllocator


def raised(*args: Any, **attributes: Any) -> DatabaseError:
    """Return Django's error for a driver's error with these arguments and attributes."""
    error = DatabaseError(*args)
    error.__cause__ = cause = Exception(*args)
    vars(cause).update(attributes)
    return error


def of_oracle(code: int) -> DatabaseError:
    """Return an error like oracledb's, whose argument is an object with the code."""
    return raised(SimpleNamespace(code=code))


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(raised("restart transaction", sqlstate="40001"), id="CockroachDB, psycopg"),
        pytest.param(raised("restart transaction", pgcode="40001"), id="CockroachDB, psycopg2"),
        pytest.param(raised("deadlock detected", pgcode="40P01"), id="YugabyteDB, psycopg2"),
        pytest.param(raised("40001", "[40001] … deadlock victim (1205)"), id="SQL Server, pyodbc"),
        pytest.param(raised("update conflicts", sqlstate="40001"), id="Firebird"),
        pytest.param(raised(9007, "Write conflict"), id="TiDB, write conflict"),
        pytest.param(raised(8002, "can't retry select for update statement"), id="TiDB, read"),
        pytest.param(raised(8022, "Error: KV error safe to retry"), id="TiDB, commit"),
        pytest.param(of_oracle(60), id="Oracle, deadlock"),
        pytest.param(of_oracle(8177), id="Oracle, serialization"),
    ],
)
def test_a_conflict(error: DatabaseError) -> None:
    """A conflict is retryable and ends the transaction."""
    allocator = ORMAllocator()
    assert allocator.is_retryable(error)
    assert allocator.aborts_transaction(SimpleNamespace(), error)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "aborts"),
    [
        pytest.param(raised("lock timeout", pgcode="55P03"), True, id="psycopg2"),
        pytest.param(
            raised("server closed the connection", pgcode=None), True, id="psycopg2, gone"
        ),
        pytest.param(raised("lock timeout", pgconn=None, sqlstate="55P03"), True, id="psycopg"),
        pytest.param(raised("23000", "[23000] … duplicate key (2627)"), False, id="SQL Server"),
        pytest.param(raised("violation of UNIQUE", sqlstate="23000"), False, id="Firebird"),
        pytest.param(raised(1205, "Lock wait timeout exceeded"), False, id="MySQL"),
        pytest.param(of_oracle(8002), False, id="Oracle, whose 8002 is not TiDB's"),
        pytest.param(raised("table"), False, id="a message of five letters"),
        pytest.param(raised(), False, id="nothing"),
    ],
)
def test_no_conflict(error: DatabaseError, aborts: bool) -> None:
    """Other errors aren't retryable, whether or not they end the transaction."""
    allocator = ORMAllocator()
    assert not allocator.is_retryable(error)
    assert allocator.aborts_transaction(SimpleNamespace(), error) is aborts  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(raised("relation does not exist", pgcode="42P01"), id="CockroachDB"),
        pytest.param(raised("42S02", "[42S02] … Invalid object name (208)"), id="SQL Server"),
        pytest.param(raised("Table unknown", sqlstate="42S02"), id="Firebird"),
        pytest.param(of_oracle(942), id="Oracle"),
    ],
)
def test_a_missing_table(error: DatabaseError) -> None:
    """A missing table is recognized by the error code."""
    allocator = ORMAllocator()
    assert allocator.error_code(error) in allocator.missing_table_codes
