"""The options of a SequenceField: their defaults, and which of them exclude each other."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

from django.db.models import F, Model, Q, Value
from django.utils.functional import cached_property

from sequences_core import Allocation

from . import conditions, rules
from .copied import Copied
from .periods import Period
from .scopes import Scope, parts_of

REUSE = (None, "gaps", "last")
"""The values of the option ``reuse``."""


class Options(Copied):
    """A mixin that stores the options of a SequenceField and checks them.

    It knows nothing of the field's model. ``SequenceField`` documents each option.
    """

    def __init__(
        self,
        sequence_name: str | None = None,
        *,
        scope: Scope = None,
        separator: str = ".",
        unique_with: str | tuple[str, ...] | list[str] = (),
        initial_value: int | Callable[[Model], int] = 1,
        reset_value: int | None = None,
        nowait: bool = False,
        timeout: float | None = None,
        reuse: str | None = None,
        skip_used: bool | Callable[[Model], bool] = False,
        ascending: str | None = None,
        maximum: int | Callable[[Model], int | None] | None = None,
        warn_below: int = 0,
        when: str | Q | None = None,
        **kwargs: Any,
    ) -> None:
        self.unique_with = (unique_with,) if isinstance(unique_with, str) else tuple(unique_with)
        self.sequence_name = sequence_name
        self.scope = scope
        self.separator = separator
        self.initial_value = initial_value
        self.reset_value = reset_value
        self.nowait = nowait
        self.timeout = timeout
        self.reuse = reuse
        self.skip_used = skip_used
        self.ascending = ascending
        self.maximum = maximum
        self.warn_below = warn_below
        self.when = when
        self._refuse_bad_options()
        if when is not None and not kwargs.setdefault("null", True):
            raise ValueError("with when, rows have no number at first: leave out null=False")
        super().__init__(**kwargs)

    def _refuse_bad_options(self) -> None:
        """Raise TypeError or ValueError for wrong options, and for options that exclude others."""
        self._refuse_bad_scope()
        self._refuse_bad_reuse()
        if self.nowait and self.timeout is not None:
            raise ValueError("nowait=True is timeout=0: give only one of them")
        if callable(self.initial_value) and self.reset_value is not None:
            raise TypeError(
                "with a reset_value, initial_value must be an int: the sequence restarts at it"
            )
        if self.when is not None:
            conditions.check(self.when)
        self._refuse_bad_numbers()
        rules.refuse_bad_options(self)

    def _refuse_bad_scope(self) -> None:
        if self.unique_with and self.scope is not None:
            raise ValueError("unique_with sets the scope: give only one of unique_with and scope")
        for part in parts_of(self.scope) + list(self.unique_with):
            known = isinstance(part, str | int | F | Value | Period) or callable(part)
            if part == "" or not known:
                raise TypeError(
                    f"a part of a scope must be a field's name or path, an F, a period, an int, a "
                    f"Value or a function, not {part!r}"
                )
        if any(isinstance(part, Period) for part in self.unique_with):
            raise TypeError("unique_with has names of fields: put periods into scope")
        separator = self.separator
        # White space, % and NUL are what counter names escape.
        if not isinstance(separator, str) or not separator or re.search(r"[\s%\0]", separator):
            raise ValueError(
                f"separator must be text without white space, % and NUL: {separator!r}"
            )

    def _refuse_bad_reuse(self) -> None:
        if self.reuse not in REUSE:
            raise ValueError(f"reuse must be one of {REUSE}, not {self.reuse!r}")
        if not (isinstance(self.skip_used, bool) or callable(self.skip_used)):
            raise TypeError(f"skip_used must be a bool or a function, not {self.skip_used!r}")
        if self.reset_value is not None and (self.reuse or self.skip_used):
            raise ValueError("reset_value excludes reuse and skip_used: its numbers repeat anyway")
        if self.reuse and self.skip_used:
            raise ValueError("reuse can't be combined with skip_used")
        if self.reuse and callable(self.initial_value):
            raise ValueError("reuse needs a fixed initial_value")
        # Only a scope made of fields can be turned into a query for the rows in it.
        if (self.reuse or self.skip_used) and any(map(callable, parts_of(self.scope))):
            raise ValueError("reuse and skip_used need a scope made of fields")

    def _refuse_bad_numbers(self) -> None:
        """Let the core check the name, the numbers and the time limit, as it does for a request."""
        name = "checked later" if self.sequence_name is None else self.sequence_name
        first = 1 if callable(self.initial_value) else self.initial_value
        Allocation(name, 1, first, self.reset_value, self.limit)

    @cached_property
    def limit(self) -> float | None:
        """The longest wait for another transaction, in seconds; None waits without a limit."""
        return 0 if self.nowait else self.timeout

    @cached_property
    def first(self) -> int:
        """The initial value of a field that declares an int."""
        assert not callable(self.initial_value)
        return self.initial_value

    @cached_property
    def scope_parts(self) -> list[Any]:
        """The parts of the scope, or of ``unique_with``."""
        return list(self.unique_with) or parts_of(self.scope)

    @cached_property
    def is_scoped_by_function(self) -> bool:
        """Whether a function is part of the scope, so that no query can find a counter's rows."""
        return any(map(callable, self.scope_parts))

    @property
    def has_rules(self) -> bool:
        """Whether numbers must be compared with dates or a maximum before the INSERT."""
        return self.ascending is not None or self.maximum is not None

    @cached_property
    def is_plain(self) -> bool:
        """Whether the options allow a database function to take the numbers."""
        chooses = self.reuse or self.skip_used or self.has_rules or self.limit is not None
        return not chooses and not callable(self.initial_value)


DEFAULTS: dict[str, Any] = {
    name: option.default
    for name, option in signature(Options.__init__).parameters.items()
    if option.default is not Parameter.empty
}
"""The options by name, with their defaults: migrations leave out an option that has its default."""
