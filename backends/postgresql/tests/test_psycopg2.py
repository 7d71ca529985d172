"""Differences between psycopg2 and psycopg 3."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from sequences_postgresql import PostgreSQLAllocator


class Psycopg2Error(Exception):
    """An error whose code is ``pgcode``, which is None for the driver's own errors."""

    def __init__(self, pgcode: str | None) -> None:
        self.pgcode = pgcode


@pytest.mark.parametrize(
    ("pgcode", "retryable"), [("40001", True), ("40P01", True), ("55P03", False), (None, False)]
)
def test_codes(pgcode: str | None, retryable: bool) -> None:
    """The code of psycopg2's errors is found."""
    error = OperationalError()
    error.__cause__ = Psycopg2Error(pgcode)
    allocator = PostgreSQLAllocator()
    assert allocator.error_code(error) == pgcode
    assert allocator.is_retryable(error) is retryable
