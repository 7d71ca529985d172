"""What stands between the braces of a format: what it looks like, and how databases write it."""

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
    """What stands between braces: the number, a field, or parts of a date."""

    written: str
    part: str | DateText | None
    """The path of a field, or a text of a date; None is the number."""

    width: int = 0
    """In how many places an integer is written, with zeros in front; 0 is as it comes."""


Piece = str | Placeholder


class Written:
    """The text of a placeholder in the database; which it is, a query's model tells."""

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
    """Return the path of the field that a placeholder, not the number's, is about."""
    assert piece.part is not None
    return piece.part if isinstance(piece.part, str) else piece.part.field


def column_at(model: type[Model], path: str) -> Any:
    """Return the field at the end of a path, or the one whose column that repeats."""
    return column_of(fields_of(model, path)[-1])


def in_places(piece: Placeholder, text: str | None) -> str | None:
    """Write what a column stores, which has its canonical form, in so many places."""
    if not piece.width or text is None:
        return text
    if text[0] == "-":
        raise ValueError(f"{text} is negative, which {{{piece.written}}} can't write")
    return text.zfill(piece.width)


def language_of(piece: Piece, model: type[Model] | None) -> Language:
    if isinstance(piece, str):
        return languages.literal(piece)
    if piece.part is None:
        return languages.natural(max(1, piece.width))
    column = None if model is None else column_at(model, path_of_piece(piece))
    if isinstance(piece.part, DateText):
        if column is not None and not isinstance(column, models.DateField):
            raise TypeError(f"{column} is no date: {{{piece.written}}}")
        return piece.part.language
    if piece.width:
        if column is not None and not isinstance(column, models.IntegerField):
            raise TypeError(f"{column} is no integer: {{{piece.written}}}")
        return languages.natural(piece.width)
    if column is None:
        return languages.natural(1)
    if isinstance(column, models.IntegerField):
        can_be_negative = _range(column)[0] < 0 and not isinstance(column, models.AutoField)
        return languages.whole() if can_be_negative else languages.natural(1)
    if isinstance(column, models.CharField | models.TextField):
        return languages.TEXT
    how = f": say how, such as {{{piece.written}:%Y}}"
    raise TypeError(
        f"{column} is a {type(column).__name__}, and a format has text, integers and dates"
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
    """Is it the number, or about a date of the row itself, which is never null?

    SQLite's columns may have anything instead of a date, and MySQL has null instead of a moment in
    a time zone that it doesn't know.
    """
    if piece.part is None:
        return True
    first, *others = fields_of(model, path_of_piece(piece))
    is_date = isinstance(piece.part, DateText) and not isinstance(first, models.DateTimeField)
    return is_date and not others and not first.null and connection.vendor != "sqlite"


def is_open(piece: Placeholder) -> bool:
    """Can only the model tell what the field holds?"""
    return isinstance(piece.part, str) and not piece.width
