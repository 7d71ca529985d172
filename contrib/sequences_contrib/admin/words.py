"""The findings of the audit as sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.utils.formats import date_format
from django.utils.timezone import is_aware, localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..findings import CounterAudit, Missing
from ..models import Void

SOME = 5
"""The maximum number of ranges in a sentence."""


@dataclass(frozen=True)
class Range:
    """Consecutive numbers that are missing for the same reason."""

    first: int
    last: int
    state: str
    """``"void"``, ``"reuse"``, or ``""`` without an explanation."""
    void: Void | None = None

    @property
    def numbers(self) -> str:
        """The numbers as people write them."""
        return span(self.first, self.last)

    @property
    def count(self) -> int:
        """How many numbers the range has."""
        return self.last - self.first + 1


def span(first: int, last: int) -> str:
    """Return consecutive numbers as text: ``"4–6"``."""  # noqa: RUF002 # from, to
    return str(first) if first == last else f"{first}–{last}"  # noqa: RUF001


def ranges_of(
    result: CounterAudit, voids: Mapping[tuple[str, int], Void], limit: int
) -> list[Range]:
    """Return the missing numbers, and each void with its entry of the register.

    :param limit: how many ranges to return in detail. The rest of the voids are not split.
    """
    found: list[Range] = []
    for missing in result.missing:
        if missing.explained != "void" or len(found) > limit:
            found.append(Range(missing.first, missing.last, missing.explained))
            continue
        number = missing.first
        while number <= missing.last and len(found) <= limit:
            void = voids.get((result.counter, number))
            found.append(Range(number, number, "void", void))
            number += 1
        if number <= missing.last:
            found.append(Range(number, missing.last, "void"))
    return found


def is_explained(result: CounterAudit) -> bool:
    """Return whether numbers are missing, but all of them are explained."""
    return bool(result.missing) and result.is_clean


def sentences(result: CounterAudit, loops: bool) -> list[str]:
    """Return the findings of a counter as sentences, the most serious first."""
    if loops:
        return [_("These numbers start again, so missing numbers can't be detected.")]
    told: list[str] = []
    for explained, text in (
        ("", _missing),
        ("void", _void),
        ("reuse", _free),
    ):
        ranges = [each for each in result.missing if each.explained == explained]
        if ranges:
            count = sum(each.last - each.first + 1 for each in ranges)
            told.append(text(count) % {"count": count, "numbers": _listed(ranges)})
        if not explained:
            told += _other_faults(result)
    return told or [_("Nothing is missing.")]


def _other_faults(result: CounterAudit) -> Iterable[str]:
    if result.duplicates:
        count = len(result.duplicates)
        yield ngettext(
            "%(count)d number was given more than once: %(numbers)s.",
            "%(count)d numbers were given more than once: %(numbers)s.",
            count,
        ) % {"count": count, "numbers": _some(map(str, result.duplicates))}
    if result.behind:
        yield ngettext(
            "The counter is behind by %(count)d number: the next number would be a duplicate.",
            "The counter is behind by %(count)d numbers: the next numbers would be duplicates.",
            result.behind,
        ) % {"count": result.behind}
    elif result.ahead and any(not each.explained for each in result.missing):
        yield ngettext(
            "The counter is ahead by %(count)d number: no row has its last number.",
            "The counter is ahead by %(count)d numbers: no rows have its last numbers.",
            result.ahead,
        ) % {"count": result.ahead}
    for early in result.early_dates[:SOME]:
        dates = {"date": _date(early.date), "previous": _date(early.previous)}
        yield _("The date of number %(number)d, %(date)s, is before %(previous)s.") % {
            "number": early.number,
            **dates,
        }
    if (more := len(result.early_dates) - SOME) > 0:
        yield ngettext(
            "%(count)d further date is out of order.",
            "%(count)d further dates are out of order.",
            more,
        ) % {"count": more}


def _missing(count: int) -> str:
    return ngettext(
        "%(count)d number is missing without an explanation: %(numbers)s.",
        "%(count)d numbers are missing without an explanation: %(numbers)s.",
        count,
    )


def _void(count: int) -> str:
    return ngettext(
        "%(count)d number is void: %(numbers)s.", "%(count)d numbers are void: %(numbers)s.", count
    )


def _free(count: int) -> str:
    return ngettext(
        "%(count)d number is free and will be assigned again: %(numbers)s.",
        "%(count)d numbers are free and will be assigned again: %(numbers)s.",
        count,
    )


def _listed(ranges: Iterable[Missing]) -> str:
    return _some(span(each.first, each.last) for each in ranges)


def _some(texts: Iterable[str]) -> str:
    listed = list(texts)
    return ", ".join(listed[:SOME]) + (", …" if len(listed) > SOME else "")


def day_of(value: date | datetime) -> date:
    """Return the date of a date, or of a datetime in the current time zone."""
    if not isinstance(value, datetime):
        return value
    return (localtime(value) if is_aware(value) else value).date()


def _date(value: Any) -> str:
    return date_format(day_of(value), "SHORT_DATE_FORMAT")
