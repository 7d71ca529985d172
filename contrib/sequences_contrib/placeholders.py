"""The placeholders of a format: their possible texts, and their database expressions."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models import Model

from sequences_core.arguments import MAX_VALUE

from . import languages
from .dates import DateText
from .expressions import Digits, Filled, Joined, Stored, padded
from .identity import column_of
from .languages import Language
from .scopes import fields_of


class Placeholder(NamedTuple):
    """A placeholder in braces: the number, a field, or parts of a date."""

    written: str
    part: str | DateText | None
    """The path of a field, or the parts of a date; None stands for the number."""

    width: int = 0
    """The number of digits to which an integer is padded with zeros; 0 means no padding."""


Piece = str | Placeholder


class Written:
    """The database expression of a placeholder. It depends on the model of the query."""

    def __init__(self, piece: Placeholder) -> None:
        self.piece = piece

    def resolve_expression(self, query: Any = None, *args: Any, **kwargs: Any) -> Any:
        piece = self.piece
        column = column_at(query.model, path_of_piece(piece))
        source = Stored(path_of_piece(piece))
        written: Any
        if isinstance(piece.part, DateText):
            zoned = isinstance(column, models.DateTimeField)
            written = Joined(*piece.part.expressions(source, zoned=zoned))
        elif isinstance(column, models.IntegerField):
            written = padded(source, piece.width) if piece.width else Digits(source)
        else:
            written = Filled(source)
        return written.resolve_expression(query, *args, **kwargs)


def path_of_piece(piece: Placeholder) -> str:
    """Return the path of a placeholder's field. The placeholder must not be the number."""
    assert piece.part is not None
    return piece.part if isinstance(piece.part, str) else piece.part.field


def column_at(model: type[Model], path: str) -> Any:
    """Return the field at the end of a path; if it is a foreign key, the field it refers to."""
    return column_of(fields_of(model, path)[-1])


def in_places(piece: Placeholder, text: str | None) -> str | None:
    """Pad the text of a stored integer with zeros to the placeholder's width.

    :raises ValueError: the integer is negative.
    """
    if not piece.width or text is None:
        return text
    if text[0] == "-":
        raise ValueError(f"{{{piece.written}}} can't format the negative number {text}")
    return text.zfill(piece.width)


def language_of(piece: Piece, model: type[Model] | None) -> Language:
    if isinstance(piece, str):
        return languages.literal(piece)
    if piece.part is None:
        return languages.natural(max(1, piece.width))
    column = None if model is None else column_at(model, path_of_piece(piece))
    if isinstance(piece.part, DateText):
        if column is not None and not isinstance(column, models.DateField):
            raise TypeError(f"{{{piece.written}}}: {column} is not a date")
        return piece.part.language
    if piece.width:
        if column is not None and not isinstance(column, models.IntegerField):
            raise TypeError(f"{{{piece.written}}}: {column} is not an integer")
        return languages.natural(piece.width)
    if column is None:
        return languages.natural(1)
    if isinstance(column, models.IntegerField):
        can_be_negative = _range(column)[0] < 0 and not isinstance(column, models.AutoField)
        return languages.whole() if can_be_negative else languages.natural(1)
    if isinstance(column, models.CharField | models.TextField):
        return languages.TEXT
    how = f": add a date format, such as {{{piece.written}:%Y}}"
    raise TypeError(
        f"{column} is a {type(column).__name__}, but a format supports text, integers and dates"
        + (how if isinstance(column, models.DateField) else "")
    )


def _range(column: Any) -> tuple[int, int]:
    kind = column.get_internal_type()
    return BaseDatabaseOperations.integer_field_ranges.get(kind, (-MAX_VALUE, MAX_VALUE))


def longest_of(piece: Piece, model: type[Model], number: int) -> float:
    if isinstance(piece, str):
        return len(piece)
    if piece.part is None:
        return max(piece.width, number)
    if isinstance(piece.part, DateText):
        return max(len(word) for word in piece.part.language)
    column = column_at(model, path_of_piece(piece))
    if isinstance(column, models.IntegerField):
        return max(piece.width, *(len(str(end)) for end in _range(column)))
    return float("inf") if column.max_length is None else column.max_length


def is_never_null(piece: Placeholder, model: type[Model], connection: BaseDatabaseWrapper) -> bool:
    """Return whether the expression is never null: the number, or a date of the row itself.

    Dates on SQLite and datetimes are excluded: SQLite's columns can contain invalid dates, and
    MySQL converts a datetime to null if it doesn't know the time zone.
    """
    if piece.part is None:
        return True
    first, *others = fields_of(model, path_of_piece(piece))
    is_date = isinstance(piece.part, DateText) and not isinstance(first, models.DateTimeField)
    return is_date and not others and not first.null and connection.vendor != "sqlite"


def is_open(piece: Placeholder) -> bool:
    """Return whether the possible texts depend on the type of the model's field."""
    return isinstance(piece.part, str) and not piece.width
