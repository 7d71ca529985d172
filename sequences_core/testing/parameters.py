"""The driver receives plain values, also if the caller passes subclasses of str and int."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db.models.sql import Query

from sequences_core import (
    NextValue,
    Sequence,
    delete,
    get_last_value,
    get_next_blocks,
    get_next_value,
    get_next_values,
    set_last_value,
)

from .base import Contract


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2
    NINE = 9


class Name(str, enum.Enum):  # noqa: UP042 - a StrEnum's str() would be its value
    S = "s"


class Text(str):
    """A subclass of str, like Django's SafeString."""


class Seconds(float):
    """A subclass of float, like numpy's float64."""


class Parameters(Contract):
    """The parameters are plain int, str, float or None, or have a type of the driver's."""

    @pytest.mark.parametrize("name", [Name.S, Text("s")], ids=["enum", "subclass"])
    def test_plain_values_reach_the_driver(self, name: str) -> None:
        """Subclasses become plain values, because a driver could adapt them differently."""
        one, two, nine = Number.ONE, Number.TWO, Number.NINE
        using = self.using
        calls: list[Callable[[], Any]] = [
            lambda: get_next_value(name, one, using=using),
            lambda: get_next_value(name, one, nine, using=using),
            lambda: get_next_value(name, lambda: two, using=using),
            lambda: get_next_values(two, name, one, using=using),
            lambda: get_next_values(two, name, lambda: one, using=using),
            lambda: get_next_blocks({name: two}, one, using=using),
            lambda: next(Sequence(name, one, nine, using=using)),
            lambda: get_last_value(name, using=using),
            lambda: set_last_value(nine, name, using=using),
            lambda: set_last_value(two, name, force=True, using=using),
            lambda: delete(name, using=using),
            lambda: set_last_value(two, name, using=using),
        ]
        if self.flag("can_limit_wait"):
            for timeout in (one, Seconds(0.5), 0):
                bound: dict[str, Any] = {"timeout": timeout, "using": using}
                calls.append(partial(get_next_value, name, one, **bound))
                calls.append(partial(get_next_values, two, name, lambda: one, **bound))
        if self.flag("supports_function"):
            calls += [lambda: self._compile(name, one, nine)]
        with self.atomic():
            # Each call is made twice: without a counter, and with one.
            for call in calls:
                delete("s", using=using)
                for _ in range(2):
                    assert self._odd_parameters(call) == []

    def _odd_parameters(self, call: Callable[[], Any]) -> list[Any]:
        seen: list[Any] = []

        def record(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            seen.extend(flat(params))
            return execute(sql, params, many, context)

        with self.connection.execute_wrapper(record):
            compiled = call()
        if isinstance(compiled, tuple):
            seen.extend(flat(compiled))
        return [value for value in seen if not self._is_plain(value)]

    def _compile(self, *args: Any) -> Any:
        query = Query(None)
        number = NextValue(*args).resolve_expression(query, for_save=True)
        _, params = query.get_compiler(using=self.using).compile(number)
        return tuple(params)

    def _is_plain(self, value: Any) -> bool:
        connection: Any = self.connection
        driver = connection.Database.__name__.partition(".")[0]
        return type(value) in {int, str, float, type(None)} or (
            # Examples are psycopg's Int8, used by Django's fields, and variables for results.
            type(value).__module__.partition(".")[0] in {driver, "django"}
        )


def flat(params: Any) -> Iterator[Any]:
    """Yield each value of a statement's parameters."""
    if isinstance(params, dict):
        params = params.values()
    for value in params or ():
        if isinstance(value, list | tuple):
            yield from flat(value)
        else:
            yield value
