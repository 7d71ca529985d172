"""The UPDATE that numbers rows by their places in an order, without reading them into Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

PLACE = "sequences_place"
"""The column of the rows' places, from 1 on."""

UPDATE_FROM = """
UPDATE {table}
   SET {assignments}
  FROM ({counted}) todo
 WHERE {same}
"""

# Without STRAIGHT_JOIN the server may read the table first, and without FORCE INDEX the whole of a
# small one: it then locks rows, or waits for them, that were to be skipped. MySQL's ROW_NUMBER() is
# unsigned (https://dev.mysql.com/doc/refman/8.4/en/window-function-descriptions.html).
UPDATE_JOIN = """
UPDATE ({counted}) todo STRAIGHT_JOIN {table} FORCE INDEX (PRIMARY) ON {same}
   SET {assignments}
"""

NUMBER = f"(%s + todo.{PLACE})"

SIGNED_NUMBER = f"(%s + CAST(todo.{PLACE} AS SIGNED))"

STATEMENTS = {
    "postgresql": (UPDATE_FROM, NUMBER),
    "sqlite": (UPDATE_FROM, NUMBER),
    "mysql": (UPDATE_JOIN, SIGNED_NUMBER),
}
"""By vendor: the statement, and the number of a row in it. Other databases number row by row."""


def number_places(
    connection: BaseDatabaseWrapper,
    field: Any,
    counted: tuple[str, Sequence[Any]],
    keys: Mapping[str, str],
    base: int,
    texts: Sequence[Any] = (),
) -> int:
    """Number rows from ``base + 1`` on, and return how many there were.

    :param counted: a query of the rows' primary keys and of their places, with its parameters.
    :param keys: the columns of the primary key, and what the query calls them.
    :param texts: the fields of text to write the number to as well.
    """
    quote = connection.ops.quote_name
    statement, number = STATEMENTS[connection.vendor]
    table = quote(field.model._meta.db_table)
    targets = {field: RawSQL(number, [base], field)}  # noqa: S611 # a constant
    targets |= {text: text.format.expression(targets[field]) for text in texts}
    assigned, values = _assignments(connection, field, targets)
    query, params = counted
    sql = statement.format(
        table=table,
        assignments=", ".join(assigned),
        counted=query,
        same=" AND ".join(f"{table}.{quote(key)} = todo.{quote(keys[key])}" for key in keys),
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, (*values, *params) if statement is UPDATE_FROM else (*params, *values))
        return int(cursor.rowcount)


def _assignments(
    connection: BaseDatabaseWrapper, field: Any, targets: Mapping[Any, Any]
) -> tuple[list[str], list[Any]]:
    """Return the assignments to these fields, and their parameters."""
    # A column of the table that is updated has its full name; only MySQL wants it on the left, too.
    query = QuerySet(model=field.model).query
    query.get_initial_alias()
    compiler = query.get_compiler(connection.alias)
    prefix = ""
    if connection.vendor == "mysql":
        prefix = connection.ops.quote_name(field.model._meta.db_table) + "."
    assigned, values = [], list[Any]()
    for target, value in targets.items():
        sql, params = compiler.compile(value.resolve_expression(query))
        assigned.append(f"{prefix}{connection.ops.quote_name(target.column)} = {sql}")
        values += params
    return assigned, values
