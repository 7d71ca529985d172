"""The findings of the audit, which compares the numbers of rows with their counters.

The counters are read first, then the rows, and then the counters that seem to be behind once more.
Each number up to the first reading was committed together with its row, so it must be found in the
rows. Higher numbers may belong to transactions that commit in the meantime. Therefore, an audit
needs no locks, and reports no false findings while other transactions take numbers.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date as date_type
from itertools import groupby
from typing import Any

from .groups import PAGE, TOGETHER, Group, Item, fetch_together, groups_of, merged
from .series import counters_of, last_values
from .voids import highest_voids, voided


@dataclass(frozen=True)
class Missing:
    """Consecutive numbers that were taken but that no row has."""

    first: int
    """The lowest of these numbers."""
    last: int
    """The highest of these numbers."""
    explained: str = ""
    """``"void"``; ``"reuse"`` if the field will assign them again; or ``""``."""


@dataclass(frozen=True)
class EarlyDate:
    """A number whose row has an earlier date than the row of a lower number."""

    number: int
    """The number of this row."""
    date: date_type
    """The date of this row."""
    previous: date_type
    """The date of the row with the lower number."""


@dataclass(frozen=True)
class CounterAudit:
    """The result of the audit for one counter."""

    counter: str
    """The counter's name; empty for rows that have numbers but no counter."""
    fields: tuple[str, ...]
    """The fields whose rows the counter numbers."""
    at: int | None
    """The last number taken; None if there is no such counter."""
    first: int | None
    """The lowest number that a row has."""
    last: int | None
    """The highest number that a row has."""
    rows: int
    """How many rows have a number."""
    drafts: int
    """How many rows have no number yet."""
    behind: int = 0
    """By how much the counter is behind the highest number of the rows and voids."""
    missing: tuple[Missing, ...] = ()
    """The numbers that were taken but that no row has."""
    duplicates: tuple[int, ...] = ()
    """The numbers that more than one row has."""
    early_dates: tuple[EarlyDate, ...] = ()
    """The dates that are earlier than that of a lower number."""

    @property
    def ahead(self) -> int:
        """By how much the counter is ahead of the highest number of the rows.

        These numbers are also included in ``missing``.
        """
        return max(0, self.at - self.last) if self.at is not None and self.last is not None else 0

    @property
    def unexplained(self) -> tuple[Missing, ...]:
        """The missing numbers without an explanation."""
        return tuple(missing for missing in self.missing if not missing.explained)

    @property
    def is_clean(self) -> bool:
        """Whether nothing needs an explanation."""
        found = self.unexplained or self.duplicates or self.behind or self.early_dates
        return bool(self.counter and not found)


class Reading:
    """The counters of a sequence and a summary of their rows, as they were read.

    Call :meth:`results` to compare them, for some or all of the counters.
    """

    def __init__(self, series: list[Any], using: str, date: str | None = None) -> None:
        self.series = series
        self.using = using
        self.date = date
        self.loops = any(field.reset_value is not None for field in series)
        self.skips = any(field.skip_used for field in series)
        self.reuse = next((field.reuse for field in series if field.reuse), None)
        self._before = counters_of(series[0], using)
        self._groups: dict[str, list[Group]] = {name: [] for name in self._before}
        self._labels: dict[str, list[str]] = {}
        for field in series:
            for group in groups_of(field, using, unnamed=True):
                if not (group.name or group.numbered):
                    continue
                self._groups.setdefault(group.name, []).append(group)
                self._labels.setdefault(group.name, []).append(str(field))
        self._gone = {} if self.reuse else highest_voids(series[0], using)
        for name in self._gone:
            self._groups.setdefault(name, [])

    @property
    def counters(self) -> list[str]:
        """The names of the counters that exist, or that have rows or voids."""
        return sorted(filter(None, self._groups))

    @property
    def strays(self) -> CounterAudit | None:
        """The result for rows that have a number but no counter; None if there are none.

        A part of their scope is null or deleted.
        """
        if not (groups := self._groups.get("")):
            return None
        fields, rows = dict.fromkeys(self._labels[""]), sum(group.numbered for group in groups)
        return CounterAudit("", tuple(fields), None, _low(groups), _high(groups), rows, drafts=0)

    def groups(self, counter: str) -> list[Group]:
        """Return the groups of rows of a counter."""
        return self._groups[counter]

    def is_plain(self, counter: str) -> bool:
        """Return whether the summary proves that no number is missing or duplicated."""
        return self._end(counter, self._before.get(counter)) is None

    def results(self, counters: Collection[str]) -> Iterator[CounterAudit]:
        """Yield the results for these counters, in their order."""
        before, gone = self._before, self._gone
        moved = [
            name
            for name in counters
            if max(_high(self._groups[name]), gone.get(name, -1)) > before.get(name, -1)
        ]
        after = before | last_values(moved, self.using)
        ends = {name: self._end(name, after.get(name)) for name in counters}
        for names in self._portions(ends):
            unfit = [name for name in names if ends[name] is not None]
            fetch_together((group for name in unfit for group in self._groups[name]), self.date)
            results = [(name, self._findings(name, after.get(name), ends[name])) for name in names]
            void = voided((name for name, found in results if found["missing"]), self.using)
            for name, found in results:
                missing = _explained(found.pop("missing"), sorted(void.get(name, ())))
                yield CounterAudit(
                    counter=name,
                    fields=tuple(dict.fromkeys(self._labels.get(name, ()))),
                    at=_at(before.get(name), after.get(name), found["last"]),
                    missing=tuple(missing),
                    **found,
                )

    def _portions(self, ends: Mapping[str, int | None]) -> Iterator[list[str]]:
        """Yield lists of counters whose numbers one query can read (``PAGE``, ``TOGETHER``)."""
        portion: list[str] = []
        rows = read = 0
        for name, end in ends.items():
            size = 0 if end is None else sum(group.numbered for group in self._groups[name])
            if portion and (rows + size > PAGE or read == TOGETHER):
                yield portion
                portion, rows, read = [], 0, 0
            portion.append(name)
            rows, read = rows + size, read + (end is not None)
        if portion:
            yield portion

    def _findings(self, name: str, after: int | None, end: int | None) -> dict[str, Any]:
        """Return the findings of a counter; read its numbers up to ``end``, unless that is None."""
        groups = self._groups[name]
        low, high = _low(groups), _high(groups)
        rows = sum(group.numbered for group in groups)
        found: dict[str, Any] = {
            "first": low,
            "last": None if low is None else high,
            "rows": rows,
            "drafts": sum(group.rows for group in groups) - rows,
            "missing": [],
        }
        if self.loops:
            return found  # its numbers repeat
        first = self._first(low, self._before.get(name))
        if (behind := self._behind(name, first, after)) > 0:
            found["behind"] = behind
        if end is None:
            return found
        items = merged(*(group.items(self.date) for group in groups))
        tail = first - 1 if low is None else high or first - 1
        return found | self._detail(items, first, end, tail=tail)

    def _end(self, name: str, after: int | None) -> int | None:
        """Return the number up to which to search for gaps, or None if the summary shows none."""
        if self.loops:
            return None
        groups, before = self._groups[name], self._before.get(name)
        first = self._first(_low(groups), before)
        # Rows can have numbers above the counter only if it was lowered after these were taken.
        behind = self._behind(name, first, after) > 0
        end = max(self._given(name)) if behind else before
        sums_suffice = not (behind or self.date)
        if end is None or (sums_suffice and self._fits(groups, first, before, after)):
            return None
        return end

    def _behind(self, name: str, first: int, after: int | None) -> int:
        return max(self._given(name), default=first - 1) - (first - 1 if after is None else after)

    def _given(self, name: str) -> list[int]:
        """Return the highest numbers that the counter must not be behind."""
        # With skip_used, the numbers of rows are skipped, but voids are not.
        groups = self._groups[name]
        high = None if self.skips or _low(groups) is None else _high(groups)
        return [number for number in (high, self._gone.get(name)) if number is not None]

    def _first(self, low: int | None, before: int | None) -> Any:
        """Return the number that is assumed to be the first one taken."""
        firsts = [field.first for field in self.series if not callable(field.initial_value)]
        if low is not None and (low in firsts or len(firsts) < len(self.series)):
            return low
        if firsts:
            return min(firsts)
        return before or 0  # the start is unknown, but the last number was taken

    @staticmethod
    def _fits(groups: list[Group], first: int, before: int | None, after: int | None) -> bool:
        """Return whether the summary of a single group proves that nothing is wrong."""
        if before is None or len(groups) != 1:
            return not groups and before is not None and before < first
        (group,) = groups
        if group.low is None or group.high is None or after is None:
            return before < first
        complete = group.high - group.low + 1 == group.numbered == group.distinct
        return complete and group.low <= first and before <= group.high <= after

    def _detail(self, items: Iterable[Item], first: int, end: int, *, tail: int) -> dict[str, Any]:
        missing: list[Missing] = []
        duplicates: list[int] = []
        early_dates: list[EarlyDate] = []
        expected, latest = first, None
        for number, rows, early, late in items:
            if expected < number and expected <= end:
                missing.append(self._missing(expected, min(number - 1, end), tail))
            expected = max(expected, number + 1)
            if rows > 1:
                duplicates.append(number)
            if latest is not None and early is not None and early < latest:
                early_dates.append(EarlyDate(number, early, latest))
            if late is not None and (latest is None or late > latest):
                latest = late
        if expected <= end:
            missing.append(self._missing(expected, end, tail))
        return {
            "missing": missing,
            "duplicates": tuple(duplicates),
            "early_dates": tuple(early_dates),
        }

    def _missing(self, first: int, last: int, tail: int) -> Missing:
        given_again = self.reuse == "gaps" or (self.reuse == "last" and first > tail)
        return Missing(first, last, "reuse" if given_again else "")


def _at(before: int | None, after: int | None, high: int | None) -> int | None:
    """Return the last number of the counter when the rows were read.

    If the counter changed meanwhile, this is an estimate between the two readings.
    """
    if before is None or after is None or high is None:
        return after
    return max(before, min(after, high))


def _low(groups: Iterable[Group]) -> int | None:
    return min((group.low for group in groups if group.low is not None), default=None)


def _high(groups: Iterable[Group]) -> int:
    return max((group.high for group in groups if group.high is not None), default=-1)


def _explained(missing: Iterable[Missing], voids: Sequence[int]) -> Iterator[Missing]:
    """Split the ranges into void numbers and others. ``voids`` must be sorted."""
    for found in missing:
        start = found.first
        inside = voids[bisect_left(voids, found.first) : bisect_right(voids, found.last)]
        for _, run in groupby(enumerate(inside), key=lambda each: each[1] - each[0]):
            numbers = [number for _, number in run]
            if start < numbers[0]:
                yield Missing(start, numbers[0] - 1, found.explained)
            yield Missing(numbers[0], numbers[-1], "void")
            start = numbers[-1] + 1
        if start <= found.last:
            yield Missing(start, found.last, found.explained)
