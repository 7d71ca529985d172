"""Errors of servers with another configuration than those of the other tests."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connections
from sequences_mysql import MySQLAllocator, statements


@pytest.mark.parametrize(
    ("code", "text", "retryable"),
    [
        (3101, "Plugin instructed the server to rollback the current transaction.", True),
        (1180, "Got error 149 - 'Lock deadlock; Retry transaction' during COMMIT", True),
        (1180, "Got error 28 - 'No space left on device' during COMMIT", False),
        (2013, "Lost connection to server during query", False),
    ],
)
def test_a_conflict_at_commit_is_retryable(code: int, text: str, retryable: bool) -> None:
    """A COMMIT that fails by a conflict is retryable; after a lost connection it isn't."""
    assert MySQLAllocator().is_retryable(OperationalError(code, text)) is retryable


def test_a_full_lock_table_undoes_the_whole_transaction() -> None:
    """InnoDB doesn't undo only the statement, and a retry of a large transaction fails again."""
    allocator, error = MySQLAllocator(), OperationalError(1206, "The total number of locks exceeds")
    assert allocator.aborts_transaction(connections["default"], error)
    assert not allocator.is_retryable(error)


def test_the_server_writes_names_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """MariaDB 10.11 with lower_case_table_names = 1 raises this for SEQUENCES_TABLE "Numbers"."""
    monkeypatch.setattr(statements, "quoted_table", "{0}Numbers{0}".format)
    text = "BIGINT value is out of range in '`sequences`.`numbers`.`last` + 1'"
    assert statements.is_exhausted(1690, OperationalError(1690, text))
    assert not statements.is_exhausted(1690, OperationalError(1690, text.replace("last", "n")))
