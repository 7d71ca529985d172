"""A model field that is numbered without holes when its row is inserted."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import truncate_name
from django.db.models import BigIntegerField, Model
from django.db.models.constants import LOOKUP_SEP
from django.utils.functional import cached_property

from sequences_core import NextValue, get_allocator
from sequences_core.allocator import Allocation, checked
from sequences_core.expressions import has_function

from . import checks, numbering
from .scopes import Scope, counter_name, parts_of, path_of, value_of, values_of

REUSE = (None, "gaps", "last")

HASHABLE = (
    models.BooleanField,
    models.CharField,
    models.DateField,
    models.ForeignKey,
    models.IntegerField,
    models.TextField,
    models.UUIDField,
)
"""Fields whose values are, as all that are common in a scope."""


class SequenceField(BigIntegerField):  # type: ignore[type-arg] # not generic at run time
    """An integer that the next number of a sequence is stored in when the row is inserted.

    Where the database can do it, the number is taken inside the INSERT; else, in autocommit, the
    INSERT runs in a transaction together with the taking. Either way a save that fails consumes
    no number. An explicit value is kept, and moves the counter past it.

    :param sequence_name: the counter; by default ``"table.column"``.
    :param scope: one counter for each value of this: a field's name or path (``"project"``,
        ``F("project__company")``), a constant (an int, a ``Value``), a function of the instance
        (which may return a list of values), or a list of these. Null or "" in it means "no
        number": None is stored if the field is ``null=True``, else ValueError is raised.
    :param separator: between the parts of the counter's name.
    :param unique_with: field names that are the scope, and together with the number unique.
    :param initial_value: the first number; a callable gets the instance, and is called only if
        there is no counter yet.
    :param reset_value: before reaching this the sequence restarts at ``initial_value``.
    :param timeout: seconds to wait for another transaction; ``nowait=True`` is ``timeout=0``.
    :param reuse: ``"gaps"`` gives the lowest free number of the scope, that of a deleted row
        included; ``"last"`` goes on from the highest number that is left.
    """

    db_returning = True  # Django then reads the number back with the INSERT, where it can

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
        **kwargs: Any,
    ) -> None:
        self.unique_with = (unique_with,) if isinstance(unique_with, str) else tuple(unique_with)
        if self.unique_with and scope is not None:
            raise ValueError("unique_with is the scope already: give only one of them")
        if reuse not in REUSE:
            raise ValueError(f"reuse is one of {REUSE}, not {reuse!r}")
        if reuse and reset_value is not None:
            raise ValueError("a sequence with a reset_value has no numbers to reuse")
        if nowait and timeout is not None:
            raise ValueError("nowait=True is timeout=0: give only one of them")
        if not isinstance(separator, str) or not separator or re.search(r"[\s%\0]", separator):
            raise ValueError(f"a separator is text without white space, % and NUL: {separator!r}")
        if callable(initial_value) and reset_value is not None:
            raise TypeError("with a reset_value, initial_value is an int: each loop needs it")
        if reuse and (callable(initial_value) or any(map(callable, parts_of(scope)))):
            raise ValueError("reuse needs a fixed initial_value, and a scope made of fields")
        first = 1 if callable(initial_value) else initial_value
        name = "checked later" if sequence_name is None else sequence_name
        Allocation(name, 1, first, reset_value, timeout)
        self.sequence_name = sequence_name
        self.scope = scope
        self.separator = separator
        self.initial_value = initial_value
        self.reset_value = reset_value
        self.nowait = nowait
        self.timeout = timeout
        self.reuse = reuse
        kwargs.setdefault("editable", False)
        kwargs.setdefault("blank", True)
        super().__init__(**kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("editable", None)
        kwargs.pop("blank", None)
        if self.editable:
            kwargs["editable"] = True
        if not self.blank:
            kwargs["blank"] = False
        for option, default in DEFAULTS.items():
            value = getattr(self, option)
            if value != default:
                kwargs[option] = value
        return name, path, args, kwargs

    def contribute_to_class(self, cls: type[Model], name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only)
        if cls._meta.abstract:
            return
        numbering.number_inserts(cls)
        # A migration's models have the constraints that migrations gave them, and no others.
        if self.unique_with and cls.__module__ != "__fake__":
            self._add_constraint(cls)

    def _add_constraint(self, cls: type[Model]) -> None:
        fields = (*self.unique_with, self.name)
        label = "_".join((cls._meta.app_label, cls._meta.model_name or "", *fields, "uniq"))
        constraint = models.UniqueConstraint(fields=fields, name=truncate_name(label, 30, 8))
        cls._meta.constraints = [*cls._meta.constraints, constraint]
        cls._meta.original_attrs["constraints"] = cls._meta.constraints

    @cached_property
    def scope_parts(self) -> list[Any]:
        """The parts of the scope, or of ``unique_with``."""
        return list(self.unique_with) or parts_of(self.scope)

    @cached_property
    def counter_base(self) -> str:
        """The counter's name without the scope."""
        return self.sequence_name or f"{self.model._meta.db_table}.{self.column}"

    def counter_of(self, instance: Model, using: str) -> str | None:
        """The name of the counter that numbers this instance; None for "no number"."""
        if not self.scope_parts:
            return self.counter_base
        values = [v for part in self.scope_parts for v in values_of(instance, part, using)]
        name = counter_name(self.counter_base, values, self.separator)
        if name is None and not self.null and self.explicit(instance) is None:
            raise ValueError(
                f"{self} can't be numbered: its scope {self.scope_parts!r} is null. Set the "
                f"scope's fields before saving, or declare the field with null=True"
            )
        return name

    @cached_property
    def scope_of(self) -> Callable[[Model], Any] | None:
        """Reads what decides on the counter, if that is fields of the model's own and hashable."""
        names = [path_of(part) or LOOKUP_SEP for part in self.scope_parts]
        if any(name == "pk" or LOOKUP_SEP in name for name in names):
            return None
        fields: list[Any] = [self.model._meta.get_field(name) for name in names]
        if not all(isinstance(field, HASHABLE) for field in fields):
            return None
        return attrgetter(*(field.attname for field in fields)) if fields else lambda instance: ()

    def rows_of(self, instance: Model, using: str) -> models.QuerySet[Any]:
        """The rows that share this instance's counter, if the scope is made of fields."""
        lookups = {
            path: value_of(instance, path, using)
            for part in self.scope_parts
            if (path := path_of(part)) is not None
        }
        return self.model._base_manager.using(using).filter(**lookups)

    def allocation(self, instance: Model, name: str, count: int = 1) -> Allocation:
        """The request for numbers of this field."""
        initial = self.initial_value
        if callable(initial):
            return Allocation(name, count, lambda: initial(instance), None, self.limit)
        return checked(name, count, initial, self.reset_value, self.limit)

    def is_in_statement(self, instance: Model, connection: BaseDatabaseWrapper) -> bool:
        """Will the INSERT of this instance take its number by itself?"""
        return (
            self.explicit(instance) is None
            and not self.reuse
            and self.limit is None
            and not callable(self.initial_value)
            and get_allocator(connection).supports_function
            and (
                connection.features.can_return_columns_from_insert
                or self._can_be_read_back(instance, connection)
            )
            and has_function(connection)
        )

    def _can_be_read_back(self, instance: Model, connection: BaseDatabaseWrapper) -> bool:
        """Does the primary key tell the number, with no more round trips under the lock?"""
        keys = self.model._meta.pk_fields
        at_once = not connection.in_atomic_block or get_allocator(connection).last_id(connection)
        known = not any(numbering.is_expression(getattr(instance, key.attname)) for key in keys)
        return bool(at_once) and known and self not in keys

    def explicit(self, instance: Model) -> Any:
        """The value that the instance has, but for the number of a parent's row that is gone."""
        value = getattr(instance, self.attname)
        if value is not None and instance._state.adding:
            return None if getattr(instance, self.tentative, None) == value else value
        return value

    @cached_property
    def tentative(self) -> str:
        """Where an instance remembers the number of a parent's row, while the child's may fail."""
        return f"_sequences_tentative_{self.attname}"

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        value = getattr(model_instance, self.attname)
        if not add or (value is not None and numbering.is_expression(value)):
            return value
        return numbering.number(self, model_instance)

    def check(self, **kwargs: Any) -> list[Any]:
        return [*super().check(**kwargs), *checks.check_field(self, kwargs.get("databases"))]

    @property
    def limit(self) -> float | None:
        """How long to wait for another transaction, in seconds; None is as long as it takes."""
        return 0 if self.nowait else self.timeout

    @property
    def first(self) -> int:
        """The fixed initial value."""
        assert not callable(self.initial_value)
        return self.initial_value

    def next_value(self, instance: Model, using: str) -> NextValue | None:
        """The expression by which the INSERT of this instance takes its number, if it gets one."""
        name = self.counter_of(instance, using)
        return None if name is None else _expression(name, self.first, self.reset_value)


# Made once for each counter, as the same few come again and again.
_expression = lru_cache(maxsize=1024)(NextValue)


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
}
