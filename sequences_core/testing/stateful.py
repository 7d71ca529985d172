"""Random programs with calls, savepoints and rollbacks, compared with a model in Python."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sequences_core import (
    delete,
    get_last_value,
    get_next_value,
    get_next_values,
    set_last_value,
)
from sequences_core.models import Counter

from .base import Contract

NAMES = st.sampled_from(["a", "b", "A", "é"])
SMALL = st.integers(0, 5)

PROFILE = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Model(Contract):
    """The stateful test."""

    def test_any_program_does_what_the_model_does(self) -> None:
        """Random programs have the same results as a dict in Python."""
        using = self.using

        class BoundMachine(Machine):
            alias = using

        run_state_machine_as_test(BoundMachine, settings=PROFILE)


class Machine(RuleBasedStateMachine):
    """A table of counters, and a dict that should equal it."""

    alias: str

    @initialize()
    def start(self) -> None:
        Counter.objects.using(self.alias).all().delete()
        self.counters: dict[str, int] = {}
        self.open: list[tuple[transaction.Atomic, dict[str, int]]] = []

    @precondition(lambda self: len(self.open) < 4)
    @rule()
    def begin(self) -> None:
        block = transaction.atomic(using=self.alias)
        block.__enter__()
        self.open.append((block, dict(self.counters)))

    @precondition(lambda self: self.open)
    @rule(commit=st.booleans())
    def end(self, commit: bool) -> None:
        block, before = self.open.pop()
        if not commit:
            transaction.set_rollback(True, using=self.alias)
            self.counters = before
        block.__exit__(None, None, None)

    @rule(name=NAMES, initial=SMALL, computed=st.booleans())
    def take(self, name: str, initial: int, computed: bool) -> None:
        expected = self.counters[name] + 1 if name in self.counters else initial
        argument: Any = (lambda: initial) if computed else initial
        assert get_next_value(name, argument, using=self.alias) == expected
        self.counters[name] = expected

    @rule(name=NAMES, count=st.integers(0, 100), initial=SMALL)
    def take_batch(self, name: str, count: int, initial: int) -> None:
        first = self.counters[name] + 1 if name in self.counters else initial
        block = get_next_values(count, name, initial, using=self.alias)
        if count:
            assert block == range(first, first + count)
            self.counters[name] = first + count - 1

    @rule(name=NAMES, initial=SMALL, length=st.integers(1, 3))
    def take_looping(self, name: str, initial: int, length: int) -> None:
        reset = initial + length
        expected = self.counters.get(name, initial - 1) + 1
        if expected >= reset:
            expected = initial
        assert get_next_value(name, initial, reset, using=self.alias) == expected
        self.counters[name] = expected

    @rule(name=NAMES, value=st.integers(0, 200), force=st.booleans())
    def set(self, name: str, value: int, force: bool) -> None:
        allowed = force or self.counters.get(name, 0) <= value
        try:
            set_last_value(value, name, force=force, using=self.alias)
        except ValueError:
            assert not allowed
        else:
            assert allowed
            self.counters[name] = value

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        assert delete(name, using=self.alias) == (name in self.counters)
        self.counters.pop(name, None)

    @rule(name=NAMES)
    def look(self, name: str) -> None:
        assert get_last_value(name, using=self.alias) == self.counters.get(name)

    @invariant()
    def table_equals_model(self) -> None:
        if hasattr(self, "counters"):
            rows = Counter.objects.using(self.alias).values_list("name", "last")
            assert dict(rows) == self.counters

    def teardown(self) -> None:
        while getattr(self, "open", None):
            self.end(commit=False)
