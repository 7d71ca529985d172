"""Blocks that the tests of the field run statements in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

MODES = {"autocommit": False, "atomic": True}


@contextmanager
def statements(using: str, expected: Mapping[str, int]) -> Iterator[None]:
    """Assert how many statements the block sends, by the alias or, for all others, ""."""
    with CaptureQueriesContext(connections[using]) as queries:
        yield
    assert len(queries) == expected.get(using, expected.get("")), queries.captured_queries


@contextmanager
def rolled_back(using: str) -> Iterator[None]:
    """A transaction or savepoint that is rolled back at its end."""
    with transaction.atomic(using=using):
        yield
        transaction.set_rollback(True, using=using)


def atomic_if(condition: bool, using: str) -> Any:
    """A transaction or savepoint, or nothing at all."""
    return transaction.atomic(using=using) if condition else nullcontext()
