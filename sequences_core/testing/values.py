"""The numbers that a call takes."""

from __future__ import annotations

import enum
import itertools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext

from sequences_core import (
    Sequence,
    SequenceExhausted,
    delete,
    get_last_value,
    get_next_value,
    get_next_values,
    set_last_value,
)
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE
from sequences_core.table import table_parts

from .base import Contract

LOOKALIKES = [
    *("Case", "case", "CASE", "été", "ete", "e\u0301te\u0301", "ß", "ss", "İ", "i", "ı"),
    *("a", "a\u200b", "а", "a b", "a  b", "a_b", "a%b", "%s", "%(name)s", "?", ":name", "{}"),
    *("\u180ea", "a\u180e", "\ufeffa", "a\ufeff", "\u200ba", "a\u2060", "a\u0084", "a\u0086"),
    *("'", "''", '"', "\\", "`", "';--", "null", "NULL", "0", "00", "😀", "😁", "\ufffe"),
    "x" * MAX_NAME_LENGTH,
    "😀" * MAX_NAME_LENGTH,
]


class Color(str, enum.Enum):  # noqa: UP042 - a StrEnum's str() would be its value
    RED = "red"
    GREEN = "green"


class Values(Contract):
    """Values, batches, looping, names, exhaustion."""

    def test_numbers_are_consecutive_from_one(self) -> None:
        """A new sequence gives 1, 2, 3, and get_last_value returns the last one."""
        with self.atomic():
            assert get_last_value("s", using=self.using) is None
            assert [get_next_value("s", using=self.using) for _ in range(3)] == [1, 2, 3]
            assert get_last_value("s", using=self.using) == 3

    def test_names_are_independent(self) -> None:
        """Taking a number of one sequence doesn't change another one."""
        with self.atomic():
            for expected in (1, 2):
                assert get_next_value("a", using=self.using) == expected
                assert get_next_value("b", using=self.using) == expected
        assert self.counters() == {"a": 2, "b": 2}

    @pytest.mark.parametrize("initial", [0, 1, 2, 1000, 2**31, 2**53 + 1, MAX_VALUE - 1])
    def test_initial_value_is_first(self, initial: int) -> None:
        """The first number is initial_value, which later calls ignore."""
        with self.atomic():
            assert get_next_value("s", initial, using=self.using) == initial
            assert get_next_value("s", 7, using=self.using) == initial + 1
        assert self.counters() == {"s": initial + 1}

    def test_initial_callable_is_called_for_a_new_counter_only(self) -> None:
        """A callable initial_value is called only if there is no counter."""
        calls: list[int] = []

        def initial() -> int:
            calls.append(1)
            return 42

        with self.atomic():
            numbers = [get_next_value("s", initial, using=self.using) for _ in range(3)]
            assert get_next_values(2, "s", initial, using=self.using) == range(45, 47)
            assert get_next_values(3, "t", initial, using=self.using) == range(42, 45)
        assert numbers == [42, 43, 44]
        assert len(calls) == 2

    def test_batch_is_one_consecutive_block(self) -> None:
        """A batch of n takes the next n numbers."""
        with self.atomic():
            assert get_next_values(3, "s", using=self.using) == range(1, 4)
            assert get_next_value("s", using=self.using) == 4
            assert get_next_values(1000, "s", using=self.using) == range(5, 1005)
            assert get_next_values(2, "t", 0, using=self.using) == range(2)
        assert self.counters() == {"s": 1004, "t": 1}

    def test_empty_batch_touches_nothing(self) -> None:
        """A batch of 0 returns an empty range without a query."""
        with CaptureQueriesContext(self.connection) as queries:
            assert list(get_next_values(0, "s", using=self.using)) == []
        assert not queries.captured_queries
        assert self.counters() == {}

    def test_looping_restarts_before_reset_value(self) -> None:
        """The sequence restarts at initial_value instead of reaching reset_value."""
        with self.atomic():
            numbers = [get_next_value("s", 3, 6, using=self.using) for _ in range(7)]
            assert numbers == [3, 4, 5, 3, 4, 5, 3]
            numbers = [get_next_value("t", 0, 1, using=self.using) for _ in range(3)]
            assert numbers == [0, 0, 0]

    def test_looping_at_the_ends_of_the_range(self) -> None:
        """A loop can end at MAX_VALUE, and a counter above reset_value restarts, too."""
        top = MAX_VALUE
        with self.atomic():
            numbers = [get_next_value("s", top - 2, top, using=self.using) for _ in range(3)]
            assert numbers == [top - 2, top - 1, top - 2]
            set_last_value(top, "s", using=self.using)
            assert get_next_value("s", 5, 9, using=self.using) == 5

    def test_the_table_is_quoted(self) -> None:
        """Each statement quotes the table: SEQUENCES_TABLE may have capital letters."""
        limits: list[dict[str, Any]] = [{}, {"nowait": True}]
        executed: list[str] = []

        def note(execute: Any, sql: str, *args: Any) -> Any:
            executed.append(sql)
            return execute(sql, *args)

        # With server-side binding, psycopg doesn't know the statements that CaptureQueriesContext
        # asks it for.
        with self.connection.execute_wrapper(note), self.atomic():
            for limit in limits[: 1 + self.flag("can_limit_wait")]:
                for _ in ("first use", "counter"):
                    get_next_value("s", **limit, using=self.using)
                    get_next_values(2, "b", **limit, using=self.using)
                    get_next_value("l", 1, 3, **limit, using=self.using)
                    get_next_value("c", lambda: 1, **limit, using=self.using)
        quote = self.connection.ops.quote_name
        quoted = ".".join(map(quote, table_parts())).casefold()
        statements = [sql for sql in executed if self.names_the_table(sql)]
        assert statements
        for sql in statements:
            assert not self.names_the_table(sql.casefold().replace(quoted, "")), sql

    def test_sequence_object(self) -> None:
        """A Sequence stores the arguments; iterating over it takes numbers."""
        sequence = Sequence("s", 5, using=self.using)
        with self.atomic():
            assert list(itertools.islice(sequence, 3)) == [5, 6, 7]
            sequence.set_last_value(20)
            assert sequence.get_next_values(2) == range(21, 23)
            assert sequence.get_last_value() == 22
            assert sequence.delete()
            assert next(sequence) == 5
        with pytest.raises(ValueError, match="batch"):
            Sequence("loop", 1, 3, using=self.using).get_next_values(2)

    def test_one_statement_takes_a_block(self) -> None:
        """Each call is one statement, inside a transaction and outside."""
        self.requires("single_statement")
        contexts: tuple[AbstractContextManager[Any], ...] = (
            nullcontext(),  # the first use may need several statements
            self.atomic(),
            nullcontext(),
        )
        for context in contexts:
            with context, CaptureQueriesContext(self.connection) as queries:
                get_next_value("plain", using=self.using)
                get_next_values(10, "batch", using=self.using)
                get_next_value("loop", 1, 3, using=self.using)
                get_next_value("computed", lambda: 1, using=self.using)
        assert len(queries) == 4, queries.captured_queries

    def test_statements_are_visible_to_django(self) -> None:
        """execute_wrapper sees the statements."""
        seen: list[str] = []

        def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            seen.append(sql)
            return execute(sql, params, many, context)

        with self.connection.execute_wrapper(wrapper), self.atomic():
            get_next_value("s", using=self.using)
        assert any(map(self.names_the_table, seen)), seen

    def test_set_last_value(self) -> None:
        """set_last_value creates or increases a counter, and lowers it only with force."""
        with self.atomic():
            set_last_value(10, "s", using=self.using)
            assert get_next_value("s", using=self.using) == 11
            set_last_value(11, "s", using=self.using)
            set_last_value(20, "s", using=self.using)
            with pytest.raises(ValueError, match="force"):
                set_last_value(19, "s", using=self.using)
            assert get_next_value("s", using=self.using) == 21
            set_last_value(3, "s", force=True, using=self.using)
            assert get_next_value("s", using=self.using) == 4
            set_last_value(0, "new", using=self.using)
            assert get_next_value("new", using=self.using) == 1
            set_last_value(MAX_VALUE, "top", force=True, using=self.using)
        assert self.counters() == {"s": 4, "new": 1, "top": MAX_VALUE}

    def test_delete(self) -> None:
        """Delete returns whether there was a counter; the sequence then starts again."""
        with self.atomic():
            assert not delete("s", using=self.using)
            get_next_values(5, "s", using=self.using)
            assert delete("s", using=self.using)
            assert get_last_value("s", using=self.using) is None
            assert get_next_value("s", 3, using=self.using) == 3

    def test_names_compare_byte_for_byte(self) -> None:
        """Names that look or sort alike are different sequences, stored unchanged."""
        with self.atomic():
            for expected in (1, 2):
                for name in LOOKALIKES:
                    assert get_next_value(name, using=self.using) == expected, name
                    assert get_last_value(name, using=self.using) == expected, name
        assert self.counters() == dict.fromkeys(LOOKALIKES, 2)

    def test_a_subclass_of_str_is_its_text(self) -> None:
        """An enum member names the sequence of its value."""
        with self.atomic():
            get_next_value(Color.RED, using=self.using)
            assert get_last_value(Color.RED, using=self.using) == 1
            set_last_value(5, Color.RED, using=self.using)
            set_last_value(1, Color.GREEN, using=self.using)
            assert self.counters() == {"red": 5, "green": 1}
            assert delete(Color.RED, using=self.using)
        assert self.counters() == {"green": 1}

    def test_exhaustion_leaves_the_counter(self) -> None:
        """A block that would exceed MAX_VALUE raises and changes nothing."""

        def never() -> int:
            raise AssertionError("called for a counter that exists")

        with self.atomic():
            set_last_value(MAX_VALUE - 2, "s", using=self.using)
            with pytest.raises(SequenceExhausted):
                get_next_values(3, "s", using=self.using)
            assert get_next_values(2, "s", using=self.using) == range(MAX_VALUE - 1, MAX_VALUE + 1)
            for initial in (1, MAX_VALUE, never):
                with pytest.raises(SequenceExhausted):
                    get_next_value("s", initial, using=self.using)
            with pytest.raises(SequenceExhausted):
                get_next_values(MAX_VALUE, "s", using=self.using)
            assert not self.connection.needs_rollback
            assert get_next_value("t", using=self.using) == 1
        assert self.counters() == {"s": MAX_VALUE, "t": 1}

    def test_first_block_that_does_not_fit(self) -> None:
        """A first block that would exceed MAX_VALUE raises and creates no counter."""
        for initial in (MAX_VALUE, lambda: MAX_VALUE):
            with self.atomic():
                with pytest.raises(SequenceExhausted):
                    get_next_values(2, "s", initial, using=self.using)
                assert self.counters() == {}
        with self.atomic():
            assert get_next_values(MAX_VALUE, "all", using=self.using)[-1] == MAX_VALUE
            get_next_value("s", using=self.using)
            assert get_next_values(2, "s", MAX_VALUE, using=self.using) == range(2, 4)
