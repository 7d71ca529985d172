"""Parts of dates as text, in Python and in SQL."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import CharField, Expression, F, IntegerField, Value
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

from .expressions import BySQLite, Digits, Joined, Moment
from .languages import DIGIT, Atom, Language, literal

DAY = timedelta(days=1)


class Code(NamedTuple):
    """A code such as ``%Y``: a number of ``width`` digits, computed in Python or in SQL."""

    width: int
    number_of: Callable[[date], int]
    expression: Callable[..., Any]
    sqlite: str
    """The SQL of the digits, with functions that every version of SQLite has.

    ``DAY`` stands for the date. The result is null if SQLite can't parse the date.
    """


def _year_of_century(of: Any, tzinfo: tzinfo | None) -> Any:
    return ExtractYear(of, tzinfo=tzinfo) % 100


# In ISO 8601, a week belongs to the year of its Thursday. SQLite has %G and %V since 3.46.
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
"""Codes of ``strftime`` whose results consist of digits, and ``%q``, the quarter."""


@deconstructible
class DateText:
    """The text of a date by a pattern such as ``"%Y-%m"``.

    :param field: the name or the path of a DateField or a DateTimeField.
    :param tz: the time zone in which to take the date of a DateTimeField, by name
        (``"Pacific/Auckland"``) or as a ``ZoneInfo``. It is required for a DateTimeField, and not
        allowed for a DateField.
    """

    pattern: str

    def __init__(self, field: str, pattern: str, *, tz: str | tzinfo | None = None) -> None:
        self._set(field, tz)
        self.pattern = pattern
        unknown = [code for code in re.findall("%(.?)", pattern) if code not in CODES]
        if unknown or "%" not in pattern:
            known = ", ".join(f"%{code}" for code in CODES)
            raise ValueError(f"a pattern of date parts supports only {known}: {pattern!r}")

    def _set(self, field: str, tz: str | tzinfo | None) -> None:
        if not isinstance(field, str) or not field:
            raise TypeError(f"field must be the name of a date field, not {field!r}")
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
        """The pattern, split into codes, such as ``"%Y"``, and the text between them."""
        return [piece for piece in re.split("(%.)", self.pattern) if piece]

    @property
    def codes(self) -> set[str]:
        """The codes of the pattern."""
        return {piece[1] for piece in self.pieces if piece[0] == "%"}

    @property
    def language(self) -> Language:
        """The texts that are possible."""
        atoms: list[Atom] = []
        for piece in self.pieces:
            if piece[0] == "%":
                atoms += [DIGIT] * CODES[piece[1]].width
            else:
                atoms += literal(piece)[0]
        return (tuple(atoms),)

    def text(self, day: date) -> str | None:
        """Return the text for a date, or None for "no number".

        Raises TypeError for a datetime, whose date depends on the time zone.
        """
        refuse_datetime(day)
        return "".join(
            f"{CODES[piece[1]].number_of(day):0{CODES[piece[1]].width}d}"
            if piece[0] == "%"
            else piece
            for piece in self.pieces
        )

    def text_of_stored(self, text: str) -> str | None:
        """Return the text for a stored date or datetime, in ISO 8601 format."""
        return self.text(self.day(text))

    def day(self, text: str) -> date:
        """Return the date of a stored date or datetime, in this time zone."""
        if len(text) == 10:
            return date.fromisoformat(text)
        if (zone := self.zone) is None:
            raise ValueError(
                f"{self!r} needs a time zone, tz=…, because {self.field!r} is a DateTimeField"
            )
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:  # without USE_TZ
            moment = make_aware(moment, get_default_timezone())
        return moment.astimezone(zone).date()

    def refuse_naive(self, value: Any) -> None:
        """Raise ValueError for a date or naive datetime, whose date in the time zone is unknown."""
        naive = isinstance(value, date) and (not isinstance(value, datetime) or is_naive(value))
        if naive and settings.USE_TZ:
            raise ValueError(
                f"{self.field!r} is {value}, without a time zone, but the number depends on it: "
                f"set an aware datetime, for example with django.utils.timezone.make_aware()"
            )

    def expressions(self, source: Any, *, zoned: bool) -> list[Any]:
        """Return database expressions that, concatenated, are the text for the column ``source``.

        :param zoned: whether the column is a DateTimeField.
        """
        return [
            self._digits(piece[1], source, zoned) if piece[0] == "%" else Value(piece)
            for piece in self.pieces
        ]

    def _digits(self, code: str, source: Any, zoned: bool) -> Expression:
        digits = Digits(self._number(code, source, zoned), width=CODES[code].width)
        return digits if zoned else BySQLite(digits, source, native=CODES[code].sqlite)

    def _number(self, code: str, source: Any, zoned: bool) -> Any:
        # EXTRACT returns decimals on PostgreSQL, and the ISO year is a decimal on MySQL.
        if zoned:
            source = Moment(source, zone=self.tz or "")
        extract = CODES[code].expression(source, tzinfo=self.zone if zoned else None)
        return Cast(extract, IntegerField())


class IsoDate(BySQLite):
    """A date of SQLite in ISO 8601 format, by which odd dates, such as 2026-1-5, are ordered."""

    output_field = CharField()

    def __init__(self, path: str) -> None:
        day = DateText(path, "%Y-%m-%d")
        general = Joined(*day.expressions(F(path), zoned=False))
        super().__init__(general, F(path), native="STRFTIME('%Y-%m-%d', DAY)")


MONTHS = ((1, 9, "02d"), (1, 1, "d"), (2, 9, "d"), (10, 12, "d"))
"""Ranges of months whose texts have no other months between them: 1 is before 10, and 2 after."""


@lru_cache
def texts_of_days(first: date, last: date) -> tuple[list[tuple[str, str]], list[str]]:
    """Return all texts that Django reads as one of the days, such as 2026-1-5 for 2026-01-05.

    They are ranges of texts, for whole years and months, and single texts for the other days. A
    range doesn't include its end, and ``:`` is the character after ``9``.
    """
    ranges: list[tuple[str, str]] = []
    texts: list[str] = []
    while True:
        year, month, end = first.year, first.month, first
        if (month, first.day) == (1, 1) and date(year, 12, 31) <= last:
            end = date(last.year if last == date(last.year, 12, 31) else last.year - 1, 12, 31)
            ranges.append((f"{year:04d}-", f"{end.year:04d}-:"))
        elif first.day == 1 and _end_of_month(first) <= last:
            end = _end_of_month(first)
            while end.month < 12 and (following := _end_of_month(end + DAY)) <= last:
                end = following
            for least, most, digits in MONTHS:
                low, high = max(least, month), min(most, end.month)
                if low <= high:
                    ranges.append((f"{year:04d}-{low:{digits}}-", f"{year:04d}-{high:{digits}}-:"))
        else:
            months, days = ({f"{n:02d}", f"{n}"} for n in (month, first.day))
            texts += [f"{year:04d}-{month}-{day}" for month in months for day in days]
        if end >= last:
            return ranges, texts
        first = end + DAY


def _end_of_month(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])


def refuse_datetime(day: Any) -> None:
    """Raise TypeError unless this is a date and not a datetime."""
    if not isinstance(day, date) or isinstance(day, datetime):
        raise TypeError(f"day must be a date, such as date(2026, 4, 1), not {day!r}")


def zone_name(tz: str | tzinfo) -> str:
    """Return the name of a time zone, which migrations can serialize.

    :raises TypeError, ValueError: ``tz`` is not a time zone with a name, or is unknown.
    """
    if tz is UTC:
        return "UTC"
    name = tz.key if isinstance(tz, ZoneInfo) else tz
    if not isinstance(name, str):
        raise TypeError(f"tz must be a time zone's name or a ZoneInfo, not {tz!r}")
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"there is no time zone {name!r}") from error
    return name
