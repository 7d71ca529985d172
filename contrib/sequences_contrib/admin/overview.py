"""The contents of a field's audit page: the selected counters and their findings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.core.paginator import Page, Paginator
from django.db import connections, models
from django.http import QueryDict
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..findings import CounterAudit, Reading
from ..groups import keys_of
from ..models import Void
from ..scopes import fields_of
from ..series import database_of, series_of
from .chart import Chart, chart_of
from .columns import MOST_OPTIONS, Column, Columns
from .words import Range, is_explained, ranges_of, sentences

PER_PAGE = 50
"""Counters on a page."""

FEW, MANY = 20, 500
"""How many missing numbers and voids of a counter are listed with other counters, and alone."""


@dataclass
class Filter:
    """A filter above the table."""

    key: str
    name: str
    value: str
    options: list[tuple[str, str]] | None
    """Values and their labels; None if there are too many, so that the filter is a text box."""


@dataclass
class Row:
    """A row of the table, which shows one counter."""

    result: CounterAudit
    labels: list[str] | None
    """The values in the columns; None if they can't be determined from the counter's name."""
    sentences: list[str]
    ranges: list[Range] = field(default_factory=list)
    more: int = 0
    """How many ranges are not shown."""

    @property
    def title(self) -> str:
        """The heading of the counter."""
        return " · ".join(self.labels) if self.labels else self.result.counter

    @property
    def is_explained(self) -> bool:
        """Whether numbers are missing, but all of them are explained."""
        return is_explained(self.result)


def name_of(field: Any) -> str:
    """Return the human-readable name of a numbered field."""
    names = {"model": field.model._meta.verbose_name, "field": field.verbose_name}
    return str(capfirst(_("%(model)s: %(field)s") % names))


class Overview:
    """The counters of a field, filtered by the parameters of a GET request."""

    def __init__(self, field: Any, query: QueryDict) -> None:
        self.field = field
        self.query = query
        self.using = database_of(field, None)
        self.series = series_of(field, self.using)
        self.dates = self._dates()
        chosen = query.get("_dates", field.ascending or "")
        self.date = chosen if chosen in self.dates else ""
        self.reading = Reading(self.series, self.using, self.date or None)
        self._all = Columns(field, self.using, self.reading.counters)
        self.only = query.get("_counter", "")
        self.only_findings = query.get("_show") == "findings"
        self._wanted = {column.key: query.get(column.key, "") for column in self.columns}

    @property
    def columns(self) -> list[Column]:
        """The parts of the scope."""
        return self._all.columns

    @property
    def others(self) -> str:
        """The other fields whose rows these counters may number."""
        return ", ".join(name_of(other) for other in self.series if other is not self.field)

    @cached_property
    def chosen(self) -> list[str]:
        """The names of the counters that match the filters, sorted."""
        names = self._all.chosen(self._wanted)
        if self.only:
            names = [name for name in names if name == self.only]
        if self.only_findings:
            results = self.reading.results([name for name in names if name in self.doubtful])
            told = {each.counter for each in results if each.missing or not each.is_clean}
            names = [name for name in names if name in told]
        return names

    @cached_property
    def doubtful(self) -> set[str]:
        """The counters that may have findings or voids: their summary doesn't exclude it."""
        return {name for name in self.reading.counters if not self.reading.is_plain(name)}

    @property
    def is_filtered(self) -> bool:
        """Whether the filters exclude counters."""
        return len(self.chosen) < len(self.reading.counters)

    @cached_property
    def page(self) -> Page[str]:
        """The names of the counters on this page."""
        return Paginator(self.chosen, PER_PAGE).get_page(self.query.get("_page"))

    def all_results(self) -> Iterator[CounterAudit]:
        """Yield the results of the counters that match the filters, and of stray rows."""
        yield from self.reading.results(sorted(self.chosen))
        if self.reading.strays is not None and not self.is_filtered:
            yield self.reading.strays

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of the table."""
        names = list(self.page)
        results = list(self.reading.results(names))
        labels = self._all.labels(names)
        limit = MANY if len(results) == 1 else FEW
        voids = self._voids(results, limit)
        rows = []
        for result in results:
            told = sentences(result, self.reading.loops)
            ranges = ranges_of(result, voids, limit)
            row = Row(result, labels.get(result.counter), told, ranges[:limit])
            row.more = max(0, len(ranges) - limit)
            rows.append(row)
        return rows

    @property
    def detailed(self) -> list[Row]:
        """The rows with missing or void numbers."""
        return [row for row in self.rows if row.ranges]

    @cached_property
    def printed(self) -> dict[str, str]:
        """The texts of the first and the last number, if only one counter is shown."""
        if len(self.rows) != 1:
            return {}
        result = self.rows[0].result
        found: dict[int | None, str] = {}
        for group in self.reading.groups(result.counter):
            if group.keys is not None and (texts := group.keys.numbering.texts):
                number = group.keys.numbering.attname
                ends = {f"{number}__in": [result.first, result.last]}
                rows = group.keys.rows(group.values).filter(**ends)
                found.update(rows.values_list(number, texts[0].attname))
        return {"first": found.get(result.first, ""), "last": found.get(result.last, "")}

    def _voids(self, results: list[CounterAudit], limit: int) -> dict[tuple[str, int], Void]:
        """Return the entries of the register for the visible void numbers."""
        wanted: dict[str, list[int]] = {}
        for result in results:
            for missing in result.missing[:limit]:
                if missing.explained == "void":
                    void = range(missing.first, missing.last + 1)[:limit]
                    wanted.setdefault(result.counter, []).extend(void)
        if not wanted:
            return {}
        numbers = {number for each in wanted.values() for number in each[:limit]}
        found = Void.objects.using(self.using).filter(counter__in=wanted, number__in=numbers)
        return {(void.counter, void.number): void for void in found}

    @property
    def verdict(self) -> tuple[str, str]:
        """The state, "ok", "explained", "bad" or "", and a sentence that describes it."""
        alone = _("Some numbers need an explanation.")
        if self.reading.strays and not self.is_filtered:
            return "bad", alone
        if not self.chosen:
            return "", _("No counter matches these filters.") if self.is_filtered else _(
                "No numbers yet."
            )
        if self.reading.loops:
            return "", _("These numbers start again, so missing numbers can't be detected.")
        unclean = sum(not row.result.is_clean for row in self.rows)
        if unclean:
            text = ngettext(
                "%(count)d counter on this page needs an explanation.",
                "%(count)d counters on this page need an explanation.",
                unclean,
            )
            return "bad", text % {"count": unclean} if len(self.rows) > 1 else alone
        doubtful = self.doubtful.intersection(self.chosen)
        if doubtful - set(self.page):
            return "", _("Nothing on this page needs an explanation. Look at the other pages, too.")
        if any(row.is_explained for row in self.rows):
            return "explained", _("Each missing number is explained.")
        return "ok", _("Nothing is missing: every number from the first to the last has its row.")

    @cached_property
    def filters(self) -> list[Filter]:
        """The filters for each part of the scope, and the choice of a date field."""
        filters = []
        for place, column in enumerate(self.columns):
            values, value = self._all.values(place), self._wanted[column.key]
            options = None
            if len(values) <= MOST_OPTIONS:
                if value and value not in values:
                    values.append(value)
                labels = column.labels(values)
                options = [("", _("All")), *((text, labels[text]) for text in values)]
            filters.append(Filter(column.key, column.name, value, options))
        if self.dates:
            none = ("", _("Don't compare"))
            name = _("Compare the order with the dates of")
            filters.append(Filter("_dates", name, self.date, [none, *self.dates.items()]))
        return filters

    def _dates(self) -> dict[str, str]:
        """Return the date fields that all models have in common, if the database can group rows."""
        connection = connections[self.using]
        if any(keys_of(each, connection) is None for each in self.series):
            return {}
        found = {}
        for own in self.field.model._meta.concrete_fields:
            if isinstance(own, models.DateField) and self._all_have(own.name):
                found[own.name] = str(capfirst(own.verbose_name))
        return found

    def _all_have(self, name: str) -> bool:
        try:
            return all(fields_of(each.model, name) for each in self.series)
        except FieldDoesNotExist:
            return False

    @cached_property
    def chart(self) -> Chart | None:
        """The chart of numbers over dates, if only one counter is shown."""
        if len(self.rows) != 1 or not self.dates:
            return None
        periods = [column.path for column in self.columns if column.path in self.dates]
        date = self.date or (periods or list(self.dates))[0]
        assert date is not None
        return chart_of(self.reading, self.rows[0].result, date, self.dates[date])
