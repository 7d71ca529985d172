"""Which counter numbers a row, and which rows a counter numbers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Model, Q
from django.db.models.lookups import IsNull
from django.utils.functional import cached_property

from sequences_core import Allocation
from sequences_core.allocator import checked

from . import conditions
from .formatted import Formatted
from .identity import UNSETTLED, counter_name, escape
from .options import Options
from .scopes import (
    ALIKE,
    fields_of,
    is_automatic,
    lookups_of,
    path_of,
    rows_in,
    text_of_one,
    texts_of,
)


class Numbering(Options):
    """A mixin of SequenceField that relates the rows of its model to counters.

    Other modules use it to recognize numbered fields, so that they needn't import SequenceField,
    which imports them.
    """

    # Django sets these.
    model: type[Model]
    name: str
    attname: str
    column: Any
    null: bool

    @cached_property
    def memory(self) -> str:
        """The attribute of ``_state`` for the number that an instance was loaded or saved with."""
        return f"sequences_{self.attname}"

    @property
    def is_key(self) -> bool:
        """Whether the number is the primary key of its model, or a part of it."""
        keys: Any = self.model._meta.pk_fields
        return self in keys

    @cached_property
    def texts(self) -> list[Any]:
        """The fields that hold this number as text."""
        texts = [field for field in self.model._meta.local_fields if isinstance(field, Formatted)]
        return [text for text in texts if text.number == self.name and not text.is_copy]

    @cached_property
    def only_column(self) -> Any:
        """The row's own field that alone decides on the counter, by its value or its period.

        None if the scope has other parts, a path, or a field that Django sets during the INSERT.
        """
        if len(self.scope_parts) != 1 or (path := path_of(self.scope_parts[0])) is None:
            return None
        field, *rest = fields_of(self.model, path)
        return None if rest or is_automatic(field) else field

    @cached_property
    def source_fields(self) -> list[Any]:
        """The row's own fields from which its scope and its texts are read."""
        paths = [path for part in self.scope_parts if (path := path_of(part))]
        paths += [path for text in self.texts for path in text.format.paths]
        return list(dict.fromkeys(fields_of(self.model, path)[0] for path in paths))

    @cached_property
    def unsettled(self) -> list[Any]:
        """The fields above and of the condition whose columns may store another value."""
        fields = dict.fromkeys([*self.source_fields, *self.condition_fields])
        return [field for field in fields if isinstance(field, UNSETTLED)]

    @cached_property
    def condition_fields(self) -> list[Any]:
        """The fields that the condition compares."""
        names = [] if self.when is None else conditions.names_in(self.when)
        return [conditions.field_of(self.model, name) for name in names]

    @cached_property
    def depends_on(self) -> list[Any]:
        """The fields of the row that decide on its number and its texts, each of them once."""
        fields: list[Any] = list(self.source_fields)
        if self.ascending is not None:
            fields.append(self.model._meta.get_field(self.ascending))
        return list(dict.fromkeys([*fields, *self.condition_fields]))

    @property
    def condition(self) -> Q:
        """The option ``when`` as a filter of rows."""
        return Q() if self.when is None else conditions.as_q(self.model, self.when)

    def is_due(self, row: Model, connection: BaseDatabaseWrapper) -> bool:
        """Return whether ``when`` is true of the row, so that it must have a number."""
        return self.when is None or conditions.is_met(self.when, row, connection)

    @property
    def is_missing(self) -> IsNull:
        """A filter of rows that have no number, for an UPDATE of rows with known keys.

        Because of the sum, MariaDB uses no index of the number. It would lock the index entry
        before the row, but other statements, such as a DELETE, lock the row first.
        """
        return IsNull(F(self.attname) + 0, True)

    @property
    def reads_rows(self) -> bool:
        """Whether taking a number can read other rows with a lock, on MySQL and MariaDB."""
        return bool(self.reuse or self.skip_used or self.ascending)

    def skips_used(self, instance: Model) -> bool:
        """Return whether numbers that rows already have are skipped for this instance."""
        return self.skip_used(instance) if callable(self.skip_used) else self.skip_used

    def number_of(self, row: Any) -> int:
        """Return the row's number as an int, also if the attribute holds its digits as text."""
        return self.get_prep_value(getattr(row, self.attname))  # type: ignore[attr-defined, no-any-return]

    @cached_property
    def base(self) -> str:
        """The beginning of the names of this field's counters; without a scope, the whole name."""
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
        # Separators inside a text are escaped. A function may return several texts.
        texts = name.removeprefix(scoped).split(self.separator)
        return self.is_scoped_by_function or len(texts) == len(self.scope_parts)

    def counter_of(self, instance: Model, using: str) -> str | None:
        """Return the name of the counter that numbers this instance; None for "no number"."""
        return self.names_of([instance], connections[using])[0]

    def names_of(self, rows: Sequence[Any], connection: BaseDatabaseWrapper) -> list[str | None]:
        """Return the name of the counter that numbers each row; None for "no number".

        Raises ValueError for a row without a scope whose number can't be null.
        """
        base = self.base
        if not (self.scope_parts and rows):
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

    def _refuse_null(self, row: Model) -> None:
        if not self.null and getattr(row, self.attname) is None:
            raise ValueError(
                f"{self} can't be numbered: its scope {self.scope_parts!r} is null or "
                f"empty. Set the scope's fields before saving, or declare the field with null=True"
            )

    def rows_of(self, instance: Model, using: str) -> models.QuerySet[Any]:
        """Return the rows that share this instance's counter, if the scope is made of fields.

        The query joins no table, so that ``select_for_update()`` locks no other rows.
        """
        rows = rows_in(self.model, using)
        for part in self.scope_parts:
            if path_of(part) is None:
                continue
            first, alike = lookups_of(part, self.model, instance, connections[using])
            if first in self.model._meta.local_fields:
                rows = rows.filter(alike)
                continue
            link: Any = self.model._meta.get_ancestor_link(first.model)
            parents = rows_in(link.remote_field.model, using).filter(alike)
            rows = rows.filter(**{f"{link.name}__in": parents.values(link.target_field.attname)})
        return rows

    def allocation(self, instance: Model, name: str, count: int = 1) -> Allocation:
        """Return the request for the next ``count`` numbers of a counter of this field.

        :param instance: the row that a callable ``initial_value`` is called with.
        """
        initial = self.initial_value
        if callable(initial):
            return Allocation(name, count, lambda: initial(instance), None, self.limit)
        return checked(name, count, initial, self.reset_value, self.limit)


def is_numbered(field: Any) -> bool:
    """Return whether inserting a row numbers this field."""
    return isinstance(field, Numbering) and not field.is_copy


def sequence_fields(model: type[Model]) -> list[Any]:
    """Return the numbered fields of a model, including those of its parents."""
    return list(filter(is_numbered, model._meta.concrete_fields))


@lru_cache(maxsize=1024)
def unsettled_in_parents(model: type[Model]) -> frozenset[Any]:
    """Return the unsettled fields that are stored in a parent's row, before a child is numbered."""
    return frozenset(
        source
        for field in sequence_fields(model)
        for source in field.unsettled
        if source.model is not field.model
    )


def tables_of(model: type[Model]) -> list[type[Model]]:
    """Return the parent models and the model itself, in the order in which ``save()`` stores them.

    Whatever locks the rows of several of these tables must do so in this order.
    """
    found: list[type[Model]] = []
    concrete: Any = model._meta.concrete_model
    for parent, link in concrete._meta.parents.items():
        found += tables_of(parent) if link else []
    return list(dict.fromkeys([*found, concrete]))


def in_order_of_insertion(model: type[Model]) -> list[type[Model]]:
    """Return the numbered models whose rows are inserted when this one is saved, in that order."""
    return [table for table in tables_of(model) if any(map(is_numbered, table._meta.local_fields))]


def counters_of_children(row: Model, model: type[Model], using: str) -> dict[str, tuple[Any, Any]]:
    """Return the counters of the numbers that are stored after the row of a parent model.

    Those that aren't known before that row is inserted are left out.

    :param model: the parent model.
    """
    found: dict[str, tuple[Any, Any]] = {}
    order = in_order_of_insertion(type(row))
    later = order[order.index(model) + 1 :]
    for field in sequence_fields(type(row)):
        if field.model not in later:
            continue
        with suppress(ValueError, ObjectDoesNotExist):
            if getattr(row, field.attname) is not None or field.is_due(row, connections[using]):
                name = field.counter_of(row, using)
                found |= {} if name is None else {name: (field, row)}
    return found


def names_if_found(
    field: Any,
    rows: Sequence[Any],
    connection: BaseDatabaseWrapper,
    errors: tuple[type[Exception], ...] = (ObjectDoesNotExist,),
) -> list[str | None]:
    """Return the names of the rows' counters; None also for a row for which this is an error.

    :param errors: the errors; by default, that a row on the scope's path is missing.
    """
    try:
        return list(field.names_of(rows, connection))
    except errors:
        if len(rows) == 1:
            return [None]
    middle = len(rows) // 2
    return [
        *names_if_found(field, rows[:middle], connection, errors),
        *names_if_found(field, rows[middle:], connection, errors),
    ]


def default_base(table: str, column: str, separator: str) -> str:
    """Return the beginning of the counters' names of a field without a ``sequence_name``."""
    return f"{escape(table, separator)}.{escape(column, separator)}"


@lru_cache(maxsize=1024)
def _name_of_one(field: Any, kind: type, value: Any, using: str) -> str | None:
    """Return the counter's name for a value of the field's only column.

    ``kind`` is part of the cache's key, because 1 and True are equal.
    """
    (part,) = field.scope_parts
    text = text_of_one(part, field.only_column, value, connections[using])
    return None if text is None else counter_name(field.base, (text,), field.separator)
