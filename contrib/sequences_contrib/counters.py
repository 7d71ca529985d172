"""What a SequenceField says about its counters, whatever Django does with the field."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Model, Q, Value
from django.utils.functional import cached_property

from sequences_core import Allocation, NextValue
from sequences_core.allocator import checked

from . import conditions, rules
from .copied import Copied
from .formats import Formatted
from .identity import UNSETTLED, counter_name, escape
from .periods import Period
from .scopes import (
    ALIKE,
    Scope,
    fields_of,
    is_automatic,
    lookups_of,
    parts_of,
    path_of,
    rows_in,
    text_of_one,
    texts_of,
)

REUSE = (None, "gaps", "last")

DEFAULTS: dict[str, Any] = {
    "sequence_name": None,
    "scope": None,
    "separator": ".",
    "unique_with": (),
    "initial_value": 1,
    "reset_value": None,
    "nowait": False,
    "timeout": None,
    "reuse": None,
    "skip_used": False,
    "ascending": None,
    "maximum": None,
    "warn_below": 0,
    "when": None,
}
"""The options, with their defaults."""


class Numbering(Copied):
    """The options of a SequenceField, checked, and the counters that they lead to."""

    # Set by Django.
    model: type[Model]
    name: str
    attname: str
    column: Any
    null: bool

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
            raise ValueError("a number that is given later is null before: leave out null=False")
        super().__init__(**kwargs)

    def _refuse_bad_options(self) -> None:
        """Raise TypeError or ValueError for options that make no sense."""
        first = 1 if callable(self.initial_value) else self.initial_value
        fixed = not callable(self.initial_value)
        if self.unique_with and self.scope is not None:
            raise ValueError("unique_with is the scope already: give only one of them")
        for part in parts_of(self.scope) + list(self.unique_with):
            known = isinstance(part, str | int | F | Value | Period) or callable(part)
            if part == "" or not known:
                raise TypeError(
                    f"a part of a scope is a field's name or path, an F, a period, an int, a "
                    f"Value or a function, not {part!r}"
                )
        if any(isinstance(part, Period) for part in self.unique_with):
            raise TypeError("unique_with has names of fields: put periods into scope")
        if self.reuse not in REUSE:
            raise ValueError(f"reuse is one of {REUSE}, not {self.reuse!r}")
        if self.reset_value is not None and (self.reuse or self.skip_used):
            raise ValueError("a sequence with a reset_value has no numbers to reuse or to skip")
        if self.reuse and self.skip_used:
            raise ValueError("reuse looks at all rows already: leave out skip_used")
        if self.nowait and self.timeout is not None:
            raise ValueError("nowait=True is timeout=0: give only one of them")
        separator = self.separator
        if not isinstance(separator, str) or not separator or re.search(r"[\s%\0]", separator):
            raise ValueError(f"a separator is text without white space, % and NUL: {separator!r}")
        if not fixed and self.reset_value is not None:
            raise TypeError("with a reset_value, initial_value is an int: each loop needs it")
        if self.reuse and not fixed:
            raise ValueError("reuse needs a fixed initial_value")
        if (self.reuse or self.skip_used) and any(map(callable, parts_of(self.scope))):
            raise ValueError("reuse and skip_used need a scope made of fields")
        if not (isinstance(self.skip_used, bool) or callable(self.skip_used)):
            raise TypeError(f"skip_used is a bool or a function, not {self.skip_used!r}")
        if self.when is not None:
            conditions.check(self.when)
        name = "checked later" if self.sequence_name is None else self.sequence_name
        Allocation(name, 1, first, self.reset_value, self.limit)
        rules.refuse_bad_options(self)

    @cached_property
    def scope_parts(self) -> list[Any]:
        """The parts of the scope, or of ``unique_with``."""
        return list(self.unique_with) or parts_of(self.scope)

    @cached_property
    def is_scoped_by_function(self) -> bool:
        """Do only instances tell which counter numbers a row, and no query?"""
        return any(map(callable, self.scope_parts))

    @cached_property
    def only_column(self) -> Any:
        """The field that is the whole scope, or whose period is, if it is one of the row's own."""
        if len(self.scope_parts) != 1 or (path := path_of(self.scope_parts[0])) is None:
            return None
        field, *rest = fields_of(self.model, path)
        return None if rest or is_automatic(field) else field

    @cached_property
    def memory(self) -> str:
        """Where the state of an instance remembers the number that nobody has set."""
        return f"sequences_{self.attname}"

    @cached_property
    def unsettled(self) -> list[Any]:
        """The fields in scope and texts whose columns may hold something else than is stored."""
        paths = [path for part in self.scope_parts if (path := path_of(part))]
        paths += [path for text in self.texts for path in text.format.paths]
        firsts = dict.fromkeys(fields_of(self.model, path)[0] for path in paths)
        return [field for field in firsts if isinstance(field, UNSETTLED)]

    @cached_property
    def depends_on(self) -> list[Any]:
        """The fields of the row that its number and the texts of it depend on."""
        paths = [path for part in self.scope_parts if (path := path_of(part))]
        paths += [path for text in self.texts for path in text.format.paths]
        firsts: list[Any] = [fields_of(self.model, path)[0] for path in paths]
        if self.ascending is not None:
            firsts.append(self.model._meta.get_field(self.ascending))
        if self.when is not None:
            firsts += [
                conditions.field_of(self.model, name) for name in conditions.names_in(self.when)
            ]
        return list(dict.fromkeys(firsts))

    @cached_property
    def texts(self) -> list[Any]:
        """The fields that hold this number as text."""
        texts = [field for field in self.model._meta.local_fields if isinstance(field, Formatted)]
        return [text for text in texts if text.number == self.name and not text.is_copy]

    @property
    def condition(self) -> Q:
        """Return ``when`` as a filter of rows."""
        return Q() if self.when is None else conditions.as_q(self.model, self.when)

    def is_due(self, row: Model, connection: BaseDatabaseWrapper) -> bool:
        """Does a row that is stored as it is now get a number, unless it has one?"""
        return self.when is None or conditions.is_met(self.when, row, connection)

    @property
    def limit(self) -> float | None:
        """How long to wait for another transaction, in seconds; None is as long as it takes."""
        return 0 if self.nowait else self.timeout

    @property
    def first(self) -> int:
        """The fixed initial value."""
        assert not callable(self.initial_value)
        return self.initial_value

    @cached_property
    def base(self) -> str:
        """How the names of this field's counters begin: the whole name where there is no scope."""
        if self.sequence_name is None:
            return default_base(self.model._meta.db_table, self.column, self.separator)
        return (
            escape(self.sequence_name, self.separator) if self.scope_parts else self.sequence_name
        )

    def uses_sequence(self, name: str) -> bool:
        """Return whether the counter of this name could number rows of this field."""
        if self.is_copy or not self.scope_parts:
            return not self.is_copy and name == self.base
        scoped = self.base + self.separator
        if not name.startswith(scoped):
            return False
        # No text has the separator in it; a function may return more than one.
        texts = name.removeprefix(scoped).split(self.separator)
        return self.is_scoped_by_function or len(texts) == len(self.scope_parts)

    @cached_property
    def is_plain(self) -> bool:
        """Can a database function take the numbers, if the database has one?"""
        choosy = self.reuse or self.skip_used or self.has_rules or self.limit is not None
        return not choosy and not callable(self.initial_value)

    @property
    def has_rules(self) -> bool:
        """Must a number be compared with its row, and with others, before the INSERT?"""
        return self.ascending is not None or self.maximum is not None

    def names_of(self, rows: Sequence[Any], connection: BaseDatabaseWrapper) -> list[str | None]:
        """Return the name of the counter that numbers each row; None for "no number".

        Raises ValueError for a row without a scope whose number can't be null.
        """
        base = self.base
        if not self.scope_parts:
            return [base] * len(rows)
        if len(rows) == 1 and self.only_column is not None:
            value = getattr(rows[0], self.only_column.attname)
            if type(value) in ALIKE and value != "":
                kind: Any = type(value)
                return [_name_of_one(self, kind, value, connection.alias)]
        columns = [texts_of(part, rows, connection) for part in self.scope_parts]
        scopes = columns[0]
        if len(columns) > 1:
            scopes = [tuple(chain.from_iterable(texts)) for texts in zip(*columns, strict=True)]
        names = {
            scope: None if None in scope else counter_name(base, scope, self.separator)
            for scope in set(scopes)
        }
        if None in names.values():
            for row, scope in zip(rows, scopes, strict=True):
                if None in scope:
                    self._refuse_null(row)
        return [names[scope] for scope in scopes]

    def counter_of(self, instance: Model, using: str) -> str | None:
        """Return the name of the counter that numbers this instance; None for "no number"."""
        return self.names_of([instance], connections[using])[0]

    def _refuse_null(self, row: Model) -> None:
        if not self.null and getattr(row, self.attname) is None:
            raise ValueError(
                f"{self} can't be numbered: its scope {self.scope_parts!r} is null. Set the "
                f"scope's fields before saving, or declare the field with null=True"
            )

    def rows_of(self, instance: Model, using: str) -> models.QuerySet[Any]:
        """Return the rows that share this instance's counter, if the scope is made of fields.

        No table is joined: a locking read of these rows locks no others.
        """
        rows = rows_in(self.model, using)
        for part in self.scope_parts:
            if path_of(part) is None:
                continue
            first, alike = lookups_of(part, self.model, instance, connections[using])
            if first in self.model._meta.local_fields:
                rows = rows.filter(**alike)
                continue
            link: Any = self.model._meta.get_ancestor_link(first.model)
            parents = rows_in(link.remote_field.model, using).filter(**alike)
            rows = rows.filter(**{f"{link.name}__in": parents.values(link.target_field.attname)})
        return rows

    def skips_used(self, instance: Model) -> bool:
        """Are numbers skipped that rows have?"""
        return self.skip_used(instance) if callable(self.skip_used) else self.skip_used

    def allocation(self, instance: Model, name: str, count: int = 1) -> Allocation:
        """Return the request for numbers of this field."""
        initial = self.initial_value
        if callable(initial):
            return Allocation(name, count, lambda: initial(instance), None, self.limit)
        return checked(name, count, initial, self.reset_value, self.limit)

    def next_value(self, name: str, *, waited_for: bool = False) -> NextValue:
        """Return the expression by which an INSERT takes a number by itself.

        ``waited_for`` if the caller waits until the INSERT is durable.
        """
        return _expression(name, self.first, self.reset_value, waited_for)


def default_base(table: str, column: str, separator: str) -> str:
    """Return the name of the counter of a field without a ``sequence_name``."""
    return f"{escape(table, separator)}.{escape(column, separator)}"


@lru_cache(maxsize=1024)
def _name_of_one(field: Any, kind: type, value: Any, using: str) -> str | None:
    """Return the name for a value of a scope of one column; the type, for 1 is equal to True."""
    (part,) = field.scope_parts
    text = text_of_one(part, field.only_column, value, connections[using])
    return None if text is None else counter_name(field.base, (text,), field.separator)


@lru_cache(maxsize=1024)
def _expression(name: str, first: int, reset_value: int | None, waited_for: bool) -> NextValue:
    """Return the expression; the same few counters come again and again."""
    expression = NextValue(name, first, reset_value)
    return expression.waited_for() if waited_for else expression
