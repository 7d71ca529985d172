"""A backend reports no problems of a sound database, and its queries change nothing."""

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
        """Return the holders of counters. Skip the test if the database refuses to report them.

        They never include the session that queries them.
        """
        try:
            with self.allocator.without_waiting(self.connection):
                return self.allocator.holders(self.connection)
        except NotSupportedError as error:
            pytest.skip(str(error))

    def test_diagnose_is_silent_on_a_sound_database(self) -> None:
        """After migrate, a database with counters has no problems."""
        self.create()
        with self.allocator.without_waiting(self.connection):
            assert list(self.allocator.diagnose(self.connection)) == []

    def test_describe_names_the_server(self) -> None:
        """The labels and values are text in one line each, and one is the server's."""
        with self.allocator.without_waiting(self.connection):
            facts = self.allocator.describe(self.connection)
        assert "server" in facts
        for text in (*facts.keys(), *facts.values()):
            assert text.isprintable()
            assert text == text.strip() != ""

    @pytest.mark.parametrize("inside", [False, True], ids=["autocommit", "transaction"])
    def test_looking_leaves_nothing_behind(self, inside: bool) -> None:
        """The session's state is unchanged, and an open transaction can still write."""
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
        """The session's state is also unchanged after an error."""
        before = self.session_state()
        with pytest.raises(ZeroDivisionError), self.allocator.without_waiting(self.connection):
            raise ZeroDivisionError
        assert self.session_state() == before
        assert self.take()() == 1

    def test_nobody_holds_a_counter_that_is_free(self) -> None:
        """A free counter has no holder."""
        self.create()
        assert list(self.ask()) == []

    def test_a_holder_is_of_the_counter_that_is_held(self) -> None:
        """While a transaction holds one counter, no other one is reported, and nobody waits."""
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
