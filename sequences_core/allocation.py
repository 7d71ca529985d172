"""The request for a block. Its arguments are validated once, before any statement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from .arguments import MAX_VALUE, check_integer, check_sequence_name, check_timeout

__all__ = ["Allocation", "checked"]


@dataclass(frozen=True, slots=True)
class Allocation:
    """A validated request for ``count`` consecutive numbers of the sequence ``name``.

    ``initial_value`` is the first number if the counter doesn't exist yet; a callable is called
    only then. The sequence restarts at ``initial_value`` instead of reaching ``reset_value``.
    ``timeout`` limits the wait for another transaction, in seconds: 0 means no wait, None means
    the database's own limit.

    :raises TypeError, ValueError: an argument is invalid. The same arguments are invalid on every
        database.
    """

    name: str
    count: int = 1
    initial_value: int | Callable[[], int] = 1
    reset_value: int | None = None
    timeout: float | None = None

    first_last: int | None = field(init=False, repr=False, compare=False)
    """The value of ``last`` if this block creates the counter.

    None if ``initial_value`` is a callable, or if a first block would exceed MAX_VALUE.
    """

    highest_before: int = field(init=False, repr=False, compare=False)
    """The highest value of ``last`` after which the block doesn't exceed MAX_VALUE."""

    def __post_init__(self) -> None:
        keep = partial(object.__setattr__, self)  # subclasses of str and int become plain values
        keep("name", check_sequence_name(self.name))
        keep("count", check_integer("count", self.count))
        if not callable(self.initial_value):
            keep("initial_value", check_integer("initial_value", self.initial_value))
        if self.reset_value is not None:
            keep("reset_value", check_integer("reset_value", self.reset_value))
            if self.count != 1:
                raise ValueError("a batch can't have a reset_value: its numbers might start again")
            if callable(self.initial_value):
                raise TypeError(
                    "with a reset_value, initial_value must be an int: each loop needs it"
                )
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
    """Return an Allocation of these arguments, from a cache if possible.

    The cache doesn't keep callables, because each call may pass a new one, or subclasses of str
    and int, because they may define equality differently.
    """
    plain = type(name) is str and type(count) is type(first) is int
    if plain and type(reset) in _BOUNDS and type(timeout) in _BOUNDS:
        return _kept(name, count, first, reset, timeout)
    return Allocation(name, count, first, reset, timeout)
