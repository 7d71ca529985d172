"""The limits that hold on every database, and the checks of arguments against them."""

from __future__ import annotations

__all__ = [
    "MAX_NAME_LENGTH",
    "MAX_TIMEOUT",
    "MAX_VALUE",
    "WHITE_SPACE",
    "check_integer",
    "check_sequence_name",
    "check_timeout",
]

MAX_VALUE = 2**63 - 1
"""The highest number, on every database: a signed BIGINT."""

MAX_NAME_LENGTH = 255
"""The longest name, in characters."""

WHITE_SPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))
"""What ``str.strip`` takes off: no name begins or ends with it."""

MAX_TIMEOUT = 2_147_483
"""The longest ``timeout``, in seconds: PostgreSQL and SQLite count milliseconds in 32 bits."""


def check_sequence_name(name: str) -> str:
    """Return the text of ``name``; raise TypeError or ValueError unless all databases keep it."""
    if type(name) is not str:
        if not isinstance(name, str):
            raise TypeError(f"a sequence name is a str, not {name!r}")
        # A subclass such as an enum member must not reach a driver that would adapt it.
        name = str.__str__(name)
    if not name or len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"a sequence name has 1 to {MAX_NAME_LENGTH} characters, not {len(name)}")
    if "\0" in name or name != name.strip():
        raise ValueError(f"a sequence name has no NUL and no white space at its ends: {name!r}")
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"a sequence name is valid Unicode: {name!r}") from error
    return name


def check_integer(argument: str, value: object) -> int:
    """Return ``value`` as a plain int; raise TypeError or ValueError unless in 0 … MAX_VALUE."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{argument} is an int, not {value!r}")
    plain = int.__index__(value)  # what a subclass such as an enum makes of its value is its own
    if not 0 <= plain <= MAX_VALUE:
        raise ValueError(f"{argument} is between 0 and {MAX_VALUE}, not {plain}")
    return plain


def check_timeout(timeout: object) -> float:
    """Return the seconds as a plain int or float; raise TypeError or ValueError for others."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout is a number of seconds, not {timeout!r}")
    plain = int.__index__(timeout) if isinstance(timeout, int) else float.__float__(timeout)
    if not 0 <= plain <= MAX_TIMEOUT:  # nor is NaN
        raise ValueError(f"timeout is between 0 and {MAX_TIMEOUT} seconds, not {plain}")
    return plain
