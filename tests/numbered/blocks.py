"""Blocks that the tests of the field run statements in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

MODES = {"autocommit": False, "atomic": True}

PATIENCE = 120
"""Seconds after which something that should have happened never will."""


def together(functions: list[Callable[[], Any]], using: str) -> None:
    """Run the functions at once, each in a thread with a connection of its own."""
    barrier = threading.Barrier(len(functions))
    errors: list[BaseException] = []

    def run(function: Callable[[], Any]) -> None:
        try:
            connections[using].ensure_connection()
            barrier.wait(PATIENCE)
            function()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)
        finally:
            connections[using].close()

    threads = [threading.Thread(target=run, args=[function]) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


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
