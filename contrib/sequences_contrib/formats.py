"""Numbers as people write them, such as ``INV-2026-00042``."""

from __future__ import annotations

import re
from datetime import tzinfo
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Expression, F, Model, Value
from django.utils.deconstruct import deconstructible
from django.utils.functional import cached_property

from sequences_core.arguments import MAX_VALUE, check_integer

from . import languages
from .affixes import Affixes, affixes_of
from .dates import zone_name
from .expressions import Joined, padded
from .languages import Language
from .periods import Period
from .pieces import NUMBER, field_placeholders, pieces_of
from .placeholders import Placeholder, Written, is_open, language_of, longest_of, path_of_piece

MOST = 100
"""More digits than a number can have, and than an error message repeats."""


class Parsed(NamedTuple):
    """A text number that was parsed."""

    number: int
    """The number in the text."""
    parts: dict[str, str]
    """The text of each other placeholder, by what the format has between the braces."""


@deconstructible
class NumberFormat:
    """The format of a text number, such as ``NumberFormat("INV-{issued_on:%Y}-{number:05d}")``.

    :param template: text with placeholders in braces. ``{number}`` is the number, and
        ``{number:05d}`` writes it in at least five places, with zeros in front. A field of text or
        integers is written by its name or its path (``{company.code}``, ``{branch:03d}``), parts of
        a date by the codes ``%Y %y %m %d``, ``%G`` and ``%V`` (the ISO year and week) and ``%q``
        (the quarter): ``{issued_on:%Y%m}``. Write ``{{`` and ``}}`` for braces.
    :param tz: the time zone in which the moments of DateTimeFields have a date.
    :param periods: a :class:`Period` for each further name in the template, such as
        ``year=FiscalYear("issued_on", start=(4, 1))`` for ``{year}``.

    A number with more digits than places is written whole. Raises TypeError or ValueError if the
    template is malformed, or if its texts could be read in two ways whatever the fields hold.
    """

    def __init__(self, template: str, *, tz: str | tzinfo | None = None, **periods: Period) -> None:
        if not isinstance(template, str):
            raise TypeError(f"template must be a str, not {template!r}")
        if re.search("[\0\ud800-\udfff]", template):
            raise ValueError(f"a format can't contain NUL or surrogates: {template!r}")
        self.template = template
        self.tz = None if tz is None else zone_name(tz)
        self.periods = periods
        for name, period in periods.items():
            if not isinstance(period, Period):
                raise TypeError(f"{name} must be a period, such as Year(…), not {period!r}")
        self.pieces = pieces_of(template, periods, self.tz)
        numbers = [piece for piece in self.placeholders if piece.part is None]
        if len(numbers) != 1:
            raise ValueError(f"a format has {{{NUMBER}}} exactly once: {template!r}")
        self.width = max(1, numbers[0].width)
        if NUMBER in periods:
            raise ValueError(f"{{{NUMBER}}} is the number, so no period can have this name")
        if unused := periods.keys() - {piece.written for piece in self.placeholders}:
            raise ValueError(f"the format doesn't use the period {{{min(unused)}}}: {template!r}")
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

    @cached_property
    def paths(self) -> list[str]:
        """The paths of the fields that are written."""
        return [path_of_piece(piece) for piece in field_placeholders(self.pieces)]

    @property
    def placeholders(self) -> list[Placeholder]:
        """The pieces that aren't literal text, that of the number included."""
        return [piece for piece in self.pieces if not isinstance(piece, str)]

    def format(self, instance: Model, number: int | None = None, using: str | None = None) -> str:
        """Return the text of an instance's number.

        :param number: the number; by default the instance's attribute ``number``.
        :param using: the database alias where fields of related rows are looked up; by default
            the one that the instance was loaded from.

        Raises ValueError if a field is null or empty, or if the number is negative.
        """
        alias = using or instance._state.db or DEFAULT_DB_ALIAS
        value = getattr(instance, NUMBER) if number is None else number
        (affixes,) = affixes_of(self.pieces, [instance], connections[alias])
        return self.text(affixes, check_integer(NUMBER, value))

    def text(self, affixes: Affixes | None, number: int) -> str:
        """Return the text of a number between its affixes.

        Raises ValueError if the affixes are None, or if the number is negative.
        """
        if affixes is None:
            raise ValueError(
                f"a field of {self.template!r} is null or empty, so the number can't be written"
            )
        if number < 0:
            raise ValueError(f"a negative number can't be written as {self.template!r}: {number}")
        before, after = affixes
        return f"{before}{number:0{self.width}d}{after}"

    def parse(self, text: str, model: type[Model] | None = None) -> Parsed:
        """Parse a text number.

        :param model: the model whose rows have such texts. Some formats can't be parsed without it,
            because it says which fields are integers.

        Raises ValueError for a text that doesn't have this format.
        """
        expected, ambiguous = _parsed_as(self, model)
        if ambiguous:
            raise ValueError(f"without the model, {self.template!r} could be read in two ways")
        found = languages.fullmatch(expected, text)
        number, parts = -1, {}
        for piece, part in zip(self.pieces, found or (), strict=found is not None):
            if isinstance(piece, Placeholder):
                if piece.part is None:
                    number = int(part) if len(part) < MOST else -1
                else:
                    parts[piece.written] = part
        if not 0 <= number <= MAX_VALUE:
            raise ValueError(f"{text[:MOST]!r} is not a number of the format {self.template!r}")
        return Parsed(number, parts)

    def expression(self, number: Any = F(NUMBER)) -> Expression:  # noqa: B008 # it is constant
        """Return a database expression of the text, for SELECT and UPDATE.

        Its value is null for rows for which :meth:`format` raises ValueError.

        :param number: an expression of the number. The database evaluates it several times, so it
            must not be a ``NextValue``.

        A query with the expression raises NotSupportedError if the database can't compute a
        period, because a Python function names it, or because the time zone is unknown there.
        """
        parts: list[Any] = []
        for piece in self.pieces:
            if isinstance(piece, str):
                parts.append(Value(piece))
            elif piece.part is None:
                parts.append(padded(number, self.width))
            else:
                parts.append(Written(piece))
        return Joined(*parts)

    def languages(self, model: type[Model] | None) -> list[Language]:
        """Return the set of texts that each piece can have.

        Without a model, of fields whose type decides on that, they are the texts of natural numbers
        only. Raises FieldDoesNotExist or TypeError for fields that don't exist or can't be written.
        """
        return [language_of(piece, model) for piece in self.pieces]

    def longest(self, model: type[Model], digits: int) -> float:
        """Return the length of the longest text of a number with so many digits.

        It is infinite if a field can hold text of any length. The names that a function returns for
        fiscal years are not counted.
        """
        return sum(longest_of(piece, model, digits) for piece in self.pieces)


@lru_cache(maxsize=1024)
def _parsed_as(of: NumberFormat, model: type[Model] | None) -> tuple[list[Language], bool]:
    """Return the set of texts that each piece is parsed as, and whether these are ambiguous."""
    expected = [
        languages.TEXT
        if model is None and isinstance(piece, Placeholder) and is_open(piece)
        else language
        for piece, language in zip(of.pieces, of.languages(model), strict=True)
    ]
    return expected, languages.is_ambiguous(expected)
