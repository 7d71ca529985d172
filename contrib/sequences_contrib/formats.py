"""Numbers as people write them: ``INV-2026-00042``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from functools import lru_cache
from string import Formatter
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression, F, Model, Value
from django.db.models.constants import LOOKUP_SEP
from django.utils.deconstruct import deconstructible
from django.utils.functional import cached_property

from sequences_core.arguments import MAX_VALUE, check_integer

from . import languages
from .copied import Copied
from .dates import DateText, zone_name
from .expressions import Digits, Joined
from .languages import Language
from .periods import Period
from .placeholders import (
    Piece,
    Placeholder,
    Written,
    in_places,
    is_open,
    language_of,
    longest_of,
    path_of_piece,
)
from .scopes import ALIKE, fields_of, is_automatic, text_of_one, texts_of

NUMBER = "number"
"""What stands for the number in a format, however its field is called."""

MOST = 100
"""No number is written in so many places."""

Affixes = tuple[str, str]
"""What stands before the number, and what after it."""


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
        if re.search("[\0\ud800-\udfff]", template):
            raise ValueError(f"no database stores NUL and half characters: {template!r}")
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
        model, alias = type(rows[0]), connection.alias
        columns = _own_columns(self, model)
        if columns is None:
            return self._looked_up(rows, connection)
        keys = [tuple([getattr(row, column.attname) for column in columns]) for row in rows]
        kinds = {tuple(map(type, key)) for key in keys}
        if len(kinds) > 1 or not ALIKE.issuperset(*kinds):
            return self._looked_up(rows, connection)
        (types,) = kinds
        known = {key: _affixes(self, model, types, key, alias) for key in set(keys)}
        return [known[key] for key in keys]

    def _looked_up(
        self, rows: Sequence[Model], connection: BaseDatabaseWrapper
    ) -> list[Affixes | None]:
        texts = [
            [in_places(piece, text) for (text,) in texts_of(piece.part, rows, connection)]
            for piece in self.placeholders
            if piece.part is not None
        ]
        return [self.joined(each) for each in zip(*texts, strict=True)]

    def joined(self, texts: Sequence[str | None]) -> Affixes | None:
        """Put the texts of the fields between the other ones."""
        if None in texts:
            return None
        before, after, following = "", "", iter(texts)
        for piece in self.pieces:
            if isinstance(piece, str):
                after += piece
            elif piece.part is None:
                before, after = after, ""
            else:
                after += next(following) or ""
        return before, after

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
                    number = int(part) if len(part) < MOST else -1
                else:
                    parts[piece.written] = part
        if not 0 <= number <= MAX_VALUE:
            raise ValueError(f"no number is written as {text[:MOST]!r}: {self.template!r}")
        return Parsed(number, parts)

    def expression(self, number: Any = F(NUMBER)) -> Expression:  # noqa: B008 # it is constant
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
        return [language_of(piece, model) for piece in self.pieces]

    def longest(self, model: type[Model], number: int = len(str(MAX_VALUE))) -> float:
        """Return the length of the longest text, with numbers of so many digits.

        Infinite if a field has text of any length. Names that a function gives don't count.
        """
        return sum(longest_of(piece, model, number) for piece in self.pieces)


class Formatted(Copied):
    """A field that holds a number as text: its options, and the texts of rows."""

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
def _own_columns(of: NumberFormat, model: type[Model]) -> list[Any] | None:
    """Return the columns of the row that are written, unless others have to be looked up."""
    fields = [fields_of(model, path) for path in of.paths]
    if any(len(path) > 1 or is_automatic(path[0]) for path in fields):
        return None
    return [path[0] for path in fields]


@lru_cache(maxsize=1024)
def _affixes(
    of: NumberFormat, model: type[Model], types: Any, values: Any, using: str
) -> Affixes | None:
    """Return the affixes for values of the row's own columns; the types, for 1 is equal to True."""
    pieces = [piece for piece in of.placeholders if piece.part is not None]
    columns, connection = _own_columns(of, model) or (), connections[using]
    texts = [
        in_places(piece, text_of_one(piece.part or "", column, value, connection))
        for piece, column, value in zip(pieces, columns, values, strict=True)
    ]
    return of.joined(texts)


@lru_cache(maxsize=1024)
def _reading(of: NumberFormat, model: type[Model] | None) -> tuple[list[Language], bool]:
    pieces = [
        languages.TEXT
        if model is None and isinstance(piece, Placeholder) and is_open(piece)
        else language
        for piece, language in zip(of.pieces, of.languages(model), strict=True)
    ]
    return pieces, languages.is_ambiguous(pieces)
