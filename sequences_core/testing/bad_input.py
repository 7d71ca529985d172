"""Invalid arguments raise the same errors on every database."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext

from sequences_core import (
    NextValue,
    Sequence,
    delete,
    get_last_value,
    get_next_value,
    get_next_values,
    set_last_value,
)
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_TIMEOUT, MAX_VALUE

from .base import Contract

BAD_NAMES: list[tuple[Any, type[Exception]]] = [
    (None, TypeError),
    (1, TypeError),
    (b"bytes", TypeError),
    ((), TypeError),
    (["listed"], TypeError),
    ("", ValueError),
    (" leading", ValueError),
    ("trailing ", ValueError),
    ("trailing\u00a0", ValueError),
    ("\x1cleading", ValueError),
    ("line\n", ValueError),
    ("nul\0", ValueError),
    ("\ud800", ValueError),
    ("x" * (MAX_NAME_LENGTH + 1), ValueError),
]

BAD_INTEGERS: list[tuple[Any, type[Exception]]] = [
    (None, TypeError),
    (True, TypeError),
    ("1", TypeError),
    (1.0, TypeError),
    (Decimal(1), TypeError),
    (-1, ValueError),
    (MAX_VALUE + 1, ValueError),
]


class BadInput(Contract):
    """Invalid arguments raise TypeError or ValueError before a statement is executed."""

    @pytest.mark.parametrize(("name", "error"), BAD_NAMES)
    def test_bad_names(self, name: Any, error: type[Exception]) -> None:
        """Every function refuses an invalid name without executing a statement."""
        with CaptureQueriesContext(self.connection) as queries:
            for call in (get_next_value, get_last_value, delete, Sequence):
                with pytest.raises(error):
                    call(name, using=self.using)
            for call_with_value in (get_next_values, set_last_value):
                with pytest.raises(error):
                    call_with_value(1, name, using=self.using)
            with pytest.raises(error):
                get_next_values(0, name, using=self.using)
            with pytest.raises(error):
                NextValue(name)
        assert not queries.captured_queries

    @pytest.mark.parametrize(("value", "error"), BAD_INTEGERS)
    def test_bad_integers(self, value: Any, error: type[Exception]) -> None:
        """A count or value that isn't an int in the range is refused without a statement."""
        with self.atomic():
            get_next_value("s", using=self.using)
        with CaptureQueriesContext(self.connection) as queries:
            with pytest.raises(error):
                get_next_value("s", value, using=self.using)
            with pytest.raises(error):
                get_next_values(value, "s", using=self.using)
            with pytest.raises(error):
                get_next_values(1, "s", value, using=self.using)
            with pytest.raises(error):
                set_last_value(value, "s", using=self.using)
            with pytest.raises(error):
                NextValue("s", value)
            if value is not None:
                with pytest.raises(error):
                    get_next_value("s", 0, value, using=self.using)
                with pytest.raises(error):
                    NextValue("s", 0, value)
        assert not queries.captured_queries
        assert self.counters() == {"s": 1}

    def test_bad_combinations(self) -> None:
        """Arguments that contradict each other are refused without a statement."""
        with CaptureQueriesContext(self.connection) as queries:
            for initial, reset in ((1, 1), (2, 1), (1, 0)):
                with pytest.raises(ValueError, match="reset_value"):
                    get_next_value("s", initial, reset, using=self.using)
                with pytest.raises(ValueError, match="reset_value"):
                    NextValue("s", initial, reset)
            with pytest.raises(TypeError, match="initial_value"):
                get_next_value("s", lambda: 1, 5, using=self.using)
            with pytest.raises(TypeError, match="initial_value"):
                NextValue("s", lambda: 1)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="nowait"):
                get_next_value("s", nowait=True, timeout=1, using=self.using)
        assert not queries.captured_queries

    @pytest.mark.parametrize(
        ("timeout", "error"),
        [
            ("1", TypeError),
            (True, TypeError),
            (Decimal(1), TypeError),
            (-1, ValueError),
            (-0.001, ValueError),
            (float("nan"), ValueError),
            (float("inf"), ValueError),
            (MAX_TIMEOUT + 1, ValueError),
        ],
    )
    def test_bad_timeouts(self, timeout: Any, error: type[Exception]) -> None:
        """An invalid timeout is refused, whether or not the backend can limit waits."""
        with CaptureQueriesContext(self.connection) as queries, pytest.raises(error):
            get_next_value("s", timeout=timeout, using=self.using)
        assert not queries.captured_queries

    @pytest.mark.parametrize(("value", "error"), BAD_INTEGERS)
    def test_bad_initial_from_a_callable_is_refused(
        self, value: Any, error: type[Exception]
    ) -> None:
        """The callable's result is checked like an argument, and no counter is created."""
        with self.atomic():
            with pytest.raises(error):
                get_next_value("s", lambda: value, using=self.using)
            assert self.counters() == {}
