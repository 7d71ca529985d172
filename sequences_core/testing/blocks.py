"""Numbers of several sequences in one call."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext

from sequences_core import (
    GapWarning,
    SequenceExhausted,
    SequenceLocked,
    get_next_blocks,
    get_next_value,
    run_atomic,
    set_last_value,
)
from sequences_core.arguments import MAX_VALUE

from .base import BLINK, Contract

TAKERS = 6
NAMES = ["a", "b", "c", "d"]


class Blocks(Contract):
    """get_next_blocks."""

    def test_blocks_of_several_sequences(self) -> None:
        """Each sequence gives its batch size of numbers; results have the order of the request."""
        with self.atomic():
            get_next_value("lines", using=self.using)
            blocks = get_next_blocks({"lines": 3, "invoices": 1, "none": 0}, using=self.using)
            assert list(blocks.items()) == [
                ("lines", range(2, 5)),
                ("invoices", range(1, 2)),
                ("none", range(0)),
            ]
            assert get_next_blocks({"lines": 1, "new": 2}, 10, using=self.using) == {
                "lines": range(5, 6),
                "new": range(10, 12),
            }
            assert get_next_blocks({"fresh": 1}, lambda: 7, using=self.using)["fresh"][0] == 7
        assert self.counters() == {"lines": 5, "invoices": 1, "new": 11, "fresh": 7}

    def test_no_blocks_touch_nothing(self) -> None:
        """A request without numbers executes no statement."""
        with CaptureQueriesContext(self.connection) as queries:
            assert get_next_blocks({}, using=self.using) == {}
            assert get_next_blocks({"a": 0}, using=self.using) == {"a": range(0)}
        assert not queries.captured_queries

    @pytest.mark.parametrize(
        ("batch_sizes", "error"),
        [
            (None, TypeError),
            ("ab", TypeError),
            (["a", "b"], TypeError),
            ({"a": 1, 2: 1}, TypeError),
            ({"a": 1, "b": "1"}, TypeError),
            ({"a": 1, "b": True}, TypeError),
            ({"a": 1, "b": -1}, ValueError),
            ({"a": 1, "": 0}, ValueError),
        ],
    )
    def test_bad_batch_sizes(self, batch_sizes: Any, error: type[Exception]) -> None:
        """The whole request is checked before a statement is executed."""
        with CaptureQueriesContext(self.connection) as queries, pytest.raises(error):
            get_next_blocks(batch_sizes, using=self.using)
        assert not queries.captured_queries

    def test_all_blocks_or_none(self) -> None:
        """If one block can't be taken, none is, inside a transaction or outside."""
        with self.atomic():
            set_last_value(MAX_VALUE, "z", using=self.using)
        with self.atomic():
            with pytest.raises(SequenceExhausted), self.atomic():
                get_next_blocks({"z": 1, "a": 5}, using=self.using)
            assert get_next_value("a", using=self.using) == 1
        with pytest.raises(SequenceExhausted):
            get_next_blocks({"z": 1, "a": 5}, using=self.using)
        assert self.counters() == {"z": MAX_VALUE, "a": 1}

    def test_an_error_that_is_swallowed_loses_no_number(self) -> None:
        """Without a savepoint around the call, an error marks the transaction for rollback."""
        with self.atomic():
            set_last_value(MAX_VALUE, "z", using=self.using)
        with self.atomic():
            with pytest.raises(SequenceExhausted):
                get_next_blocks({"z": 1, "a": 5}, using=self.using)
            assert self.connection.needs_rollback
        assert self.counters() == {"z": MAX_VALUE}

    def test_blocks_outside_a_transaction_warn(self, settings: Any) -> None:
        """Outside a transaction, the call issues one GapWarning at the caller's line."""
        settings.SEQUENCES_AUTOCOMMIT = "warn"
        with pytest.warns(GapWarning, match="'a, b'") as caught:
            get_next_blocks({"a": 1, "b": 1}, using=self.using)
        assert [warning.filename for warning in caught] == [__file__]

    def test_the_timeout_is_for_all_blocks(self) -> None:
        """``timeout`` limits the waits of the whole call; if it expires, nothing is taken."""
        self.requires("can_limit_wait")
        self.requires("locks_database", False)
        step = self.allocator.timeout_step

        def expect_locked(**wait: Any) -> Callable[[], float]:
            def run() -> float:
                begin = time.monotonic()
                with pytest.raises(SequenceLocked), self.atomic():
                    get_next_blocks({"b": 1, "a": 1}, using=self.using, **wait)
                return time.monotonic() - begin

            return run

        with self.atomic():
            for name in NAMES:
                get_next_value(name, using=self.using)
        with self.atomic():
            get_next_value("b", using=self.using)
            with self.elsewhere(expect_locked(nowait=True)) as other:
                assert other.result() < step + BLINK
            with self.elsewhere(expect_locked(timeout=0.3)) as other:
                assert 0.25 <= other.result() < 0.3 + step + 1
        assert self.counters() == dict.fromkeys(NAMES, 1) | {"b": 2}

    def test_the_timeout_holds_outside_a_transaction(self) -> None:
        """Outside a transaction ``timeout`` limits the wait of the call's own BEGIN, too."""
        self.requires("can_limit_wait")
        self.create("a")

        def expect_locked() -> float:
            begin = time.monotonic()
            with pytest.raises(SequenceLocked):
                get_next_blocks({"a": 1}, nowait=True, using=self.using)
            return time.monotonic() - begin

        with self.atomic():
            get_next_value("a", using=self.using)
            with self.elsewhere(expect_locked) as other:
                assert other.result() < self.allocator.timeout_step + BLINK
        assert get_next_blocks({"a": 1}, nowait=True, using=self.using) == {"a": range(3, 4)}

    def test_opposite_orders_never_deadlock(self) -> None:
        """Concurrent calls that name the same sequences in any order all succeed."""

        def taker(seed: int) -> Callable[[], None]:
            def run() -> None:
                for turn in range(10):
                    shift = (seed + turn) % len(NAMES)
                    names = NAMES[shift:] + NAMES[:shift]
                    sizes = dict.fromkeys(names[:: 1 if seed % 2 else -1], 1 + turn % 2)
                    take = partial(get_next_blocks, sizes, using=self.using)
                    run_atomic(take, attempts=1, using=self.using)

            return run

        self.together([taker(seed) for seed in range(TAKERS)])
        assert self.counters() == dict.fromkeys(NAMES, TAKERS * 15)
