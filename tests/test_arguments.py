"""What reaches a driver is exactly int, str, float or None, whatever subclass came in."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction

from sequences_core import (
    Allocation,
    NextValue,
    Sequence,
    delete,
    get_last_value,
    get_next_blocks,
    get_next_value,
    get_next_values,
    run_atomic,
    set_last_value,
)
from sequences_core.allocator import checked
from sequences_core.arguments import check_integer, check_sequence_name, check_timeout
from sequences_core.functions import has_function
from sequences_core.models import Counter
from sequences_core.registry import get_allocator
from tests.app.models import Invoice

APPS = ["tests.app"]


class Number(enum.IntEnum):
    ZERO = 0
    ONE = 1
    TWO = 2
    FIVE = 5
    NINE = 9


class Wrong(int):
    """Says that it is another number, in each way there is."""

    def __str__(self) -> str:
        return "1); DROP TABLE invoices; --"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return str(self)

    def __int__(self) -> int:
        return 77

    __index__ = __trunc__ = __pos__ = __int__

    def __add__(self, other: int) -> int:
        return 77

    __radd__ = __sub__ = __rsub__ = __mul__ = __add__

    def __eq__(self, other: object) -> bool:
        return True

    def __le__(self, other: int) -> bool:
        return True

    __ge__ = __lt__ = __gt__ = __le__

    def __hash__(self) -> int:
        return 1


class Half(float):
    def __float__(self) -> float:
        return 77.0

    def __mul__(self, other: float) -> float:
        return 77.0

    def __str__(self) -> str:
        return "77"

    __repr__ = __str__


class Name(enum.StrEnum):
    A = "a"


class AnyCase(str):
    """Equal whatever the case, as a case-insensitive collation has it."""

    def __eq__(self, other: object) -> bool:
        return str.lower(self) == str(other).lower()

    def __hash__(self) -> int:
        return hash(str.lower(self))

    def __str__(self) -> str:
        return "wrong"

    def strip(self, *args: Any) -> str:
        return "wrong"


PLAIN = {int, str, float, type(None)}


def plain(values: Any) -> Iterator[Any]:
    """The parameters of a statement, however they are given."""
    for value in values.values() if isinstance(values, dict) else values or ():
        if isinstance(value, list | tuple):
            yield from plain(value)
        else:
            yield value


@contextmanager
def only_plain_values(using: str) -> Iterator[None]:
    def look(execute: Any, sql: Any, params: Any, *rest: Any) -> Any:
        kinds = {type(value) for value in plain(params)}
        # Django itself wraps the integers of its fields for psycopg.
        assert {kind for kind in kinds if not kind.__module__.startswith("psycopg")} <= PLAIN
        assert "DROP" not in sql
        return execute(sql, params, *rest)

    with connections[using].execute_wrapper(look):
        yield


@pytest.mark.parametrize("kind", [Number, Wrong])
@pytest.mark.parametrize("name", [Name.A, AnyCase("a")])
def test_every_argument(using: str, name: str, kind: Callable[[int], int]) -> None:
    """Each function takes the value that the object has, not what the object says."""
    with only_plain_values(using), transaction.atomic(using=using):
        assert get_next_value(name, kind(5), using=using) == 5
        assert get_next_value(name, kind(1), kind(9), using=using) == 6
        assert get_next_value(name, lambda: kind(2), using=using) == 7
        assert get_next_value("new", lambda: kind(2), using=using) == 2
        assert get_next_values(kind(2), name, kind(1), using=using) == range(8, 10)
        assert get_next_blocks({name: kind(2)}, kind(1), using=using) == {"a": range(10, 12)}
        assert Sequence(name, kind(1), kind(9), using=using).get_next_value() == 1
        assert get_last_value(name, using=using) == 1
        set_last_value(kind(5), name, using=using)
        assert get_last_value("a", using=using) == 5
        set_last_value(kind(2), name, force=True, using=using)
        assert get_last_value("a", using=using) == 2
        set_last_value(kind(9), "newer", using=using)
        assert get_next_value("newer", using=using) == 10
        assert delete(name, using=using)
    assert set(Counter.objects.using(using).values_list("name", flat=True)) == {"new", "newer"}


@pytest.mark.parametrize("timeout", [Number.TWO, Wrong(2), Half(0.5)])
def test_a_timeout(using: str, timeout: float) -> None:
    """So it is with seconds."""
    if not get_allocator(connections[using]).can_limit_wait:
        return
    with only_plain_values(using), transaction.atomic(using=using):
        for initial_value in (1, lambda: 1):
            assert get_next_value("s", initial_value, timeout=timeout, using=using)
            assert get_next_values(2, "t", initial_value, timeout=timeout, using=using)
            assert get_next_blocks({"u": 1}, initial_value, timeout=timeout, using=using)


@pytest.mark.parametrize("kind", [Number, Wrong])
@pytest.mark.parametrize("name", [Name.A, AnyCase("a")])
def test_next_value(using: str, name: str, kind: Callable[[int], int]) -> None:
    """In the SQL of a statement stands the number, whatever it prints."""
    if not has_function(connections[using]):
        return
    rows = Invoice.objects.using(using)
    with only_plain_values(using):
        rows.create(number=NextValue(name, kind(5)))
        rows.create(number=NextValue(name, kind(1), kind(9)))
    assert sorted(rows.values_list("number", flat=True)) == [5, 6]
    assert get_last_value("a", using=using) == 6


def test_equal_keys_are_no_one_request() -> None:
    """Requests are kept by their plain values, not by what the objects say is equal."""
    assert checked(AnyCase("Case")).name == "Case"
    assert checked(AnyCase("case")).name == "case"
    assert checked("s", Wrong(3)).count == 3
    assert checked("s", Wrong(4)).count == 4
    assert checked("s", 1, Wrong(3)).initial_value == 3
    assert checked("s", 1, Wrong(4)).initial_value == 4


def test_keys_that_only_look_different(using: str) -> None:
    """A mapping whose keys have the same text is refused: one block would be lost."""

    class Other(str):
        def __eq__(self, other: object) -> bool:
            return self is other

        __hash__ = object.__hash__

    with pytest.raises(ValueError, match="twice"):
        get_next_blocks({Other("a"): 1, Other("a"): 2}, using=using)


def test_the_checks_return_plain_values() -> None:
    """An Allocation holds them, and so does whoever calls the checks."""
    for value in (Number.FIVE, Wrong(5)):
        assert type(check_integer("count", value)) is int
        assert repr(check_integer("count", value)) == "5"
        assert type(check_timeout(value)) is int
    assert repr(check_timeout(Half(0.5))) == "0.5"
    assert type(check_timeout(Half(0.5))) is float
    assert type(check_sequence_name(AnyCase("a"))) is str
    allocation = Allocation(AnyCase("a"), Wrong(1), Wrong(2), Wrong(9), Half(0.5))
    values = [getattr(allocation, name) for name in Allocation.__slots__]
    assert repr(values) == f"['a', 1, 2, 9, 0.5, 2, {2**63 - 2}]"


@pytest.mark.parametrize("value", [Wrong(-1), Wrong(2**63)])
def test_a_number_out_of_range_stays_that(value: int) -> None:
    """Whatever its comparisons say."""
    calls: list[tuple[Any, ...]] = [("s", value), ("s", 1, value), ("s", 1, 1, value)]
    for arguments in calls:
        with pytest.raises(ValueError, match="between 0 and"):
            Allocation(*arguments)
    with pytest.raises(ValueError, match="between 0 and"):
        run_atomic(lambda: pytest.fail("was run"), attempts=value)


@pytest.mark.parametrize(
    ("function", "arguments", "problem"),
    [
        (get_next_value, (1,), "sequence_name must be a str"),
        (get_next_value, ("s", -1), "initial_value must be between"),
        (get_next_values, (-1,), "batch_size must be between"),
        (get_next_values, ("2",), "batch_size must be an int"),
        (get_next_values, (1, ""), "sequence_name must have 1 to"),
        (get_next_blocks, ({"s": -1},), r"batch_sizes\['s'\] must be between"),
        (get_next_blocks, ({" s": 1},), "a name in batch_sizes must not contain"),
        (Sequence, (None,), "sequence_name must be a str"),
        (Sequence().get_next_values, (-1,), "batch_size must be between"),
        (set_last_value, (-1,), "value must be between"),
        (get_last_value, (1,), "sequence_name must be a str"),
        (delete, ("\ud800",), "sequence_name must be valid Unicode"),
        (NextValue, (1,), "name must be a str"),
    ],
)
def test_messages_name_the_argument(
    function: Callable[..., Any], arguments: tuple[Any, ...], problem: str
) -> None:
    """An error names the invalid argument as the signature of the function does."""
    with pytest.raises((TypeError, ValueError), match=f"^{problem}"):
        function(*arguments)


def test_set_last_value_locks_before_it_changes(using: str) -> None:
    """An update of what was only seen is a conflict on databases such as Firebird."""
    set_last_value(3, "s", using=using)
    statements: list[str] = []

    def note(execute: Any, sql: str, *args: Any) -> Any:
        statements.append(sql)
        return execute(sql, *args)

    with connections[using].execute_wrapper(note):
        set_last_value(5, "s", using=using)
    first = next(sql for sql in statements if "sequences_core_counter" in sql.lower())
    if connections[using].features.has_select_for_update:
        assert first.startswith("SELECT")
        assert "FOR UPDATE" in first
    else:
        assert first.startswith("UPDATE")  # which is how such a database locks
    assert get_last_value("s", using=using) == 5
