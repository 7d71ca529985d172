"""Calendar periods of a row's own date, for scopes and formats.

All days of a period have the same text, such as ``"2026-Q1"``, which is a part of the counter's
name. Today's date doesn't matter: a document that is backdated belongs to the period of its date.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, ClassVar, Literal

from django.conf import settings
from django.db import NotSupportedError
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Length
from django.db.models.lookups import Exact, GreaterThanOrEqual, LessThan
from django.utils.timezone import get_default_timezone, make_naive

from .dates import DateText, refuse_datetime
from .expressions import BySQLite, Digits, Joined
from .languages import TEXT, Language

DAY = timedelta(days=1)

Starts = tuple[int, int]
"""The month and the day on which each year starts."""


class Period(DateText):
    """One counter for each period of a date field."""

    enough: ClassVar[tuple[str, ...]]
    """Sets of codes that determine the period: the codes in any one of these strings suffice."""

    def __init__(self, field: str, *, tz: str | tzinfo | None = None) -> None:
        self._set(field, tz)

    def first(self, day: date) -> date:
        """Return the first day of the period that contains this day."""
        raise NotImplementedError

    def range(self, day: date) -> tuple[date, date | None]:
        """Return the first day of the period that contains this day, and that of the next period.

        The second is None if the period ends with the last day of the calendar, 9999-12-31. Raises
        TypeError for a datetime, whose date depends on the time zone.
        """
        refuse_datetime(day)
        first = self.first(day)
        try:
            return first, self.first(first + self.longest)
        except OverflowError:
            return first, None

    longest: ClassVar[timedelta]
    """The length of the longest period: added to the first day, it gives a day of the next one."""

    def rows_alike(self, text: str | None, path: str) -> dict[str, Any]:
        """Return lookups for the rows whose ``path`` is in the same period as the stored ``text``.

        They are a range, so that the database can use an index of the column.
        """
        if text is None:
            return {path: None}
        first, following = self.range(self.day(text))
        alike = {f"{path}__gte": self._bound(first, text)}
        if following is not None:
            alike[f"{path}__lt"] = self._bound(following, text)
        return alike

    def odd_rows_alike(self, text: str | None, path: str) -> Q:
        """Return a filter like :meth:`rows_alike`, for a column that can have odd dates.

        The text of an odd date has less than 10 characters, and its order is that of the year only.
        Most often there is none, so the day is read from no other text.
        """
        alike = Q(**self.rows_alike(text, path))
        if text is None:
            return alike
        first, following = self.range(self.day(text))
        start = first.replace(month=1, day=1)
        last = date.max if following is None else following - DAY
        end = date(last.year + 1, 1, 1) if last.year < date.max.year else None
        if (start, end) == (first, following):
            return alike
        length = Length(path)
        day = Joined(*DateText(path, "%Y-%m-%d").expressions(F(path), zoned=False))
        odd = Q(LessThan(length, 10), **{f"{path}__gte": start})
        odd &= Q(GreaterThanOrEqual(day, Value(first.isoformat())))
        if end is not None:
            odd &= Q(**{f"{path}__lt": end})
        if following is not None:
            odd &= Q(LessThan(day, Value(following.isoformat())))
        return alike & Q(Exact(length, 10)) | odd

    def _bound(self, day: date, text: str) -> date:
        if len(text) == 10:
            return day
        midnight = datetime.combine(day, time.min, self.zone)
        if settings.USE_TZ:
            # Near both ends of the calendar, the datetime may not exist in UTC.
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
    """Weeks from Monday to Sunday, as defined by ISO 8601: ``"2026-W01"``.

    2027-01-01 is a Friday, so it belongs to ``"2026-W53"``.
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
    """Fiscal years, which start on any day of the year, or irregularly.

    :param start: the month and the day on which each year starts, such as ``(4, 1)``.
    :param named: how to name a fiscal year: ``"start"`` uses the calendar year in which it starts
        (``"2026"``), ``"end"`` the one in which it ends (``"2027"``), and ``"both"`` uses both
        (``"2026-27"``). A year that starts on 1 January is ``"2026"`` with the first two.
    :param by: for irregular years, a function of the date that returns the year's name. All days of
        a year must have the same name, and no other year may have it. None means "no number".
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
            raise TypeError("a fiscal year needs either start=(month, day) or by, a function")
        if by is not None and (not callable(by) or named != "start"):
            raise TypeError("by must be a function of the date, and can't be combined with named")
        if named not in ("start", "end", "both"):
            raise ValueError(f"named must be 'start', 'end' or 'both', not {named!r}")
        if start is not None:
            try:
                month, day = start
                if isinstance(month, bool) or isinstance(day, bool):
                    raise TypeError("bool")
                date(2025, month, day)  # not a leap year: 29 February doesn't exist in every year
            except TypeError as error:
                raise TypeError(f"start must be (month, day), not {start!r}") from error
            except (ValueError, OverflowError) as error:
                raise ValueError(f"start must be a day of every year, not {start!r}") from error
        self.start = None if start is None else (start[0], start[1])
        self.named = named
        self.by = by

    @property
    def pattern(self) -> str:  # type: ignore[override] # a property, not an attribute
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
        """An empty set, because the years are not those of the calendar."""
        return set()

    def text(self, day: date) -> str | None:
        refuse_datetime(day)
        if self.by is None:
            year = self._started(day)
            ends = year if self.start == (1, 1) else year + 1
            if self.named == "both":
                return f"{year:04d}-{ends % 100:02d}"
            return f"{year if self.named == 'start' else ends:04d}"
        name = self.by(day)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"{self.by!r} must return the name of a year or None, not {name!r}")
        return name or None

    def _started(self, day: date) -> int:
        assert self.start is not None
        return day.year - ((day.month, day.day) < self.start)

    def range(self, day: date) -> tuple[date, date | None]:
        refuse_datetime(day)
        if self.by is not None:
            return self._edge(day, -1), self._after(self._edge(day, 1))
        assert self.start is not None
        year = self._started(day)
        first = date(year, *self.start) if year >= date.min.year else date.min
        return first, date(year + 1, *self.start) if year < date.max.year else None

    def _edge(self, day: date, direction: int) -> date:
        """Return the first or last day that has the same name as this day, by bisection."""
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
                f"the database can't call {self.by!r}, which names the years of {self.field!r}"
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
