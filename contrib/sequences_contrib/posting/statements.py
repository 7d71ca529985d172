"""The UPDATE that numbers rows in order without fetching them.

The innermost query locks the rows, because PostgreSQL and MySQL don't lock rows in a query with a
window function. The query around it counts them, and the UPDATE joins them by primary key.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from .drafts import Order

PLACE = "sequences_place"
"""The column of ROW_NUMBER(), which starts at 1."""

UPDATE_FROM = """
UPDATE {table}
   SET {assignments}
  FROM ({counted}) todo
 WHERE {same}
"""

# Without STRAIGHT_JOIN, the server may read the table first, and without FORCE INDEX, it may scan
# a small table. In both cases, it locks, or waits for, rows that should be skipped. ROW_NUMBER() is
# unsigned on MySQL (https://dev.mysql.com/doc/refman/8.4/en/window-function-descriptions.html).
UPDATE_JOIN = """
UPDATE ({counted}) todo STRAIGHT_JOIN {table} FORCE INDEX (PRIMARY) ON {same}
   SET {assignments}
"""

COUNTED = """
SELECT {keys}, ROW_NUMBER() OVER (ORDER BY {order}) AS {place} FROM ({chosen}) chosen
"""

NUMBER = f"(%s + todo.{PLACE})"

SIGNED_NUMBER = f"(%s + CAST(todo.{PLACE} AS SIGNED))"

STATEMENTS = {
    "postgresql": (UPDATE_FROM, NUMBER),
    "sqlite": (UPDATE_FROM, NUMBER),
    "mysql": (UPDATE_JOIN, SIGNED_NUMBER),
}
"""The statement of each vendor, and the expression of a row's number in it."""


def number_rows(connection: Any, field: Any, order: Order, chosen: QuerySet[Any], base: int) -> int:
    """Number the rows from ``base + 1``, and return how many there were."""
    quote = connection.ops.quote_name
    statement, number = STATEMENTS[connection.vendor]
    keys = [key.column for key in field.model._meta.pk_fields]
    names = [key.attname for key in field.model._meta.pk_fields]
    names += [column.attname for column, _ in order.columns]
    query = chosen.values_list(*dict.fromkeys(names)).query
    sql, params = query.get_compiler(connection.alias).as_sql()
    counted = COUNTED.format(
        keys=", ".join(map(quote, keys)),
        order=", ".join(_terms(connection, order)),
        place=PLACE,
        chosen=sql,
    )
    table = quote(field.model._meta.db_table)
    assigned, values = _assignments(connection, field, RawSQL(number, [base], field))  # noqa: S611 # a constant
    text = statement.format(
        table=table,
        assignments=", ".join(assigned),
        counted=counted.strip(),
        same=" AND ".join(f"{table}.{quote(key)} = todo.{quote(key)}" for key in keys),
    )
    with connection.cursor() as cursor:
        cursor.execute(text, (*values, *params) if statement is UPDATE_FROM else (*params, *values))
        return int(cursor.rowcount)


def _assignments(connection: Any, field: Any, number: RawSQL) -> tuple[list[str], list[Any]]:
    """Return the assignments of the number and of its texts, and their parameters."""
    # Columns of the updated table are qualified; on the left of an assignment, only on MySQL.
    query = QuerySet(model=field.model).query
    query.get_initial_alias()
    compiler = query.get_compiler(connection.alias)
    prefix = ""
    if connection.vendor == "mysql":
        prefix = connection.ops.quote_name(field.model._meta.db_table) + "."
    assigned, values = [], list[Any]()
    for target, value in [
        (field, number),
        *((t, t.format.expression(number)) for t in field.texts),
    ]:
        sql, params = compiler.compile(value.resolve_expression(query))
        assigned.append(f"{prefix}{connection.ops.quote_name(target.column)} = {sql}")
        values += params
    return assigned, values


def _terms(connection: Any, order: Order) -> list[str]:
    """Return the ORDER BY of the window, with the columns that the innermost query returns.

    If the query waited for a row that another transaction changed, they have the new values.
    """
    terms = []
    for field, descending in order.columns:
        term = connection.ops.quote_name(field.column) + (" DESC" if descending else "")
        if field.null and not connection.features.order_by_nulls_first:
            term += " NULLS LAST" if descending else " NULLS FIRST"
        terms.append(term)
    return terms
