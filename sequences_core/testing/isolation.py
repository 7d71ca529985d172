"""The contract at every isolation level that a transaction can set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError
from django.db.migrations.recorder import MigrationRecorder

from sequences_core import get_next_value, get_next_values, run_atomic, set_last_value

from .concurrency import Concurrency

USES: dict[str, Callable[..., Any]] = {
    "take": lambda name, using: get_next_value(name, using=using),
    "computed": lambda name, using: get_next_values(1, name, lambda: 1, using=using),
    "looping": lambda name, using: get_next_value(name, 1, 9, using=using),
    "set": lambda name, using: set_last_value(1, name, using=using),
}


class Isolation(Concurrency):
    """Exact outcomes and retryable conflicts."""

    def test_isolation_levels(self) -> None:
        """Above READ COMMITTED, conflicts are retryable; after retries the outcome is exact."""
        for level in self.levels():
            self._check_exact_outcome(attempts=200, level=level, name=level)

    @pytest.mark.parametrize("use", USES.values(), ids=list(USES))
    def test_a_counter_that_the_snapshot_lacks(self, use: Callable[..., Any]) -> None:
        """A counter that was created after the transaction's snapshot is used, or is a conflict.

        It never causes SequenceExhausted or an IntegrityError. A retry sees the counter.
        """
        self.requires("locks_database", False)
        for level in self.levels():
            self._check_unseen(level, f"s.{level}", use)

    def _check_unseen(self, level: str, name: str, use: Callable[..., Any]) -> None:
        runs = 0

        def block() -> None:
            nonlocal runs
            runs += 1
            # Any query begins the snapshot. At SERIALIZABLE, MySQL would lock counters it reads.
            MigrationRecorder(self.connection).applied_migrations()
            if runs == 1:
                with self.elsewhere(self.take(name)) as other:
                    other.result()
            try:
                use(name, self.using)
            except DatabaseError as error:
                assert self.allocator.is_retryable(error), f"{level}: {error!r}"  # noqa: PT017
                raise

        self.set_isolation_level(level)
        run_atomic(block, using=self.using)
        assert runs <= 2
