"""Numbers as people write them: ``INV-2026-00042``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from functools import lru_cache
from itertools import repeat
from string import Formatter
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models import F, Model, Value
from django.db.models.constants import LOOKUP_SEP
from django.utils.deconstruct import deconstructible
from django.utils.functional import cached_property

from sequences_core.arguments import MAX_VALUE, check_integer

from . import languages
from .expressions import Digits, Filled, Joined, Stored, padded
from .identity import column_of
from .languages import Language
from .periods import DateText, Period, zone_name
from .scopes import fields_of, texts_of

NUMBER = "number"
"""What stands for the number in a format, however its field is called."""

LONGEST_NUMBER = len(str(MAX_VALUE))

Affixes = tuple[str, str]
"""What stands before the number, and what after it."""


class Placeholder(NamedTuple):
    """What stands between braces: the number, a field, or parts of a date."""

    written: str
    part: str | DateText | None
    """The path of a field, or a text of a date; None is the number."""

    width: int = 0
    """In how many places an integer is written, with zeros in front; 0 is as it comes."""


Piece = str | Placeholder


class Parsed(NamedTuple):
    """A text number, read."""

    number: int
    parts: dict[str, str]
    """What stood for each other placeholder, by what the format has between the braces."""


@deconstructible
class NumberFormat:
    """How a number is written, such as ``NumberFormat("INV-{issued_on:%Y}-{number:05d}")``.

    :param template: text with placeholders in braces: ``{number}`` or, with zeros in front up to
        five places, ``{number:05d}``; a field of text or integers, by name or path
        (``{company.code}``, ``{branch:03d}``); parts of a date (``{issued_on:%Y%m}``), of the codes
        ``%Y %y %m %d``, ``%G`` and ``%V`` (the ISO year and week) and ``%q`` (the quarter);
        and the names of periods. ``{{`` is a brace.
    :param tz: the time zone in which moments of DateTimeFields have a date.
    :param periods: a :class:`Period` for each further name, such as
        ``year=FiscalYear("issued_on", start=(4, 1))`` for ``{year}``.

    Longer numbers are never cut. Raises TypeError and ValueError for a template that is wrong, or
    whose texts could be read in two ways, whatever the fields hold.
    """

    def __init__(self, template: str, *, tz: str | tzinfo | None = None, **periods: Period) -> None:
        if not isinstance(template, str):
            raise TypeError(f"a format is text, not {template!r}")
        self.template = template
        self.tz = None if tz is None else zone_name(tz)
        self.periods = periods
        for name, period in periods.items():
            if not isinstance(period, Period):
                raise TypeError(f"{name} is to be a period, such as Year(…), not {period!r}")
        self.pieces = list(self._parsed())
        numbers = [piece for piece in self.placeholders if piece.part is None]
        if len(numbers) != 1:
            raise ValueError(f"a format has {{{NUMBER}}} exactly once: {template!r}")
        self.width = max(1, numbers[0].width)
        unused = periods.keys() - {piece.written for piece in self.placeholders}
        if unused or NUMBER in periods:
            raise ValueError(f"the format doesn't say {{{min(unused or {NUMBER})}}}: {template!r}")
        if languages.is_ambiguous(self.languages(None)):
            raise ValueError(f"texts of this format could be read in two ways: {template!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NumberFormat) and self._options() == other._options()

    def __hash__(self) -> int:
        return hash(self.template)

    def __repr__(self) -> str:
        return f"NumberFormat({self.template!r})"

    def _options(self) -> tuple[Any, ...]:
        return self.template, self.tz, self.periods

    def _parsed(self) -> Iterator[Piece]:
        literal = ""
        for text, name, spec, conversion in Formatter().parse(self.template):
            literal += text
            if name is None:
                continue
            if literal:
                yield literal
                literal = ""
            yield self._placeholder(name, spec or "", conversion)
        if literal:
            yield literal

    def _placeholder(self, name: str, spec: str, conversion: str | None) -> Placeholder:
        written = f"{name}:{spec}" if spec else name
        width = re.fullmatch("0([1-9][0-9]?)d", spec)
        places = int(width[1]) if width else 0
        known = width or spec in ("", "d")
        if conversion or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name):
            raise ValueError(f"{{{written}}} names no field: {self.template!r}")
        path = name.replace(".", LOOKUP_SEP)
        if "%" in spec and name != NUMBER and name not in self.periods:
            return Placeholder(written, DateText(path, spec, tz=self.tz))
        if not known or (spec and name in self.periods):
            raise ValueError(
                f"{{{written}}}: write integers as {{{name}:05d}}, dates as {{{name}:%Y}}, and "
                f"text and periods as {{{name}}}"
            )
        if name == NUMBER:
            return Placeholder(name, None, places)
        return Placeholder(written, self.periods.get(name, path), places)

    @cached_property
    def paths(self) -> list[str]:
        """The paths of the fields that are written."""
        return [path_of_piece(piece) for piece in self.placeholders if piece.part is not None]

    @property
    def placeholders(self) -> list[Placeholder]:
        return [piece for piece in self.pieces if not isinstance(piece, str)]

    def format(self, instance: Model, number: int | None = None, using: str | None = None) -> str:
        """Return the text for the instance, and for its attribute ``number`` unless one is given.

        The end of a path is looked up in the database. Raises ValueError where a field is null or
        empty, and for a negative number.
        """
        alias = using or instance._state.db or DEFAULT_DB_ALIAS
        value = getattr(instance, NUMBER) if number is None else number
        (affixes,) = self.affixes([instance], connections[alias])
        return self.text(affixes, check_integer(NUMBER, value))

    def text(self, affixes: Affixes | None, number: int) -> str:
        """Return the text of a number between its affixes."""
        if affixes is None:
            raise ValueError(
                f"a field of {self.template!r} is null or empty, so the number can't be written"
            )
        if number < 0:
            raise ValueError(f"a negative number can't be written as {self.template!r}: {number}")
        before, after = affixes
        return f"{before}{number:0{self.width}d}{after}"

    def affixes(
        self, rows: Sequence[Model], connection: BaseDatabaseWrapper
    ) -> list[Affixes | None]:
        """Return what the rows' numbers stand between; None where a field is null or empty."""
        sides: list[list[Any]] = [[], []]
        side = sides[0]
        for piece in self.pieces:
            if isinstance(piece, str):
                side.append(repeat(piece, len(rows)))
            elif piece.part is None:
                side = sides[1]
            else:
                side.append(_column(piece, rows, connection))
        before, after = (
            [None if None in texts else "".join(texts) for texts in zip(*side, strict=True)]
            if side
            else [""] * len(rows)
            for side in sides
        )
        return [
            None if head is None or tail is None else (head, tail)
            for head, tail in zip(before, after, strict=True)
        ]

    def parse(self, text: str, model: type[Model] | None = None) -> Parsed:
        """Read a text number.

        The model tells which fields are integers, which some formats can't be read back without.
        Raises ValueError for text of another format.
        """
        pieces, ambiguous = _reading(self, model)
        if ambiguous:
            raise ValueError(f"without the model, {self.template!r} could be read in two ways")
        found = languages.fullmatch(pieces, text)
        number, parts = -1, {}
        for piece, part in zip(self.pieces, found or (), strict=found is not None):
            if isinstance(piece, Placeholder):
                if piece.part is None:
                    number = int(part)
                else:
                    parts[piece.written] = part
        if not 0 <= number <= MAX_VALUE:
            raise ValueError(f"no number is written as {text!r}: {self.template!r}")
        return Parsed(number, parts)

    def expression(self, number: Any = F(NUMBER)) -> Joined:  # noqa: B008 # it is constant
        """Return the database expression of the text, for SELECT and UPDATE.

        It is null where :meth:`format` would raise. ``number`` is an expression too, which is
        evaluated twice: it must not be a ``NextValue``. Raises NotSupportedError for a period that
        only a function knows.
        """
        parts: list[Any] = []
        for piece in self.pieces:
            if isinstance(piece, str):
                parts.append(Value(piece))
            elif piece.part is None:
                parts.append(Digits(number, width=self.width))
            else:
                parts.append(Written(piece))
        return Joined(*parts)

    def languages(self, model: type[Model] | None) -> list[Language]:
        """Return what each piece can look like; without a model, as little as its fields can hold.

        Raises FieldDoesNotExist and TypeError for fields that aren't there or can't be written.
        """
        return [_language(piece, model) for piece in self.pieces]

    def longest(self, model: type[Model], number: int = LONGEST_NUMBER) -> float:
        """Return the length of the longest text, with numbers of so many digits.

        Infinite if a field has text of any length. Names that a function gives don't count.
        """
        return sum(_longest(piece, model, number) for piece in self.pieces)


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


def _column(
    piece: Placeholder, rows: Sequence[Model], connection: BaseDatabaseWrapper
) -> list[str | None]:
    texts = [text for (text,) in texts_of(piece.part, rows, connection)]
    if not piece.width:
        return texts
    if negative := next((text for text in texts if text and text[0] == "-"), None):
        raise ValueError(f"{negative} is negative, which {{{piece.written}}} can't write")
    return [text and text.zfill(piece.width) for text in texts]


def _language(piece: Piece, model: type[Model] | None) -> Language:
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


def _longest(piece: Piece, model: type[Model], number: int) -> float:
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


class Formatted:
    """A field that holds a number as text: its options, and the texts of rows."""

    is_copy = False
    """Was this field copied from a model that it belongs to, as packages that keep history do?"""

    format: NumberFormat
    number: str
    """The name of the SequenceField whose number it is."""

    # Set by Django.
    attname: str
    max_length: int | None

    @property
    def memory(self) -> str:
        """Where the state of an instance remembers the text that nobody has set."""
        return f"sequences_{self.attname}"

    def text(self, affixes: Affixes | None, number: int) -> str:
        """Return the text of a number; ValueError if it can't be written or stored."""
        text = self.format.text(affixes, number)
        if self.max_length is not None and len(text) > self.max_length:
            raise ValueError(f"{self} has {self.max_length} characters, too few for {text!r}")
        return text


@lru_cache(maxsize=1024)
def _reading(of: NumberFormat, model: type[Model] | None) -> tuple[list[Language], bool]:
    pieces = [
        languages.TEXT
        if model is None and isinstance(piece, Placeholder) and _is_open(piece)
        else language
        for piece, language in zip(of.pieces, of.languages(model), strict=True)
    ]
    return pieces, languages.is_ambiguous(pieces)


def _is_open(piece: Placeholder) -> bool:
    """Can only the model tell what the field holds?"""
    return isinstance(piece.part, str) and not piece.width
