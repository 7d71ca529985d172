"""The rows of a table, grouped by the counter that numbers them.

A scope of columns, paths, periods and constants is grouped by the database, and Python makes the
names of the counters from the groups, as for a row that is inserted. If the database can't group by
a scope, because a part of it is a function, all rows are read.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from operator import or_
from typing import Any

from django.db import NotSupportedError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, Count, F, Max, Min, Q, QuerySet, Value, When

from .counters import names_if_found
from .dates import DateText
from .expressions import Joined
from .identity import counter_name, plain_text, text_of
from .scopes import fields_of, has_moments, has_odd_dates, path_of, rows_in

PAGE = 5000
"""How many rows are read at once. Not every driver supports server-side cursors."""

TOGETHER = 100
"""The maximum number of groups whose numbers are read by one query."""

Item = tuple[int, int, Any, Any]
"""A number, how many rows have it, and the earliest and latest date of these rows."""


@dataclass
class Group:
    """Rows of one table that one counter numbers. A counter can have several groups."""

    name: str
    rows: int
    """How many rows there are, with and without a number."""
    numbered: int
    distinct: int
    low: int | None
    high: int | None
    items: Callable[[str | None], Iterator[Item]] = field(repr=False)
    """A function that yields the numbers in order, with dates if it gets the name of a date field.
    """
    keys: Keys | None = field(default=None, repr=False)
    """The expressions that the database groups by, or None if the rows were grouped in Python."""
    values: Sequence[Any] = ()
    """The values of these expressions."""


def groups_of(numbering: Any, using: str, *, unnamed: bool = False) -> Iterator[Group]:
    """Yield the groups of all rows that have a scope. A counter can have several groups.

    :param unnamed: also yield the groups of rows without a scope, with the name ``""``.
    """
    keys = keys_of(numbering, connections[using])
    for group in _scanned(numbering, using) if keys is None else _summarized(keys):
        if group.name or unnamed:
            yield group


def keys_of(numbering: Any, connection: BaseDatabaseWrapper) -> Keys | None:
    """Return what the database groups rows by, or None if it can't group them.

    It can't if the scope or a fiscal year in it is a function, or if the scope needs a time zone
    that the database doesn't know: MySQL and MariaDB know time zones only if their time zone tables
    have been loaded.
    """
    if numbering.is_scoped_by_function:
        return None
    try:
        keys = Keys(numbering, connection)
        grouped = rows_in(numbering.model, connection.alias).values(**keys.expressions)
        grouped.query.get_compiler(using=connection.alias).as_sql()
    except NotSupportedError:
        return None
    return keys


class Keys:
    """The expressions that a field's rows are grouped by, and the counters for the values."""

    def __init__(self, numbering: Any, connection: BaseDatabaseWrapper) -> None:
        self.numbering = numbering
        self.connection = connection
        self.expressions: dict[str, Any] = {}
        # For each part: the text of a constant, or the index of its value and the value's field.
        self._ends: list[tuple[int, Any] | str | None] = []
        for part in numbering.scope_parts:
            path = path_of(part)
            if path is None:
                self._ends.append(plain_text(part.value if isinstance(part, Value) else part))
                continue
            fields: list[Any] = fields_of(numbering.model, path)
            # The column of a foreign key has the value of the related row's key.
            repeats = len(fields) == 2 and fields[1] == fields[0].target_field
            end: Any = fields[0] if repeats else fields[-1]
            zoned = has_moments(end)
            if has_odd_dates(end, connection) and not isinstance(part, DateText):
                part = DateText(path, "%Y-%m-%d")
            expression: Any = F(path)
            if isinstance(part, DateText):
                expression = Joined(*part.expressions(expression, zoned=zoned))
                end = None
            self._ends.append((len(self.expressions), end))
            self.expressions[f"sequences_{len(self.expressions)}"] = expression

    def name(self, values: Sequence[Any]) -> str | None:
        """Return the name of the counter for these values, or None for "no number"."""
        if not self._ends:
            return str(self.numbering.base)
        texts = tuple(
            self._text(end[1], values[end[0]]) if isinstance(end, tuple) else end
            for end in self._ends
        )
        if None in texts:
            return None
        return counter_name(self.numbering.base, texts, self.numbering.separator)

    def _text(self, field: Any, value: Any) -> str | None:
        if field is None:  # the text of a period
            return value or None
        return text_of(field, value, self.connection)

    def rows(self, values: Sequence[Any]) -> QuerySet[Any]:
        """Return the rows of the group with these values."""
        rows: QuerySet[Any] = rows_in(self.numbering.model, self.connection.alias)
        rows = rows.alias(**self.expressions)
        return rows.filter(**dict(zip(self.expressions, values, strict=True)))


def _summarized(keys: Keys) -> Iterator[Group]:
    numbering, attname = keys.numbering, keys.numbering.attname
    aggregates = {
        "sequences_rows": Count("*"),
        "sequences_numbered": Count(attname),
        "sequences_distinct": Count(attname, distinct=True),
        "sequences_low": Min(attname),
        "sequences_high": Max(attname),
    }
    rows = rows_in(numbering.model, keys.connection.alias).order_by()
    if grouped := keys.expressions:
        found: Any = (
            rows.values(**grouped).annotate(**aggregates).values_list(*grouped, *aggregates)
        )
    else:
        found = [tuple(rows.aggregate(**aggregates).values())]
    for row in found:
        values, (count, *summary) = row[: len(grouped)], row[len(grouped) :]
        if count:
            numbered, distinct, low, high = summary
            items = partial(_items, keys, values)  # runs a query only when it is called
            name = keys.name(values) or ""
            yield Group(name, count, numbered, distinct, low, high, items, keys, values)


def fetch_together(groups: Iterable[Group], date: str | None) -> None:
    """Read the numbers of several small groups with one query, and keep them in the groups.

    The caller must limit the number of groups to ``TOGETHER``, and that of all rows to ``PAGE``.
    """
    by_keys: dict[Keys, list[Group]] = {}
    for group in groups:
        if group.keys is not None and group.numbered <= PAGE:
            by_keys.setdefault(group.keys, []).append(group)
    for keys, alike in by_keys.items():
        if len(alike) > 1:
            _fetch(keys, alike, date)


def _fetch(keys: Keys, groups: list[Group], date: str | None) -> None:
    attname = keys.numbering.attname
    chosen = [Q(**dict(zip(keys.expressions, group.values, strict=True))) for group in groups]
    which = Case(*(When(q, then=Value(place)) for place, q in enumerate(chosen)))
    rows = rows_in(keys.numbering.model, keys.connection.alias).alias(**keys.expressions)
    rows = rows.filter(reduce(or_, chosen), **{f"{attname}__isnull": False})
    counted = (
        rows.annotate(sequences_group=which)
        .values("sequences_group", attname)
        .annotate(sequences_rows=Count("*"), **_dates(date))
        .order_by("sequences_group", attname)
    )
    found: list[list[Item]] = [[] for _ in groups]
    for place, *item in counted.values_list(
        "sequences_group", attname, "sequences_rows", *_dates(date)
    ):
        found[place].append((*item, None, None) if date is None else tuple(item))
    for group, items in zip(groups, found, strict=True):
        group.items = partial(_known, items)


def _known(items: list[Item], date: str | None) -> Iterator[Item]:
    return iter(items)


def _dates(date: str | None) -> dict[str, Any]:
    return {"sequences_early": Min(date), "sequences_late": Max(date)} if date else {}


def _items(keys: Keys, values: Sequence[Any], date: str | None) -> Iterator[Item]:
    attname, dates = keys.numbering.attname, _dates(date)
    rows = keys.rows(values).order_by(attname).values(attname)
    numbers = rows.annotate(sequences_rows=Count("*"), **dates).values_list(
        attname, "sequences_rows", *dates
    )
    page = list(numbers.filter(**{f"{attname}__isnull": False})[:PAGE])
    while page:
        yield from ((*row, None, None) if date is None else row for row in page)
        page = list(numbers.filter(**{f"{attname}__gt": page[-1][0]})[:PAGE])


def _scanned(numbering: Any, using: str) -> Iterator[Group]:
    """Yield groups of rows whose counters are determined in Python, row by row."""
    numbers: dict[str, array[int]] = {}
    drafts: dict[str, int] = {}
    for page in pages_of(rows_in(numbering.model, using)):
        names = names_if_found(numbering, page, connections[using])
        for row, name in zip(page, names, strict=True):
            number = getattr(row, numbering.attname)
            if number is None:
                drafts[name or ""] = drafts.get(name or "", 0) + 1
            else:
                numbers.setdefault(name or "", array("q")).append(number)
    for name in numbers.keys() | drafts.keys():
        found = array("q", sorted(numbers.get(name, ())))
        low, high = (found[0], found[-1]) if found else (None, None)
        rows = len(found) + drafts.get(name, 0)
        yield Group(name, rows, len(found), len(set(found)), low, high, _kept(found))


def _kept(numbers: array[int]) -> Callable[[str | None], Iterator[Item]]:
    def items(date: str | None) -> Iterator[Item]:
        yield from merged((number, 1, None, None) for number in numbers)

    return items


def pages_of(rows: QuerySet[Any]) -> Iterator[list[Any]]:
    """Yield all rows in lists of up to ``PAGE``, ordered by primary key."""
    rows = rows.order_by("pk")
    page = list(rows[:PAGE])
    while page:
        yield page
        page = list(rows.filter(pk__gt=page[-1].pk)[:PAGE])


def merged(*sources: Iterator[Item]) -> Iterator[Item]:
    """Yield the items of all sources in order, merging the items of the same number."""
    last: Item | None = None
    for item in heapq.merge(*sources, key=lambda item: item[0]):
        if last is None or item[0] != last[0]:
            if last is not None:
                yield last
            last = item
            continue
        early = [date for date in (last[2], item[2]) if date is not None]
        late = [date for date in (last[3], item[3]) if date is not None]
        dates = (min(early, default=None), max(late, default=None))
        last = (last[0], last[1] + item[1], *dates)
    if last is not None:
        yield last
