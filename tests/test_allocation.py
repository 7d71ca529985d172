"""Any argument makes a valid Allocation or a TypeError or ValueError, and nothing else."""

from __future__ import annotations

import dataclasses
import math
import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sequences_core import Allocation
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_TIMEOUT, MAX_VALUE, WHITE_SPACE

CHARACTERS = st.one_of(
    st.characters(),  # any code point, the halves of surrogate pairs included
    st.sampled_from(["\0", "'", '"', "`", "\\", "%", "\n", "\u00a0", "\u200b", "\ud800", "😀"]),
)
TEXT = st.text(CHARACTERS, max_size=20) | st.builds(
    lambda character, length: character * length,
    CHARACTERS,
    st.integers(MAX_NAME_LENGTH - 1, MAX_NAME_LENGTH + 1),
)
INTEGERS = st.one_of(
    st.integers(),
    st.sampled_from([0, 1, -1, *range(MAX_VALUE - 1, MAX_VALUE + 3), -(2**63), 2**64]),
)
OTHERS = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.decimals(),
    st.fractions(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.complex_numbers(),
    st.lists(st.integers(), max_size=1),
)
NAMES = TEXT | OTHERS
VALUES = INTEGERS | OTHERS
INITIALS = VALUES | st.just(lambda: 1)


def is_name(name: object) -> bool:
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_LENGTH:
        return False
    surrogates = any(0xD800 <= ord(character) <= 0xDFFF for character in name)
    return "\0" not in name and name == name.strip() and not surrogates


def is_value(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def is_timeout(timeout: object) -> bool:
    return timeout is None or (type(timeout) in {int, float} and 0 <= timeout <= MAX_TIMEOUT)  # type: ignore[operator]


def is_valid(name: Any, count: Any, initial: Any, reset: Any, timeout: Any) -> bool:
    """The contract, said once more."""
    if not (is_name(name) and is_value(count) and is_timeout(timeout)):
        return False
    if reset is None:
        return callable(initial) or is_value(initial)
    return is_value(initial) and is_value(reset) and count == 1 and reset > initial


def check(name: Any, count: Any, initial: Any, reset: Any, timeout: Any) -> None:
    arguments = (name, count, initial, reset, timeout)
    if not is_valid(*arguments):
        with pytest.raises((TypeError, ValueError), match=r"\S"):
            Allocation(*arguments)
        return
    allocation = Allocation(*arguments)
    assert (allocation.name, allocation.count) == (name, count)
    assert allocation.highest_before + count == MAX_VALUE
    if callable(initial) or initial + count - 1 > MAX_VALUE:
        assert allocation.first_last is None
    else:
        assert allocation.first_last == initial + count - 1


@given(name=NAMES)
@example(name="a b")
@example(name="\u2028a")
def test_any_name(name: Any) -> None:
    """A name is accepted if, and only if, every database stores it as it is."""
    check(name, 1, 1, None, None)


@given(count=VALUES, initial=INITIALS, reset=st.none() | VALUES)
@example(count=MAX_VALUE, initial=1, reset=None)
@example(count=MAX_VALUE, initial=MAX_VALUE, reset=None)
@example(count=1, initial=MAX_VALUE - 1, reset=MAX_VALUE)
@example(count=0, initial=0, reset=None)
@example(count=True, initial=True, reset=None)
@example(count=1, initial=False, reset=True)
@example(count=1.0, initial=Decimal(1), reset=Fraction(2))
def test_any_numbers(count: Any, initial: Any, reset: Any) -> None:
    """Numbers are ints in range that go together."""
    check("name", count, initial, reset, None)


@given(timeout=VALUES | st.floats(0, MAX_TIMEOUT * 2))
@example(timeout=0)
@example(timeout=-0.0)
@example(timeout=10**400)
@example(timeout=MAX_TIMEOUT)
@example(timeout=math.nextafter(MAX_TIMEOUT, math.inf))
@example(timeout=math.nan)
@example(timeout=math.inf)
def test_any_timeout(timeout: Any) -> None:
    """A timeout is None or a number of seconds in range."""
    check("name", 1, 1, None, timeout)


@given(NAMES, VALUES, INITIALS, st.none() | VALUES, VALUES)
def test_any_arguments(name: Any, count: Any, initial: Any, reset: Any, timeout: Any) -> None:
    """All of them together."""
    check(name, count, initial, reset, timeout)


def test_an_allocation_stays_as_it_was_checked() -> None:
    """It is frozen, so that a backend sees what was checked."""
    allocation = Allocation("name")
    with pytest.raises(dataclasses.FrozenInstanceError):
        allocation.count = 2  # type: ignore[misc]
    with pytest.raises(ValueError, match="count"):
        dataclasses.replace(allocation, count=-1)


def test_white_space_is_what_strip_takes_off() -> None:
    """The list that the database functions are made with has all of it, and nothing else."""
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    assert list(WHITE_SPACE) == [each for each in characters if not each.strip()]
