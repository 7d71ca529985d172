"""Writing the texts of numbers, when an INSERT or an UPDATE stores the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from ..affixes import Affixes
from ..expressions import is_expression
from .memory import is_copy
from .row_values import RowValues
from .uncommitted import MISSING


class Texts:
    """The texts of the rows of one statement, which are written when the numbers are known."""

    def __init__(
        self, rows: Sequence[Any], connection: BaseDatabaseWrapper, values: RowValues
    ) -> None:
        self.rows = rows
        self.connection = connection
        self.values = values
        self.given: list[tuple[Any, list[Any]]] = []
        """By field of a text: the rows whose text the caller has set."""
        self._unwritten: list[tuple[Any, Any, list[Any], list[Affixes | None]]] = []

    def rows_to_write(self, text: Any, field: Any) -> list[Any]:
        """Return the rows whose text is to be written, because the caller has set none.

        Raises ValueError for rows whose number is only known to the database, and for those that
        have a text but no number.
        """
        rows, explicit = [], []
        for row in self.rows:
            number, given = getattr(row, field.attname), getattr(row, text.attname)
            if not given or is_copy(row, text, self.connection.alias):
                if is_expression(number):
                    raise ValueError(f"{text} can't be written: only the database knows {field}")
                rows.append(row)
            elif number is None or is_copy(row, field, self.connection.alias):
                raise _without_number(text, field, given)
            else:
                explicit.append(row)
        if explicit:
            self.given.append((text, explicit))
        return rows

    def look_up(self, text: Any, field: Any, rows: list[Any], numbered: set[int]) -> None:
        """Look up all but the numbers, while no counter is locked.

        :param rows: the rows whose text is to be written.
        :param numbered: the ids of the row objects that have a number or will get one.

        Raises ValueError for a row whose text can't be written.
        """
        affixes = text.affixes(rows, self.connection) if rows else []
        for row, known in zip(rows, affixes, strict=True):
            if getattr(row, field.attname) is not None:
                text.text(known, field.number_of(row))
            elif known is None and id(row) in numbered:
                text.text(known, 0)  # This raises the error.
        self._unwritten.append((text, field, rows, affixes))

    def write(self) -> None:
        """Set the texts; that of a row without a number is None."""
        for text, field, rows, affixes in self._unwritten:
            numbers = map(field.get_prep_value, map(attrgetter(field.attname), rows))
            texts = [
                None if number is None else text.text(known, number)
                for number, known in zip(numbers, affixes, strict=True)
            ]
            self.values.set(rows, text.attname, texts)


def text_for_update(text: Any, field: Any, row: Any) -> Any:
    """Return the text that an UPDATE stores with a number that somebody has set.

    MISSING means that the text must be written.

    :raises ValueError: a text was set, but no number; or only the database knows the number.
    """
    value, number = row.__dict__.get(text.attname), getattr(row, field.attname)
    known = vars(row._state)
    is_given = value and value != known.get(text.memory)
    if is_given:
        refuse_without_number(text, field, row)
    if is_given or (value and number == known.get(field.memory)):
        return value  # Somebody has set it, or it was issued with this number.
    if is_expression(number):
        raise ValueError(f"{text} can't be written: only the database knows {field}")
    return None if number is None else MISSING


def refuse_without_number(text: Any, field: Any, row: Any) -> None:
    """Raise ValueError for a text that somebody has set, if the instance has no number."""
    if field.null and getattr(row, field.attname) is None:
        raise _without_number(text, field, getattr(row, text.attname))


def _without_number(text: Any, field: Any, given: Any) -> ValueError:
    return ValueError(f"{text} is {given!r}, but has no number: set {field} too")
