"""Parts of dates as text, in Python and in the databases."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Expression, IntegerField, Value
from django.db.models.functions import (
    Cast,
    ExtractDay,
    ExtractIsoYear,
    ExtractMonth,
    ExtractQuarter,
    ExtractWeek,
    ExtractYear,
)
from django.utils.deconstruct import deconstructible
from django.utils.timezone import get_default_timezone, is_naive, make_aware

from .expressions import BySQLite, Digits, Moment
from .languages import DIGIT, Atom, Language, literal


class Code(NamedTuple):
    """What a code such as ``%Y`` stands for: a number of so many digits, in Python and in SQL."""

    width: int
    number_of: Callable[[date], int]
    expression: Callable[..., Any]
    sqlite: str
    """The digits by functions that SQLite has in all its versions; null for a DAY that is null."""


def _year_of_century(of: Any, tzinfo: tzinfo | None) -> Any:
    return ExtractYear(of, tzinfo=tzinfo) % 100


# ISO 8601 gives a week to the year of its Thursday. SQLite has %G and %V from 3.46 on only.
THURSDAY = "DAY, '-3 days', 'weekday 4'"

CODES = {
    "Y": Code(4, lambda day: day.year, ExtractYear, "STRFTIME('%Y', DAY)"),
    "y": Code(2, lambda day: day.year % 100, _year_of_century, "SUBSTR(STRFTIME('%Y', DAY), 3)"),
    "m": Code(2, lambda day: day.month, ExtractMonth, "STRFTIME('%m', DAY)"),
    "d": Code(2, lambda day: day.day, ExtractDay, "STRFTIME('%d', DAY)"),
    "q": Code(
        1,
        lambda day: (day.month + 2) // 3,
        ExtractQuarter,
        "CAST((STRFTIME('%m', DAY) + 2) / 3 AS TEXT)",
    ),
    "G": Code(4, lambda day: day.isocalendar().year, ExtractIsoYear, f"STRFTIME('%Y', {THURSDAY})"),
    "V": Code(
        2,
        lambda day: day.isocalendar().week,
        ExtractWeek,
        f"SUBSTR('0' || ((STRFTIME('%j', {THURSDAY}) + 6) / 7), -2)",
    ),
}
"""The codes of ``strftime`` that only digits can result from, and ``%q``, the quarter."""


@deconstructible
class DateText:
    """The parts of a date that a pattern such as ``"%Y-%m"`` names, as text.

    :param field: the name or the path of a DateField or a DateTimeField.
    :param tz: the time zone in which a DateTimeField's moment has a date, by name
        (``"Pacific/Auckland"``) or as ``ZoneInfo``. A DateTimeField needs one, a DateField none.
    """

    pattern: str

    def __init__(self, field: str, pattern: str, *, tz: str | tzinfo | None = None) -> None:
        self._set(field, tz)
        self.pattern = pattern
        unknown = [code for code in re.findall("%(.?)", pattern) if code not in CODES]
        if unknown or "%" not in pattern:
            known = ", ".join(f"%{code}" for code in CODES)
            raise ValueError(f"a pattern of date parts has {known}, and no others: {pattern!r}")

    def _set(self, field: str, tz: str | tzinfo | None) -> None:
        if not isinstance(field, str) or not field:
            raise TypeError(f"a period is of a date field, by name, not of {field!r}")
        self.field = field
        self.tz = None if tz is None else zone_name(tz)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._options() == other._options()

    def __hash__(self) -> int:
        return hash((type(self), self.field, self.tz))

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._options().items())
        return f"{type(self).__name__}({options})"

    def _options(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name[0] != "_"}

    @property
    def zone(self) -> ZoneInfo | None:
        return None if self.tz is None else ZoneInfo(self.tz)

    @property
    def pieces(self) -> list[str]:
        """The pattern, cut into codes, such as ``"%Y"``, and what stands between them."""
        return [piece for piece in re.split("(%.)", self.pattern) if piece]

    @property
    def codes(self) -> set[str]:
        """The codes that the text consists of."""
        return {piece[1] for piece in self.pieces if piece[0] == "%"}

    @property
    def language(self) -> Language:
        """What the text can look like."""
        atoms: list[Atom] = []
        for piece in self.pieces:
            if piece[0] == "%":
                atoms += [DIGIT] * CODES[piece[1]].width
            else:
                atoms += literal(piece)[0]
        return (tuple(atoms),)

    def text(self, day: date) -> str | None:
        """Return the text for a day; None for "no number".

        Raises TypeError for a moment, whose day depends on the time zone.
        """
        refuse_moment(day)
        return "".join(
            f"{CODES[piece[1]].number_of(day):0{CODES[piece[1]].width}d}"
            if piece[0] == "%"
            else piece
            for piece in self.pieces
        )

    def text_of_stored(self, text: str) -> str | None:
        """Return the text for what a column stores, which is written in its canonical form."""
        return self.text(self.day(text))

    def day(self, text: str) -> date:
        """Return the day of what a column stores, in this time zone."""
        if len(text) == 10:
            return date.fromisoformat(text)
        if (zone := self.zone) is None:
            raise ValueError(
                f"{self!r} needs a time zone, tz=…, since {self.field!r} is a DateTimeField"
            )
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:  # without USE_TZ
            moment = make_aware(moment, get_default_timezone())
        return moment.astimezone(zone).date()

    def refuse_naive(self, value: Any) -> None:
        """Raise ValueError for a moment without a time zone, whose day could be either of two."""
        naive = isinstance(value, date) and (not isinstance(value, datetime) or is_naive(value))
        if naive and settings.USE_TZ:
            raise ValueError(
                f"{self.field!r} is {value}, without a time zone, and decides on a number: give "
                f"it one, such as django.utils.timezone.make_aware() does"
            )

    def expressions(self, source: Any, *, zoned: bool) -> list[Any]:
        """Return the database expressions that, joined, are the text for the column ``source``."""
        return [
            self._digits(piece[1], source, zoned) if piece[0] == "%" else Value(piece)
            for piece in self.pieces
        ]

    def _digits(self, code: str, source: Any, zoned: bool) -> Expression:
        digits = Digits(self._number(code, source, zoned), width=CODES[code].width)
        return digits if zoned else BySQLite(digits, source, native=CODES[code].sqlite)

    def _number(self, code: str, source: Any, zoned: bool) -> Any:
        # ISO years are decimals on MySQL, and all parts are on PostgreSQL.
        if zoned:
            source = Moment(source, zone=self.tz or "")
        extract = CODES[code].expression(source, tzinfo=self.zone if zoned else None)
        return Cast(extract, IntegerField())


def refuse_moment(day: Any) -> None:
    """Raise TypeError for what is no day."""
    if not isinstance(day, date) or isinstance(day, datetime):
        raise TypeError(f"a period has days, such as date(2026, 4, 1), not {day!r}")


def zone_name(tz: str | tzinfo) -> str:
    """Return the name of a time zone, which is what a migration can write down."""
    if tz is UTC:
        return "UTC"
    name = tz.key if isinstance(tz, ZoneInfo) else tz
    if not isinstance(name, str):
        raise TypeError(f"tz is a time zone's name or a ZoneInfo, not {tz!r}")
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"there is no time zone {name!r}") from error
    return name
