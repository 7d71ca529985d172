"""The number of a row, read back where INSERT has no RETURNING: MySQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from sequences_core import get_allocator

if TYPE_CHECKING:
    from .fields import SequenceField
    from .numbering import Insert


@contextmanager
def along(
    insert: Insert,
    manager: Any,
    numbered: list[SequenceField],
    fields: Sequence[Any],
    known: dict[Any, Any],
) -> Iterator[None]:
    """Send along with the INSERT the SELECT for its numbers, where the connection can do that.

    It follows behind a semicolon. In autocommit the INSERT is committed before, so that nobody
    waits for it.
    """
    connection = insert.connection
    last_id = get_allocator(connection).last_id(connection)
    if last_id is None:
        yield
        return
    options = manager.model._meta
    generated = options.auto_field is not None and options.auto_field not in fields
    select = _select(manager, connection, numbered)
    if generated:
        select = select.replace("%s", last_id)
    start = f"INSERT INTO {connection.ops.quote_name(options.db_table)} ("

    def read(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        # It may be a query of some field's pre_save, or the INSERT of another row there.
        is_insert = start in sql and isinstance(params, list | tuple)
        if not is_insert or not insert.is_innermost():
            return execute(sql, params, many, context)
        keys = [] if generated else _keys(insert.rows[0], manager, connection, known)
        # On a line of its own, in case that a tool has added a comment.
        result = execute(f"{sql}\n; {select}", (*params, *keys), many, context)
        cursor = context["cursor"]
        row_id = cursor.lastrowid
        if cursor.nextset() and (row := cursor.fetchone()):
            known.update(zip(numbered, row, strict=True))
        cursor.lastrowid = row_id  # Django asks for it next
        return result

    with connection.execute_wrapper(read):
        yield


def after(
    instance: Model,
    manager: Any,
    connection: BaseDatabaseWrapper,
    numbered: list[SequenceField],
    known: dict[Any, Any],
) -> dict[Any, Any]:
    """Return the numbers of a row just inserted; of none if somebody has deleted it by now."""
    with connection.cursor() as cursor:
        select = _select(manager, connection, numbered)
        cursor.execute(select, _keys(instance, manager, connection, known))
        return dict(zip(numbered, cursor.fetchone() or (), strict=False))


def _select(manager: Any, connection: BaseDatabaseWrapper, numbered: list[SequenceField]) -> str:
    """Return the query for the numbers of the row with a given primary key."""
    quote: Callable[[Any], str] = connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in numbered)
    keys = " AND ".join(f"{quote(key.column)} = %s" for key in manager.model._meta.pk_fields)
    return f"SELECT {columns} FROM {quote(manager.model._meta.db_table)} WHERE {keys}"


def _keys(
    instance: Model, manager: Any, connection: BaseDatabaseWrapper, known: dict[Any, Any]
) -> list[Any]:
    """Return the primary key of the row, as the database has it."""
    return [
        key.get_db_prep_value(known.get(key, getattr(instance, key.attname)), connection)
        for key in manager.model._meta.pk_fields
    ]
