"""The UPDATE that numbers rows in order, which no row leaves the database for.

The rows are locked by the innermost query, for PostgreSQL and MySQL lock nothing beside a window
function; then they are counted, and then updated by their primary keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from .drafts import Order

PLACE = "sequences_place"
"""The column of the rows' places, from 1 on."""

UPDATE_FROM = """
UPDATE {table}
   SET {column} = %s + todo.{place}
  FROM ({counted}) todo
 WHERE {same}
"""

# Without STRAIGHT_JOIN the server may read the table first, and without FORCE INDEX the whole of a
# small one: it then locks rows, or waits for them, that were to be skipped. On MySQL ROW_NUMBER() is
# unsigned (https://dev.mysql.com/doc/refman/8.4/en/window-function-descriptions.html).
UPDATE_JOIN = """
UPDATE ({counted}) todo STRAIGHT_JOIN {table} FORCE INDEX (PRIMARY) ON {same}
   SET {table}.{column} = %s + CAST(todo.{place} AS SIGNED)
"""

COUNTED = """
SELECT {keys}, ROW_NUMBER() OVER (ORDER BY {order}) AS {place} FROM ({chosen}) chosen
"""

STATEMENTS = {"postgresql": UPDATE_FROM, "sqlite": UPDATE_FROM, "mysql": UPDATE_JOIN}


def number_rows(connection: Any, field: Any, order: Order, chosen: QuerySet[Any], base: int) -> int:
    """Number the rows, from ``base + 1`` on, and return how many there were."""
    quote = connection.ops.quote_name
    keys = [key.column for key in field.model._meta.pk_fields]
    names = [key.attname for key in field.model._meta.pk_fields]
    names += [column.attname for column, _ in order.columns]
    query = chosen.values_list(*dict.fromkeys(names)).query
    sql, params = query.get_compiler(connection.alias).as_sql()
    statement = STATEMENTS[connection.vendor]
    table = quote(field.model._meta.db_table)
    counted = COUNTED.format(
        keys=", ".join(map(quote, keys)),
        order=", ".join(_terms(connection, order)),
        place=PLACE,
        chosen=sql,
    )
    same = " AND ".join(f"{table}.{quote(key)} = todo.{quote(key)}" for key in keys)
    text = statement.format(
        table=table, column=quote(field.column), place=PLACE, counted=counted.strip(), same=same
    )
    values: Sequence[Any] = (base, *params) if statement is UPDATE_FROM else (*params, base)
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return int(cursor.rowcount)


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
