"""The query that gives each draft its place in the order, so that one UPDATE numbers them all.

The innermost query locks the rows, because PostgreSQL and MySQL don't lock rows in a query with a
window function.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from ..places import PLACE, number_places
from .drafts import Order

COUNTED = """
SELECT {keys}, ROW_NUMBER() OVER (ORDER BY {order}) AS {place} FROM ({chosen}) chosen
"""


def number_rows(connection: Any, field: Any, order: Order, chosen: QuerySet[Any], base: int) -> int:
    """Number the rows from ``base + 1``, and return how many there were."""
    quote = connection.ops.quote_name
    keys = [key.column for key in field.model._meta.pk_fields]
    names = [key.attname for key in field.model._meta.pk_fields]
    names += [order.key(column) for column, _ in order.columns]
    query = chosen.values_list(*dict.fromkeys(names)).query
    sql, params = query.get_compiler(connection.alias).as_sql()
    counted = COUNTED.format(
        keys=", ".join(map(quote, keys)),
        order=", ".join(_terms(connection, order)),
        place=PLACE,
        chosen=sql,
    )
    named = dict(zip(keys, keys, strict=True))
    return number_places(connection, field, (counted, params), named, base, field.texts)


def _terms(connection: Any, order: Order) -> list[str]:
    """Return the ORDER BY of the window, with the columns that the innermost query returns.

    If the query waited for a row that another transaction changed, they have the new values.
    """
    terms = []
    for field, descending in order.columns:
        key = order.key(field) if field in order.odd else field.column
        term = connection.ops.quote_name(key) + (" DESC" if descending else "")
        if field.null and not connection.features.order_by_nulls_first:
            term += " NULLS LAST" if descending else " NULLS FIRST"
        terms.append(term)
    return terms
