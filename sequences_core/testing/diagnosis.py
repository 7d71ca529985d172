"""What a backend tells of its database: nothing on a sound one, and never at a cost."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from django.db import NotSupportedError

from sequences_core import get_next_value
from sequences_core.diagnosis import Holder

from .base import Contract


class Diagnosis(Contract):
    """``sequences doctor``: describe, diagnose, holders and without_waiting."""

    def ask(self) -> Sequence[Holder]:
        """Return who holds counters; leave the test out where the database could tell, and won't.

        The session that asks is never told of.
        """
        try:
            with self.allocator.without_waiting(self.connection):
                return self.allocator.holders(self.connection)
        except NotSupportedError as error:
            pytest.skip(str(error))

    def test_diagnose_is_silent_on_a_sound_database(self) -> None:
        """After migrate, and with counters, nothing is wrong."""
        self.create()
        with self.allocator.without_waiting(self.connection):
            assert list(self.allocator.diagnose(self.connection)) == []

    def test_describe_names_the_server(self) -> None:
        """Labels and values are text for people, on one line."""
        with self.allocator.without_waiting(self.connection):
            facts = self.allocator.describe(self.connection)
        assert "server" in facts
        for text in (*facts.keys(), *facts.values()):
            assert text.isprintable()
            assert text == text.strip() != ""

    @pytest.mark.parametrize("inside", [False, True], ids=["autocommit", "transaction"])
    def test_looking_leaves_nothing_behind(self, inside: bool) -> None:
        """The session is as before, and the transaction that was open can still write."""
        self.create()

        def look() -> None:
            before = self.session_state()
            with self.allocator.without_waiting(self.connection):
                self.allocator.describe(self.connection)
                list(self.allocator.diagnose(self.connection))
            assert self.session_state() == before

        if inside:
            with self.atomic():
                look()
                assert get_next_value("s", using=self.using) == 2
        else:
            look()
            assert self.take()() == 2

    def test_an_error_while_looking_leaves_nothing_behind(self) -> None:
        """What can't be looked at spoils nothing of the session either."""
        before = self.session_state()
        with pytest.raises(ZeroDivisionError), self.allocator.without_waiting(self.connection):
            raise ZeroDivisionError
        assert self.session_state() == before
        assert self.take()() == 1

    def test_nobody_holds_a_counter_that_is_free(self) -> None:
        """Nor does the session that asks, whatever it has taken."""
        self.create()
        assert list(self.ask()) == []

    def test_a_holder_is_of_the_counter_that_is_held(self) -> None:
        """While a transaction holds one counter, no other is told, and none that it waits for."""
        self.create("s")
        self.create("free")
        with self.atomic():
            get_next_value("s", using=self.using)
            with self.elsewhere(self.ask) as other:
                found = other.result()
        for holder in found:
            assert holder.counter in {"s", None}
            assert holder.waiting == ()
            assert str(holder.session) in holder.remedy
