"""The errors of MySQL 9.7 with Group Replication in multi-primary mode."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from sequences_mysql import MySQLAllocator


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
