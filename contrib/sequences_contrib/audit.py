"""Proof that no number is missing, and the findings where one is.

The counters are read first, then the rows, and what looks wrong is compared with the counters
once more. A number up to the first reading was committed before, together with its row, so the rows
that are read later have it; numbers above it may be those of transactions that commit meanwhile. So
an audit beside writers gives no false alarm and takes no lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date as date_type
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections
from django.db.models import Model

from sequences_core.taking import database_errors

from .groups import Group, Item, groups_of, keys_of, merged
from .scopes import fields_of
from .series import counters_of, database_of, fields_of_model, last_values, series_of
from .voids import highest_voids, voided


@dataclass(frozen=True)
class Missing:
    """Numbers that were given and that no row has, from ``first`` to ``last``."""

    first: int
    last: int
    explained: str = ""
    """``"void"``, ``"reuse"`` where the field gives them again, or empty."""


@dataclass(frozen=True)
class EarlyDate:
    """A number whose row has an earlier date than the row of a lower number."""

    number: int
    date: date_type
    previous: date_type


@dataclass(frozen=True)
class CounterAudit:
    """What was found of one counter."""

    counter: str
    fields: tuple[str, ...]
    """The fields whose rows it numbers."""
    at: int | None
    """The last number taken; None if there is no such counter."""
    first: int | None
    """The lowest number that a row has."""
    last: int | None
    """The highest number that a row has."""
    rows: int
    """How many rows have a number."""
    drafts: int
    """How many rows have none yet."""
    behind: int = 0
    """How far the counter is behind the highest number of the rows and the voids."""
    missing: tuple[Missing, ...] = ()
    duplicates: tuple[int, ...] = ()
    early_dates: tuple[EarlyDate, ...] = ()

    @property
    def ahead(self) -> int:
        """How far the counter is ahead of the highest number; each is among the missing, too."""
        return max(0, self.at - self.last) if self.at is not None and self.last is not None else 0

    @property
    def unexplained(self) -> tuple[Missing, ...]:
        """The missing numbers that nothing explains."""
        return tuple(missing for missing in self.missing if not missing.explained)

    @property
    def is_clean(self) -> bool:
        """Is there nothing that needs an explanation?"""
        return not (self.unexplained or self.duplicates or self.behind or self.early_dates)


def audit(
    model: type[Model],
    field: str | None = None,
    *,
    counter: str | None = None,
    date: str | None = None,
    using: str | None = None,
) -> list[CounterAudit]:
    """Compare the numbers of all rows with their counters; return one result for each counter.

    All rows count, whatever the model's managers leave out. Models that share counters are audited
    together.

    :param field: one SequenceField of the model; by default all.
    :param counter: only the counter of this name.
    :param date: a date field, or the path to one: numbers must be in the order of its values.
    :param using: the database alias; by default the one that the router chooses for writing.
    :raises TypeError, ValueError: no such model, field or date.
    """
    found: list[CounterAudit] = []
    done: set[tuple[str, str]] = set()
    for numbering in fields_of_model(model, field):
        alias = database_of(numbering, using)
        _check_date(series := series_of(numbering, alias), date, alias)
        if (numbering.base, numbering.separator) not in done:
            done.add((numbering.base, numbering.separator))
            with database_errors(connections[alias], ours=False):
                found += _Series(series, alias, date).audit(counter)
    return found


class _Series:
    """The audit of the fields whose counters' names begin alike."""

    def __init__(self, series: list[Any], using: str, date: str | None) -> None:
        self.series = series
        self.using = using
        self.date = date
        self.loops = any(field.reset_value is not None for field in series)
        self.skips = any(field.skip_used for field in series)
        self.reuse = next((field.reuse for field in series if field.reuse), None)

    def audit(self, only: str | None) -> Iterator[CounterAudit]:
        before = counters_of(self.series[0], self.using)
        groups: dict[str, list[Group]] = {name: [] for name in before}
        labels: dict[str, list[str]] = {name: [] for name in before}
        for field in self.series:
            for group in groups_of(field, self.using):
                groups.setdefault(group.name, []).append(group)
                labels.setdefault(group.name, []).append(str(field))
        gone = {} if self.reuse else highest_voids(self.series[0], self.using)
        for name in gone:
            groups.setdefault(name, [])
            labels.setdefault(name, [])
        names = sorted(groups) if only is None else [only] if only in groups else []
        moved = [
            name
            for name in names
            if max(_high(groups[name]), gone.get(name, -1)) > before.get(name, -1)
        ]
        after = before | last_values(moved, self.using)
        missing: dict[str, list[Missing]] = {}
        results: list[tuple[str, dict[str, Any]]] = []
        for name in names:
            findings = self._findings(
                groups[name], before.get(name), after.get(name), gone.get(name)
            )
            missing[name] = findings.pop("missing")
            results.append((name, findings))
        void = voided((name for name in names if missing[name]), self.using)
        for name, findings in results:
            yield CounterAudit(
                counter=name,
                fields=tuple(dict.fromkeys(labels[name])),
                at=_at(before.get(name), after.get(name), findings["last"]),
                missing=tuple(_explained(missing[name], void.get(name, set()))),
                **findings,
            )

    def _findings(
        self, groups: list[Group], before: int | None, after: int | None, gone: int | None
    ) -> dict[str, Any]:
        lows = [group.low for group in groups if group.low is not None]
        low, high = min(lows, default=None), _high(groups) if lows else None
        rows = sum(group.numbered for group in groups)
        found: dict[str, Any] = {
            "first": low,
            "last": high,
            "rows": rows,
            "drafts": sum(group.rows for group in groups) - rows,
            "missing": [],
        }
        if self.loops:
            return found  # its numbers are given again and again
        first = self._first(low, before)
        # What rows have is skipped by those that skip; a void is not.
        given = [n for n in (None if self.skips else high, gone) if n is not None]
        behind = max(given, default=first - 1) - (first - 1 if after is None else after)
        if behind > 0:
            found["behind"] = behind
        # What is above the counter was not given by it, but if that was put back later.
        end = max(given) if behind > 0 else before
        if end is None or (self._fits(groups, first, before, after) and not self.date):
            return found
        items = merged(*(group.items(self.date) for group in groups))
        return found | self._detail(items, first, end, tail=high or first - 1)

    def _first(self, low: int | None, before: int | None) -> Any:
        """Return the number that the counter is taken to have given first."""
        firsts = [field.first for field in self.series if not callable(field.initial_value)]
        if low is not None and (low in firsts or len(firsts) < len(self.series)):
            return low
        if firsts:
            return min(firsts)
        return before or 0  # nobody knows where it started; its last number was given

    @staticmethod
    def _fits(groups: list[Group], first: int, before: int | None, after: int | None) -> bool:
        """Do the sums of a single group say by themselves that nothing is wrong?"""
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
    """Return where the counter was when the rows were read: between the two, if it moved."""
    if before is None or after is None or high is None:
        return after
    return max(before, min(after, high))


def _high(groups: Iterable[Group]) -> int:
    return max((group.high for group in groups if group.high is not None), default=-1)


def _explained(missing: Iterable[Missing], voids: set[int]) -> Iterator[Missing]:
    """Cut the ranges into those that voids explain and those that they don't."""
    numbers = sorted(voids)
    for found in missing:
        start = found.first
        inside = [number for number in numbers if found.first <= number <= found.last]
        while inside:
            first = last = inside.pop(0)
            while inside and inside[0] == last + 1:
                last = inside.pop(0)
            if start < first:
                yield Missing(start, first - 1, found.explained)
            yield Missing(first, last, "void")
            start = last + 1
        if start <= found.last:
            yield Missing(start, found.last, found.explained)


def _check_date(series: Iterable[Any], date: str | None, using: str) -> None:
    for field in series if date is not None else ():
        try:
            fields_of(field.model, date or "")
        except FieldDoesNotExist as error:
            raise ValueError(f"{field.model._meta.label} has no date {date!r}: {error}") from error
        if keys_of(field, connections[using]) is None:
            raise ValueError(
                f"{field} has a scope that the database can't group by: dates can't be compared"
            )
