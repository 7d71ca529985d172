"""Taking over the numbers of other packages, and of what was written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import IntegrityError, NotSupportedError, connections, transaction
from django.db.models import Model

from sequences_core.arguments import check_integer, check_sequence_name
from sequences_core.taking import database_errors

from .formats import NumberFormat
from .groups import pages_of
from .identity import counter_name
from .rules import check_end, maximum_of
from .scopes import CHOICES, rows_in
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
    text: str | None = None,
    format: NumberFormat | None = None,
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
    :param text: a text column with numbers such as ``INV-2026-00042``. Rows that have a text and no
        number get the number that the text says; all of them, or none where one can't be read.
    :param format: how the text is written, unless the column is a FormattedNumberField.
    :raises TypeError, ValueError: for bad arguments, and for a row that is refused here.
    :raises SequenceExhausted: a number is above the field's ``maximum``; where that is a function,
        which is asked about rows, the number of a text.
    :raises NotSupportedError: the database has no sequences that can be read.
    """
    ((alias, series),) = all_series(model, field, using)
    numbered = next(each for each in series if each.name == field)
    if (table is None) != (row is None):
        raise ValueError("table and row go together: give both")
    if len([source for source in (table, sequence, text) if source is not None]) > 1:
        raise ValueError("give a table, a sequence or a text, and no two of them")
    if any(each.reset_value is not None for each in series):
        raise ValueError(f"{numbered} has a reset_value: its rows don't tell its last number")
    if sequence and numbered.scope_parts:
        raise ValueError(f"{numbered} has a scope, and so more counters than one sequence")
    if table and len(numbered.scope_parts) > 1:
        raise ValueError(f"{numbered} has a scope of more than one part: no row tells its values")
    connection = connections[alias]
    texts = None if text is None else _Texts(numbered, text, format, connection)
    with database_errors(connection, ours=False):
        lasts = highest_numbers(series, alias)
        remembered: dict[str, int] = {}
        if table is not None and row is not None:
            remembered = _from_table(numbered, table, row, connection)
        elif sequence is not None:
            remembered = {numbered.base: _of_sequence(sequence, connection)}
        elif texts is not None:
            remembered = texts.highest()
    for name, last in remembered.items():
        lasts[name] = max(last, lasts.get(name) or last)
    if not callable(numbered.maximum):
        for name, highest in sorted(lasts.items()):
            if highest is not None:
                check_end(numbered, name, [highest], [numbered.maximum])
    if texts is None or not apply:
        return raise_counters(series, lasts, apply=apply, using=alias)
    with database_errors(connection, ours=False), transaction.atomic(using=alias):
        changes = raise_counters(series, lasts, apply=True, using=alias)
        texts.write()
    return changes


class _Texts:
    """The rows that have the text of a number, and not the number."""

    def __init__(self, field: Any, text: str, format: Any, connection: Any) -> None:
        self.field = field
        self.connection = connection
        try:
            self.column: Any = field.model._meta.get_field(text)
        except FieldDoesNotExist as error:
            raise ValueError(f"{field.model._meta.label} has no text {text!r}") from error
        self.format: Any = format if format is not None else getattr(self.column, "format", None)
        if not isinstance(self.format, NumberFormat):
            raise TypeError(f"{self.column} needs a NumberFormat, not {self.format!r}")
        if not field.null:
            raise ValueError(f"all rows of {field} have numbers: only with null=True some need one")

    def highest(self) -> dict[str, int]:
        """Return the highest number that a text says, for each counter."""
        found: dict[str, int] = {}
        for rows in self._read():
            names = self.field.names_of(rows, self.connection)
            for row, name in zip(rows, names, strict=True):
                if name is not None:
                    number = getattr(row, self.field.attname)
                    maximum = maximum_of(self.field, row)
                    if maximum is not None and number > maximum:
                        check_end(self.field, name, [number], [maximum])
                    found[name] = max(number, found.get(name, number))
        return found

    def write(self) -> None:
        """Store the numbers; raise ValueError where a constraint allows them to one row only."""
        for rows in self._read():
            objects = rows_in(self.field.model, self.connection.alias)
            try:
                objects.bulk_update(rows, [self.field.name], batch_size=CHOICES)
            except IntegrityError as error:
                raise ValueError(
                    f"{self.column} says a number twice that {self.field} may have once: {error}"
                ) from error

    def _read(self) -> Iterator[list[Any]]:
        waiting = {f"{self.field.attname}__isnull": True, f"{self.column.attname}__isnull": False}
        rows = rows_in(self.field.model, self.connection.alias).filter(**waiting)
        for page in pages_of(rows.exclude(**{self.column.attname: ""})):
            for row in page:
                text = getattr(row, self.column.attname)
                try:
                    number = self.format.parse(text, self.field.model).number
                except ValueError as error:
                    raise ValueError(f"{row._meta.label} {row.pk}: {error}") from error
                setattr(row, self.field.attname, number)
            yield page


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
