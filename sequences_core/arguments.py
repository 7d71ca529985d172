"""The limits of arguments, which are the same on every database, and their validation."""

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
"""The maximum length of a name, in characters."""

WHITE_SPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))
"""The characters that ``str.strip`` removes. A name doesn't begin or end with them."""

MAX_TIMEOUT = 2_147_483
"""The maximum of ``timeout``, in seconds: PostgreSQL and SQLite store milliseconds in 32 bits."""


def check_sequence_name(name: str, argument: str = "sequence_name") -> str:
    """Return ``name`` as a plain str.

    :param argument: what the message calls the name.
    :raises TypeError, ValueError: not all databases can store the name unchanged.
    """
    if type(name) is not str:
        if not isinstance(name, str):
            raise TypeError(f"{argument} must be a str, not {name!r}")
        # Some drivers would adapt a subclass, such as an enum member, in another way.
        name = str.__str__(name)
    if not name or len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"{argument} must have 1 to {MAX_NAME_LENGTH} characters: {name!r}")
    if "\0" in name or name != name.strip():
        raise ValueError(
            f"{argument} must not contain NUL, or begin or end with white space: {name!r}"
        )
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{argument} must be valid Unicode: {name!r}") from error
    return name


def check_integer(argument: str, value: object) -> int:
    """Return ``value`` as a plain int.

    :raises TypeError, ValueError: the value isn't an int from 0 to MAX_VALUE.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{argument} must be an int, not {value!r}")
    plain = int.__index__(value)  # a subclass, such as an enum, may define another conversion
    if not 0 <= plain <= MAX_VALUE:
        raise ValueError(f"{argument} must be between 0 and {MAX_VALUE}, not {plain}")
    return plain


def check_timeout(timeout: object) -> float:
    """Return the seconds as a plain int or float.

    :raises TypeError, ValueError: the value isn't a number from 0 to MAX_TIMEOUT.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds, not {timeout!r}")
    plain = int.__index__(timeout) if isinstance(timeout, int) else float.__float__(timeout)
    if not 0 <= plain <= MAX_TIMEOUT:  # also false for NaN
        raise ValueError(f"timeout must be between 0 and {MAX_TIMEOUT} seconds, not {plain}")
    return plain
