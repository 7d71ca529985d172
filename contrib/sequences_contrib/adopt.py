"""Taking over the numbers of other packages, and of what was written by hand."""

from __future__ import annotations

from typing import Any

from django.db import NotSupportedError, connections
from django.db.models import Model

from sequences_core.arguments import check_integer, check_sequence_name
from sequences_core.taking import database_errors

from .identity import counter_name
from .upkeep import Change, all_series, highest_numbers, raise_counters

COLUMNS = (("name", "last"), ("key", "value"))
"""How the tables of django-sequences and django-seq name their columns."""


def adopt(
    model: type[Model],
    field: str,
    *,
    table: str | None = None,
    row: str | None = None,
    sequence: str | None = None,
    apply: bool = False,
    using: str | None = None,
) -> list[Change]:
    """Let the counters of a field go on from where numbers have been given; return which move.

    For each scope that is the highest number of the rows, whoever has given it, or what another
    package or the database remembers, if that is higher, because rows were deleted. Nothing is
    written unless ``apply`` is true, and no counter is lowered, so it can be repeated.

    :param table: a table of counters with the columns name and last, or key and value, as
        django-sequences and django-seq have them. ``row`` is required then.
    :param row: the name of the table's row; where the field has a scope of one part, how the
        names of the rows begin: what follows is the value of the scope.
    :param sequence: a sequence of the database (PostgreSQL, MariaDB).
    :raises TypeError, ValueError: for bad arguments, and for a row that is refused here.
    :raises NotSupportedError: the database has no sequences that can be read.
    """
    ((alias, series),) = all_series(model, field, using)
    numbered = next(each for each in series if each.name == field)
    if (table is None) != (row is None):
        raise ValueError("table and row go together: give both")
    if table and sequence:
        raise ValueError("give either a table or a sequence")
    if any(each.reset_value is not None for each in series):
        raise ValueError(f"{numbered} has a reset_value: its rows don't tell its last number")
    if sequence and numbered.scope_parts:
        raise ValueError(f"{numbered} has a scope, and so more counters than one sequence")
    if table and len(numbered.scope_parts) > 1:
        raise ValueError(f"{numbered} has a scope of more than one part: no row tells its values")
    connection = connections[alias]
    with database_errors(connection, ours=False):
        lasts = highest_numbers(series, alias)
        remembered: dict[str, int] = {}
        if table is not None and row is not None:
            remembered = _from_table(numbered, table, row, connection)
        elif sequence is not None:
            remembered = {numbered.base: _of_sequence(sequence, connection)}
    for name, last in remembered.items():
        lasts[name] = max(last, lasts.get(name) or last)
    return raise_counters(series, lasts, apply=apply, using=alias)


def _from_table(field: Any, table: str, row: str, connection: Any) -> dict[str, int]:
    """Return the last numbers that another table of counters remembers for a field."""
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        description = connection.introspection.get_table_description(cursor, table)
        there = {column.name for column in description}
        columns = next((pair for pair in COLUMNS if there.issuperset(pair)), None)
        if columns is None:
            raise ValueError(f"table {table!r} has neither name and last nor key and value")
        name, last = map(quote, columns)
        cursor.execute(f"SELECT {name}, {last} FROM {quote(table)}")
        rows = cursor.fetchall()
    found: dict[str, int] = {}
    for key, value in rows:
        if not field.scope_parts and key == row:
            counter = field.base
        elif field.scope_parts and key.startswith(row) and key != row:
            counter = counter_name(field.base, (key[len(row) :],), field.separator)
        else:
            continue
        found[check_sequence_name(counter)] = check_integer(f"the value of {key!r}", value)
    if not found:
        raise ValueError(f"table {table!r} has no row {row!r}")
    return found


def _of_sequence(sequence: str, connection: Any) -> int:
    """Return the last number that a sequence of the database has given, or may have given."""
    quoted = connection.ops.quote_name(sequence)
    if connection.vendor == "postgresql":
        # https://www.postgresql.org/docs/15/sql-createsequence.html, "Notes"
        statement = (
            f"SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM {quoted}"
        )
    elif connection.vendor == "mysql" and connection.mysql_is_mariadb:
        # The server may have given what it caches: https://mariadb.com/kb/en/create-sequence/
        statement = f"SELECT next_not_cached_value - increment FROM {quoted}"
    else:
        raise NotSupportedError(
            f"database {connection.alias!r} has no sequence whose last number can be read"
        )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return check_integer(f"the last number of {sequence!r}", int(cursor.fetchone()[0]))
