"""The check of ``manage.py sequences doctor`` that compares counters with numbered rows."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error
from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper

from .series import numbered_fields, series_of
from .upkeep import sync


def counters_behind(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    """Yield an error for each field with a counter that is behind the numbers of its rows."""
    alias = connection.alias
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor, include_views=True))
    said: set[str] = set()
    for field in numbered_fields():
        if not router.allow_migrate_model(alias, field.model):
            continue
        needed = {each.model._meta.db_table for each in series_of(field, alias)}
        # A quoted name with a schema can't be looked up in this list.
        if any(table not in tables and '"' not in table for table in needed):
            continue  # not migrated yet
        changes = sync(field.model, field.name, using=alias)
        behind = [change for change in changes if change.counter not in said]
        said |= {change.counter for change in behind}
        if behind:
            first, more = behind[0], len(behind) - 1
            others = f", and so are {more} others" if more else ""
            yield Error(
                f"Counter {first.counter!r} of database {alias!r} is at {first.before}, behind "
                f"the number {first.after} of a row{others}: the next rows would get numbers that "
                f"other rows already have.",
                hint=f"Run manage.py sequences sync {field.model._meta.label}.{field.name} "
                f"--database={alias} --apply",
                obj=field,
            )
