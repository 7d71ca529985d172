"""Continue the numbers of other packages, of database sequences and of handwritten code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import IntegrityError, NotSupportedError, connections, transaction
from django.db.models import Model

from sequences_core.arguments import check_integer, check_sequence_name
from sequences_core.taking import database_errors

from .dates import DateText
from .formats import NumberFormat
from .groups import pages_of
from .identity import column_of, counter_name, text_of
from .languages import fullmatch
from .rules import check_end, maximum_of
from .scopes import CHOICES, fields_of, path_of, rows_in
from .series import all_series
from .upkeep import Change, highest_numbers, increases, raise_counters

COLUMNS = (("name", "last"), ("key", "value"))
"""The columns of the tables of django-sequences and django-seq."""


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
    """Increase the counters of a field to the highest numbers used so far.

    For each scope, this is the highest number of the rows, or the last number that the other
    package or the database sequence has stored, if that is higher because rows were deleted. No
    counter is lowered, so this can be repeated.

    :param table: a table of counters with the columns name and last, or key and value, as in
        django-sequences and django-seq. It requires ``row``.
    :param row: the name of the table's row. If the field has a scope of one part, this is the
        beginning of the rows' names, and the rest is the value of the scope, or its period.
    :param sequence: the name of a database sequence (PostgreSQL, MariaDB).
    :param text: the name of a text field with numbers such as ``INV-2026-00042``. Rows that have a
        text but no number get the number that is parsed from the text. If a text can't be parsed,
        no row is changed.
    :param format: the format of the text, unless the field is a FormattedNumberField.
    :param apply: write the changes. By default, they are only returned.
    :returns: the changes of the counters.
    :raises TypeError, ValueError: an argument is invalid, or a text or a counter can't be used.
    :raises SequenceExhausted: a number is above the field's ``maximum``. If that is a function of
        the instance, only numbers parsed from texts are checked.
    :raises NotSupportedError: the database has no sequences whose last number can be read.
    """
    ((alias, series),) = all_series(model, field, using)
    numbered = next(each for each in series if each.name == field)
    if (table is None) != (row is None):
        raise ValueError("table and row must be given together")
    if len([source for source in (table, sequence, text) if source is not None]) > 1:
        raise ValueError("only one of table, sequence and text can be given")
    if any(each.reset_value is not None for each in series):
        raise ValueError(
            f"{numbered} has a reset_value, so its last number can't be determined from its rows"
        )
    if sequence and numbered.scope_parts:
        raise ValueError(f"{numbered} has a scope, so one sequence can't set all its counters")
    if table and len(numbered.scope_parts) > 1:
        raise ValueError(
            f"{numbered} has a scope of more than one part, which the names of rows can't contain"
        )
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
    changes = increases(series, lasts, alias)
    if apply:
        with database_errors(connection, ours=False), transaction.atomic(using=alias):
            raise_counters(changes, alias)
            if texts is not None:
                texts.write()
    return changes


class _Texts:
    """The rows that have the text of a number, but no number."""

    def __init__(self, field: Any, text: str, format: Any, connection: Any) -> None:
        self.field = field
        self.connection = connection
        try:
            self.column: Any = field.model._meta.get_field(text)
        except FieldDoesNotExist as error:
            raise ValueError(f"{field.model._meta.label} has no field {text!r}") from error
        self.format: Any = format if format is not None else getattr(self.column, "format", None)
        if not isinstance(self.format, NumberFormat):
            raise TypeError(f"{self.column} needs a NumberFormat, not {self.format!r}")
        if not field.null:
            raise ValueError(
                f"{field} doesn't have null=True, so no row needs a number from its text"
            )

    def highest(self) -> dict[str, int]:
        """Return the highest number in the texts of each counter."""
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
        """Store the numbers; raise ValueError if a unique constraint refuses one."""
        for rows in self._read():
            # Somebody may have numbered some of these rows meanwhile.
            objects = rows_in(self.field.model, self.connection.alias).filter(self.field.is_missing)
            try:
                objects.bulk_update(rows, [self.field.name], batch_size=CHOICES)
            except IntegrityError as error:
                raise ValueError(
                    f"two texts of {self.column} have the same number, but {self.field} must be "
                    f"unique: {error}"
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
    """Return the last numbers that another package's table of counters has stored for a field."""
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        description = connection.introspection.get_table_description(cursor, table)
        there = {column.name for column in description}
        columns = next((pair for pair in COLUMNS if there.issuperset(pair)), None)
        if columns is None:
            raise ValueError(f"table {table!r} has no columns name and last, or key and value")
        name, last = map(quote, columns)
        cursor.execute(f"SELECT {name}, {last} FROM {quote(table)}")
        rows = cursor.fetchall()
    found: dict[str, int] = {}
    for key, value in rows:
        text = "" if key is None else str(key)
        if not field.scope_parts and text == row:
            counter = field.base
        elif field.scope_parts and text.startswith(row) and text != row:
            scope = _scope_text(field, text, text[len(row) :], connection)
            counter = counter_name(field.base, (scope,), field.separator)
        else:
            continue
        number = check_integer(f"the value of {text!r}", value)
        # Several texts can stand for one value, such as "1.5" and "1.50".
        found[check_sequence_name(counter)] = max(number, found.get(counter, number))
    if not found:
        raise ValueError(f"table {table!r} has no row {row!r}")
    return found


def _scope_text(field: Any, key: str, text: str, connection: Any) -> str:
    """Return the text that the name of a counter has for the scope in the name of a row."""
    (part,) = field.scope_parts
    if (path := path_of(part)) is None:
        return text
    column = column_of(fields_of(field.model, path)[-1])
    if isinstance(part, DateText):
        value = text if fullmatch([part.language], text) else None
    else:
        try:
            value = text_of(column, column.to_python(text), connection)
        except ValidationError:
            value = None
    if value is None:
        raise ValueError(
            f"row {key!r} can't be adopted: {text!r} is not a value of {part!r}, the scope of "
            f"{field}"
        )
    return value


def _of_sequence(sequence: str, connection: Any) -> int:
    """Return the last number that a database sequence has returned, or may have returned."""
    quoted = connection.ops.quote_name(sequence)
    if connection.vendor == "postgresql":
        # https://www.postgresql.org/docs/15/sql-createsequence.html, "Notes"
        statement = (
            f"SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM {quoted}"
        )
    elif connection.vendor == "mysql" and connection.mysql_is_mariadb:
        # The server may have used the numbers it caches: https://mariadb.com/kb/en/create-sequence/
        statement = f"SELECT next_not_cached_value - increment FROM {quoted}"
    else:
        raise NotSupportedError(
            f"database {connection.alias!r} has no sequence whose last number can be read"
        )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return check_integer(f"the last number of {sequence!r}", int(cursor.fetchone()[0]))
