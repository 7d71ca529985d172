"""The driver's errors become the documented ones."""

from __future__ import annotations

from typing import Any

import django.db
import oracledb
import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connections, transaction
from oracledb.errors import _Error

from sequences_core import (
    SequenceLocked,
    TableMissing,
    get_allocator,
    get_next_value,
    run_atomic,
)

ALIAS = "recorded"


def refuse(code: int, message: str) -> oracledb.Error:
    """Return the driver's exception for an error of the server."""
    details = _Error(message, code=code)
    error = details.exc_type(details)
    assert isinstance(error, oracledb.Error)
    return error


LOCKED = [
    refuse(54, "ORA-00054: resource busy and acquire with NOWAIT specified or timeout expired"),
    refuse(30006, "ORA-30006: resource busy; acquire with WAIT timeout expired"),
]


# An OperationalError to older drivers, a DatabaseError to newer ones, which say DPY-4011 as well.
NETWORK = refuse(3113, "ORA-03113: end-of-file on communication channel")


@pytest.mark.parametrize("error", LOCKED)
def test_locked(error: oracledb.Error, recorder: Any) -> None:
    """An expired timeout raises SequenceLocked and doesn't end the transaction."""
    recorder.answers = [1, error, 2]
    with transaction.atomic(using=ALIAS):
        assert get_next_value("s", using=ALIAS) == 1
        with pytest.raises(SequenceLocked):
            get_next_value("s", timeout=1, using=ALIAS)
        assert not connections[ALIAS].needs_rollback
        assert get_next_value("s", using=ALIAS) == 2
    assert recorder.ends == ["commit"]


@pytest.mark.parametrize(
    "error",
    [
        refuse(8177, "ORA-08177: can't serialize access for this transaction"),
        refuse(60, "ORA-00060: deadlock detected while waiting for resource"),
    ],
)
def test_conflicts_are_retryable(error: oracledb.Error, recorder: Any) -> None:
    """A conflict raises Django's error, and run_atomic rolls back and runs the block again."""
    recorder.answers = [error]
    with pytest.raises(DatabaseError) as caught, transaction.atomic(using=ALIAS):
        get_next_value("s", using=ALIAS)
    assert get_allocator(connections[ALIAS]).is_retryable(caught.value)
    recorder.answers = [error, 1]
    assert run_atomic(lambda: get_next_value("s", using=ALIAS), using=ALIAS) == 1
    assert recorder.ends == ["rollback", "rollback", "commit"]


def test_conflict_leaves_the_transaction(recorder: Any) -> None:
    """A conflict that the block catches is raised: Oracle undid only the statement."""
    recorder.answers = [1, refuse(8177, "ORA-08177: can't serialize access"), 2]
    with transaction.atomic(using=ALIAS):
        assert get_next_value("s", using=ALIAS) == 1
        with pytest.raises(DatabaseError):
            get_next_value("t", using=ALIAS)
        assert not connections[ALIAS].needs_rollback
        assert get_next_value("s", using=ALIAS) == 2
    assert recorder.ends == ["commit"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refuse(1, "ORA-00001: unique constraint (A.B) violated"), IntegrityError),
        (refuse(6550, "ORA-06550: line 1, column 7:\nPLS-00905: invalid"), DatabaseError),
        (refuse(1034, "ORA-01034: ORACLE not available"), OperationalError),
        (NETWORK, getattr(django.db, type(NETWORK).__name__)),
        (refuse(0, "DPY-4011: the database or network closed the connection"), DatabaseError),
    ],
    ids=["duplicate", "PL/SQL", "shutdown", "network", "driver"],
)
def test_other_errors(error: oracledb.Error, expected: type[Exception], recorder: Any) -> None:
    """Any other error is Django's, and the transaction isn't run again."""
    recorder.answers = [error]
    with pytest.raises(expected) as caught:
        get_next_value("s", timeout=1, using=ALIAS)
    assert type(caught.value) is expected
    assert caught.value.args == error.args
    assert not get_allocator(connections[ALIAS]).is_retryable(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        refuse(942, "ORA-00942: table or view does not exist"),
        refuse(
            6550,
            "ORA-06550: line 6, column 17:\nPL/SQL: ORA-00942: table or view does not exist\n"
            "ORA-06550: line 6, column 6:\nPL/SQL: SQL Statement ignored",
        ),
        refuse(
            6550,
            "ORA-06550: line 6, column 17:\n"
            'PL/SQL: ORA-00942: table or view "A"."SEQUENCES_CORE_COUNTER" does not exist',
        ),
    ],
    ids=["SQL", "PL/SQL 19c", "PL/SQL 23ai"],
)
def test_missing_table(error: oracledb.Error, recorder: Any) -> None:
    """Without the table, the error names the command that creates it."""
    recorder.answers = [error]
    with pytest.raises(TableMissing, match="migrate sequences_core --database=recorded"):
        get_next_value("s", using=ALIAS)
