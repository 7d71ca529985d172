"""Calendar periods of a document's own date: parts of a scope, and of a text number.

A period has one text for each of its days, such as ``"2026-Q1"``, which is a part of the name of a
counter. Never "today": a document that is dated back counts in the period of its date.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, ClassVar, Literal

from django.conf import settings
from django.db import NotSupportedError
from django.db.models import Case, Value, When
from django.db.models.lookups import LessThan
from django.utils.timezone import get_default_timezone, make_naive

from .dates import DateText, refuse_moment
from .expressions import BySQLite, Digits
from .languages import TEXT, Language

DAY = timedelta(days=1)

Starts = tuple[int, int]
"""The month and the day on which each year starts."""


class Period(DateText):
    """One counter for each period of a date field."""

    enough: ClassVar[tuple[str, ...]]
    """Codes that determine the period: each text is a choice of them."""

    def __init__(self, field: str, *, tz: str | tzinfo | None = None) -> None:
        self._set(field, tz)

    def first(self, day: date) -> date:
        """Return the first day of the period that has this day."""
        raise NotImplementedError

    def range(self, day: date) -> tuple[date, date | None]:
        """Return the first day of the period that has this day, and the first day of the next.

        None is for a period that ends with the last day of the calendar, 9999-12-31. Raises
        TypeError for a moment, whose day depends on the time zone.
        """
        refuse_moment(day)
        first = self.first(day)
        try:
            return first, self.first(first + self.longest)
        except OverflowError:
            return first, None

    longest: ClassVar[timedelta]
    """A step from a first day that leads into the next period."""

    def rows_alike(self, text: str | None, path: str) -> dict[str, Any]:
        """Return the lookups for rows whose ``path`` is in the same period as what a column stores.

        An index of the column serves them.
        """
        if text is None:
            return {path: None}
        first, following = self.range(self.day(text))
        alike = {f"{path}__gte": self._bound(first, text)}
        if following is not None:
            alike[f"{path}__lt"] = self._bound(following, text)
        return alike

    def _bound(self, day: date, text: str) -> date:
        if len(text) == 10:
            return day
        midnight = datetime.combine(day, time.min, self.zone)
        if settings.USE_TZ:
            # A day near the end of the calendar may have no moment in UTC.
            return midnight if day.year in (1, 9999) else midnight.astimezone(UTC)
        return make_naive(midnight, get_default_timezone())


class Year(Period):
    """Calendar years: ``"2026"``."""

    pattern = "%Y"
    enough = ("Y",)
    longest = 366 * DAY

    def first(self, day: date) -> date:
        return day.replace(month=1, day=1)


class Quarter(Period):
    """Quarters of the calendar year: ``"2026-Q1"``."""

    pattern = "%Y-Q%q"
    enough = ("Yq", "Ym")
    longest = 92 * DAY

    def first(self, day: date) -> date:
        return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)


class Month(Period):
    """Months: ``"2026-04"``."""

    pattern = "%Y-%m"
    enough = ("Ym",)
    longest = 31 * DAY

    def first(self, day: date) -> date:
        return day.replace(day=1)


class IsoWeek(Period):
    """Weeks from Monday to Sunday, as ISO 8601 counts them: ``"2026-W01"``.

    2027-01-01 is a Friday, and so in ``"2026-W53"``.
    """

    pattern = "%G-W%V"
    enough = ("GV", "Ymd")
    longest = 7 * DAY

    def first(self, day: date) -> date:
        return day - day.weekday() * DAY


class Day(Period):
    """Days: ``"2026-04-01"``."""

    pattern = "%Y-%m-%d"
    enough = ("Ymd",)
    longest = DAY

    def first(self, day: date) -> date:
        return day


class FiscalYear(Period):
    """Years that start on another day than 1 January, or on days that a function knows.

    :param start: the month and the day of the first day of each year, such as ``(4, 1)``.
    :param named: by which calendar year a fiscal year is called: the one in which it starts,
        ``"2026"``; the one in which it ends, ``"end"``, ``"2027"``; or ``"both"``, ``"2026-27"``. A
        year that starts on 1 January is named ``"2026"`` with the first two.
    :param by: for irregular years, a function of the date that returns the year's name, which is
        the same from its first day to its last, and of no other year. None is "no number".
    """

    longest = 366 * DAY

    def __init__(
        self,
        field: str,
        start: Starts | None = None,
        *,
        named: Literal["start", "end", "both"] = "start",
        by: Callable[[date], str | None] | None = None,
        tz: str | tzinfo | None = None,
    ) -> None:
        self._set(field, tz)
        if (start is None) == (by is None):
            raise TypeError("a fiscal year has either a start, (month, day), or a function, by")
        if by is not None and (not callable(by) or named != "start"):
            raise TypeError("by is a function of the date, which names the years by itself")
        if named not in ("start", "end", "both"):
            raise ValueError(f"a fiscal year is named by start, end or both, not by {named!r}")
        if start is not None:
            try:
                month, day = start
                if isinstance(month, bool) or isinstance(day, bool):
                    raise TypeError("True is no month")
                date(2025, month, day)  # in each year, and so not 29 February
            except TypeError as error:
                raise TypeError(f"start is (month, day), not {start!r}") from error
            except (ValueError, OverflowError) as error:
                raise ValueError(f"no day of each year is (month, day) {start!r}") from error
        self.start = None if start is None else (start[0], start[1])
        self.named = named
        self.by = by

    @property
    def pattern(self) -> str:  # type: ignore[override] # of the year in which it starts
        return "%Y-%y" if self.named == "both" else "%Y"

    @property
    def language(self) -> Language:
        return super().language if self.by is None else TEXT

    @property
    def enough(self) -> tuple[str, ...]:  # type: ignore[override]
        if self.start == (1, 1):
            return ("Y",)
        return ("Ymd", "Ym") if self.start and self.start[1] == 1 else ("Ymd",)

    @property
    def codes(self) -> set[str]:
        """None: its years are not those of the calendar."""
        return set()

    def text(self, day: date) -> str | None:
        refuse_moment(day)
        if self.by is None:
            year = self._started(day)
            ends = year if self.start == (1, 1) else year + 1
            if self.named == "both":
                return f"{year:04d}-{ends % 100:02d}"
            return f"{year if self.named == 'start' else ends:04d}"
        name = self.by(day)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"{self.by!r} is to return the name of a year or None, not {name!r}")
        return name or None

    def _started(self, day: date) -> int:
        assert self.start is not None
        return day.year - ((day.month, day.day) < self.start)

    def range(self, day: date) -> tuple[date, date | None]:
        refuse_moment(day)
        if self.by is not None:
            return self._edge(day, -1), self._after(self._edge(day, 1))
        assert self.start is not None
        year = self._started(day)
        first = date(year, *self.start) if year >= date.min.year else date.min
        return first, date(year + 1, *self.start) if year < date.max.year else None

    def _edge(self, day: date, direction: int) -> date:
        """Return the first or last day with the name that this day has; bisects the days."""
        name, step = self.text(day), 1
        limit = (day - date.min if direction < 0 else date.max - day).days
        while step <= limit and self.text(day + step * direction * DAY) == name:
            step *= 2
        inside, outside = step // 2, min(step, limit + 1)
        while outside - inside > 1:
            middle = (inside + outside) // 2
            if self.text(day + middle * direction * DAY) == name:
                inside = middle
            else:
                outside = middle
        return day + inside * direction * DAY

    @staticmethod
    def _after(day: date) -> date | None:
        return None if day == date.max else day + DAY

    def expressions(self, source: Any, *, zoned: bool) -> list[Any]:
        if self.start is None:
            raise NotSupportedError(
                f"a database can't call {self.by!r}, which names the years of {self.field!r}"
            )
        year = self._number("Y", source, zoned)
        month, day = (self._number(code, source, zoned) for code in "md")
        start = self.start[0] * 100 + self.start[1]
        started = year - Case(When(LessThan(month * 100 + day, Value(start)), then=1), default=0)
        if not zoned:
            native = f"(STRFTIME('%Y%m%d', DAY) - {start}) / 10000"
            started = BySQLite(started, source, native=native)
        ends = started if self.start == (1, 1) else started + 1
        if self.named == "both":
            return [Digits(started, width=4), Value("-"), Digits(ends % 100, width=2)]
        return [Digits(started if self.named == "start" else ends, width=4)]
