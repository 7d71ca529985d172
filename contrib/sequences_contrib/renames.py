"""Rename the counters of fields without a ``sequence_name`` with their tables and columns.

Such a counter is named after the column, so it must be renamed when a migration renames the table
or the column. All operations that do so call one of two methods of Django's schema editor, which
this module wraps. When the table is dropped, the counter is deleted. When a column of a scope gets
another type, ``retyped`` copies the counters. Counters that tenants share are copied instead of
renamed, and never deleted, because other tenants may still use them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Concat, Substr

from sequences_core.models import Counter, has_table

from . import retyped
from .counters import Numbering, default_base, is_numbered
from .identity import counter_name
from .series import begins_with
from .voids import move_voids, register_of

Naming = tuple[str, str]
"""The beginning of the names of a field's counters, and the separator between their parts."""


def follow_renames() -> None:
    """Wrap the methods of the schema editors of all databases, unless this has been done."""
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
        # On SQLite, the schema editor also calls this to replace a table by its rebuilt copy.
        if model._meta.db_table == new_db_table:
            for field in _fields(model):
                old = default_base(old_db_table, field.column, field.separator)
                new = default_base(new_db_table, field.column, field.separator)
                _rename(self, model, (old, field.separator), (new, field.separator))

    return alter_db_table


def _alter_field(original: Any) -> Any:
    @functools.wraps(original)
    def alter_field(
        self: Any, model: Any, old_field: Any, new_field: Any, strict: bool = False
    ) -> None:
        fields = retyped.fields_with(old_field, new_field)
        follows = fields and _counters(self) is not None
        found = retyped.samples(fields, self.connection) if follows else []
        original(self, model, old_field, new_field, strict)
        retyped.follow(found, old_field, new_field, self.connection)
        if isinstance(old_field, Numbering) and isinstance(new_field, Numbering):
            old, new = (_naming(model, field) for field in (old_field, new_field))
            if _is_named_by_default(old_field):
                _rename(self, model, old, new)
            elif _is_named_by_default(new_field):  # other fields may use the old name, so keep it
                _rename(self, model, old, new, keep=True)

    return alter_field


def _delete_model(original: Any) -> Any:
    @functools.wraps(original)
    def delete_model(self: Any, model: Any) -> None:
        original(self, model)
        for field in _fields(model):
            if (counters := _counters(self)) is not None and not _are_shared(self):
                _of(counters, field.base, field.separator).delete()
                if (voids := register_of(self.connection)) is not None:
                    _of(voids, field.base, field.separator, "counter").delete()

    return delete_model


def _fields(model: Any) -> Iterable[Any]:
    """Return the fields of the model whose counters are named after their columns."""
    return filter(_is_named_by_default, model._meta.local_fields)


def _is_named_by_default(field: Any) -> bool:
    return is_numbered(field) and field.sequence_name is None


def _counters(editor: Any) -> QuerySet[Counter] | None:
    """Return the counters of the migrated database, or None if their table doesn't exist (yet)."""
    connection: BaseDatabaseWrapper = editor.connection
    if editor.collect_sql or not has_table(connection):
        return None
    return Counter.objects.using(connection.alias)


def _are_shared(editor: Any) -> bool:
    """Return whether the counters are migrated elsewhere, such as in another schema."""
    return not router.allow_migrate_model(editor.connection.alias, Counter)


def _of(rows: QuerySet[Any], base: str, separator: str, name: str = "name") -> QuerySet[Any]:
    """Filter rows by the names of a field's counters: its base, and those of its scopes."""
    return rows.filter(Q(**{name: base}) | Q(begins_with(name, base + separator)))


def _naming(model: Any, field: Any) -> Naming:
    """Return the base and the separator of the field's counters in the model's table."""
    if field.sequence_name is not None:
        return field.base, field.separator
    return default_base(model._meta.db_table, field.column, field.separator), field.separator


def _rename(editor: Any, model: Any, old: Naming, new: Naming, *, keep: bool = False) -> None:
    """Rename counters. If a counter with the new name exists, keep the higher number of the two.

    It may belong to a table that was dropped without Django, or may be shared.

    :param keep: copy the counters instead of renaming them.
    """
    if old == new or (counters := _counters(editor)) is None:
        return
    if _are_shared(editor):
        # A new tenant, whose tables are empty, repeats what the other tenants did long ago.
        if not model._base_manager.using(editor.connection.alias).exists():
            return
        keep = True
    _rename_voids(editor, old, new, keep=keep)
    renamed = _of(counters, *old)
    there = dict(_of(counters, *new).values_list("name", "last"))
    if there or keep or old[1] != new[1]:
        for name, last in list(renamed.values_list("name", "last")):
            target = _renamed(name, old, new)
            last = max(last, there.get(target, last))
            if not keep:
                counters.filter(pk=name).delete()
            counters.update_or_create(name=target, defaults={"last": last})
        return
    renamed.update(name=Concat(Value(new[0]), Substr("name", len(old[0]) + 1)))


def _rename_voids(editor: Any, old: Naming, new: Naming, *, keep: bool) -> None:
    """Rename the counters of voids, or copy the voids."""
    if (voids := register_of(editor.connection)) is not None:
        move_voids(_of(voids, *old, "counter"), lambda name: _renamed(name, old, new), keep=keep)


def _renamed(name: str, old: Naming, new: Naming) -> str:
    """Return the counter's name with the new base and separator."""
    separator = re.escape(old[1])  # it may be a digit, which a %-code can contain
    texts = re.findall(
        rf"{separator}((?:%[0-9A-F]{{2}}|(?!{separator})[\s\S])*)", name[len(old[0]) :]
    )
    return counter_name(new[0], tuple(map(unquote, texts)), new[1])
