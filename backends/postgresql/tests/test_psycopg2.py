"""What psycopg2 calls otherwise than psycopg 3."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from sequences_postgresql import PostgreSQLAllocator


class Psycopg2Error(Exception):
    """Has the code as ``pgcode``, which is None for an error of the driver's own."""

    def __init__(self, pgcode: str | None) -> None:
        self.pgcode = pgcode


@pytest.mark.parametrize(
    ("pgcode", "retryable"), [("40001", True), ("40P01", True), ("55P03", False), (None, False)]
)
def test_codes(pgcode: str | None, retryable: bool) -> None:
    """An error's code is found where psycopg2 has it."""
    error = OperationalError()
    error.__cause__ = Psycopg2Error(pgcode)
    allocator = PostgreSQLAllocator()
    assert allocator.error_code(error) == pgcode
    assert allocator.is_retryable(error) is retryable
