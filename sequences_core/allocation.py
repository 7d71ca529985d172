"""The request for a block, checked once, before any database sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from .arguments import MAX_VALUE, check_integer, check_sequence_name, check_timeout

__all__ = ["Allocation", "checked"]


@dataclass(frozen=True, slots=True)
class Allocation:
    """A checked request for ``count`` consecutive numbers of the counter ``name``.

    ``initial_value`` is the first number of a counter that does not exist yet; a callable is
    called only then. At ``reset_value`` the counter restarts at ``initial_value``, so it is never
    given out. ``timeout`` bounds the wait for another transaction, in seconds; 0 is "don't wait",
    None is "as long as the database does".

    Raises TypeError and ValueError, in the same way for every database.
    """

    name: str
    count: int = 1
    initial_value: int | Callable[[], int] = 1
    reset_value: int | None = None
    timeout: float | None = None

    first_last: int | None = field(init=False, repr=False, compare=False)
    """The counter's value once this block has created it; None if that can't be said yet.

    That is while ``initial_value`` is a callable, or when the first block would not fit.
    """

    highest_before: int = field(init=False, repr=False, compare=False)
    """The highest ``last`` from which the block still fits."""

    def __post_init__(self) -> None:
        keep = partial(object.__setattr__, self)  # plain values, whatever subclass came in
        keep("name", check_sequence_name(self.name))
        keep("count", check_integer("count", self.count))
        if not callable(self.initial_value):
            keep("initial_value", check_integer("initial_value", self.initial_value))
        if self.reset_value is not None:
            keep("reset_value", check_integer("reset_value", self.reset_value))
            if self.count != 1:
                raise ValueError("a batch can't have a reset_value: it might wrap around")
            if callable(self.initial_value):
                raise TypeError("with a reset_value, initial_value is an int: each loop needs it")
            if self.reset_value <= self.initial_value:
                raise ValueError(
                    f"reset_value ({self.reset_value}) must be greater than "
                    f"initial_value ({self.initial_value})"
                )
        if self.timeout is not None:
            keep("timeout", check_timeout(self.timeout))
        last = None if callable(self.initial_value) else self.initial_value + self.count - 1
        keep("first_last", None if last is None or last > MAX_VALUE else last)
        keep("highest_before", MAX_VALUE - self.count)


_kept = lru_cache(maxsize=1024, typed=True)(Allocation)
_BOUNDS = frozenset({int, float, type(None)})


def checked(
    name: str, count: int = 1, first: Any = 1, reset: int | None = None, timeout: Any = None
) -> Allocation:
    """Return the Allocation of these arguments; the same few come again, and are checked once.

    Not with a callable, which may be a new one each time, nor with subclasses of str and int, whose
    equality may be their own.
    """
    plain = type(name) is str and type(count) is type(first) is int
    if plain and type(reset) in _BOUNDS and type(timeout) in _BOUNDS:
        return _kept(name, count, first, reset, timeout)
    return Allocation(name, count, first, reset, timeout)
