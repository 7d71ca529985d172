"""The counter of a field without a ``sequence_name`` follows its table and its column.

Such a counter is named like the column, so it has to be renamed when a migration renames that,
by whatever operation: they all come down to two methods of Django's schema editor. When the table
is dropped, the counter is deleted.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Concat, Left, Substr

from sequences_core.models import Counter, has_table

from .counters import Numbering, default_base


def follow_renames() -> None:
    """Let the schema editors of all databases rename counters along; once."""
    editor: Any = BaseDatabaseSchemaEditor
    if getattr(editor.alter_field, "renames_counters", False):
        return
    for method in (_alter_db_table, _alter_field, _delete_model):
        name = method.__name__[1:]
        wrapper = method(getattr(editor, name))
        wrapper.renames_counters = True
        setattr(editor, name, wrapper)


def _alter_db_table(original: Any) -> Any:
    @functools.wraps(original)
    def alter_db_table(self: Any, model: Any, old_db_table: str, new_db_table: str) -> None:
        original(self, model, old_db_table, new_db_table)
        # SQLite also puts a table in the place of another of the same model.
        if model._meta.db_table == new_db_table:
            for field in _fields(model):
                _rename(self, old_db_table, field.column, new_db_table, field)

    return alter_db_table


def _alter_field(original: Any) -> Any:
    @functools.wraps(original)
    def alter_field(
        self: Any, model: Any, old_field: Any, new_field: Any, strict: bool = False
    ) -> None:
        original(self, model, old_field, new_field, strict)
        table = model._meta.db_table
        if _is_named_by_default(old_field) and isinstance(new_field, Numbering):
            _rename(self, table, old_field.column, table, new_field)

    return alter_field


def _delete_model(original: Any) -> Any:
    @functools.wraps(original)
    def delete_model(self: Any, model: Any) -> None:
        original(self, model)
        for field in _fields(model):
            if (counters := _counters(self)) is not None:
                _of(counters, field.base, field.separator).delete()

    return delete_model


def _fields(model: Any) -> Iterable[Any]:
    """Return the fields of the model whose counters are named like their columns."""
    return filter(_is_named_by_default, model._meta.local_fields)


def _is_named_by_default(field: Any) -> bool:
    return isinstance(field, Numbering) and field.sequence_name is None and not field.is_copy


def _counters(editor: Any) -> QuerySet[Counter] | None:
    """Return the counters of the database that is migrated; None if it has none, or none yet."""
    connection: BaseDatabaseWrapper = editor.connection
    if editor.collect_sql or not router.allow_migrate_model(connection.alias, Counter):
        return None
    if not has_table(connection):
        return None
    return Counter.objects.using(connection.alias)


def _of(counters: QuerySet[Counter], base: str, separator: str) -> QuerySet[Counter]:
    """Return a field's counters: its own, and those of its scopes."""
    scoped = base + separator
    # Not startswith, which ignores case on SQLite.
    beginning = counters.alias(beginning=Left("name", len(scoped)))
    return beginning.filter(Q(pk=base) | Q(beginning=scoped))


def _rename(editor: Any, old_table: str, old_column: str, new_table: str, field: Any) -> None:
    separator = field.separator
    old = default_base(old_table, old_column, separator)
    new = field.sequence_name
    if new is None:
        new = default_base(new_table, field.column, separator)
    if old == new or (counters := _counters(editor)) is None:
        return
    renamed = _of(counters, old, separator)
    there = dict(_of(counters, new, separator).values_list("name", "last"))
    if there:  # of a table that was dropped behind Django's back, or shared
        for counter in renamed:
            name = new + counter.name[len(old) :]
            if (last := there.get(name)) is not None:
                counters.filter(pk=name).delete()
                counters.filter(pk=counter.name).update(last=max(last, counter.last))
    renamed.update(name=Concat(Value(new), Substr("name", len(old) + 1)))
