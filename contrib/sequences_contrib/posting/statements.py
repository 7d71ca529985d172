"""The UPDATE that numbers rows in order, which no row leaves the database for.

The rows are locked by the innermost query, for PostgreSQL and MySQL lock nothing beside a window
function; then they are counted, and then updated by their primary keys.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from .drafts import Order

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
"""By vendor: the statement, and the number of a row in it."""


def number_rows(connection: Any, field: Any, order: Order, chosen: QuerySet[Any], base: int) -> int:
    """Number the rows, from ``base + 1`` on, and return how many there were."""
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
    # A column of the table that is updated has its full name; only MySQL wants it on the left, too.
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
    """Return the order for the window, over the columns that the innermost query returns.

    Those of a row that was locked only after others had changed it are as they are now.
    """
    terms = []
    for field, descending in order.columns:
        term = connection.ops.quote_name(field.column) + (" DESC" if descending else "")
        if field.null and not connection.features.order_by_nulls_first:
            term += " NULLS LAST" if descending else " NULLS FIRST"
        terms.append(term)
    return terms
