"""The UPDATE that numbers rows by their places in an order, without reading them into Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

PLACE = "sequences_place"
"""The column of ROW_NUMBER(), which starts at 1."""

CHOSEN = "sequences_chosen"
"""The alias of the rows that are numbered: one that no table of a project has."""

UPDATE_FROM = f"""
UPDATE {{table}}
   SET {{assignments}}
  FROM ({{counted}}) {CHOSEN}
 WHERE {{same}}
"""

# Without STRAIGHT_JOIN, the server may read the table first, and without FORCE INDEX, it may scan
# a small table. In both cases, it locks, or waits for, rows that should be skipped. ROW_NUMBER() is
# unsigned on MySQL (https://dev.mysql.com/doc/refman/8.4/en/window-function-descriptions.html).
UPDATE_JOIN = f"""
UPDATE ({{counted}}) {CHOSEN} STRAIGHT_JOIN {{table}} FORCE INDEX (PRIMARY) ON {{same}}
   SET {{assignments}}
"""

NUMBER = f"(%s + {CHOSEN}.{PLACE})"

SIGNED_NUMBER = f"(%s + CAST({CHOSEN}.{PLACE} AS SIGNED))"

STATEMENTS = {
    "postgresql": (UPDATE_FROM, NUMBER),
    "sqlite": (UPDATE_FROM, NUMBER),
    "mysql": (UPDATE_JOIN, SIGNED_NUMBER),
}
"""The statement of each vendor, and the expression of a row's number in it.

On other databases, rows are numbered one by one.
"""


def number_places(
    connection: BaseDatabaseWrapper,
    field: Any,
    counted: tuple[str, Sequence[Any]],
    keys: Mapping[str, str],
    base: int,
    texts: Sequence[Any] = (),
) -> int:
    """Number rows from ``base + 1``, and return how many there were.

    :param counted: a query that returns primary keys and ``PLACE``, and its parameters.
    :param keys: the columns of the primary key, with the names that the query gives them.
    :param texts: the fields that store the number as text.
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
        same=" AND ".join(f"{table}.{quote(key)} = {CHOSEN}.{quote(keys[key])}" for key in keys),
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, (*values, *params) if statement is UPDATE_FROM else (*params, *values))
        return int(cursor.rowcount)


def _assignments(
    connection: BaseDatabaseWrapper, field: Any, targets: Mapping[Any, Any]
) -> tuple[list[str], list[Any]]:
    """Return the assignments to the fields, and their parameters."""
    # Columns of the updated table are qualified; on the left of an assignment, only on MySQL.
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
