"""Columns for the parts of a scope, with values as people write them, to identify counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connections, models, router
from django.db.models import Field
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from sequences_core.arguments import MAX_VALUE

from ..audit import texts_of_parts
from ..dates import DAY
from ..identity import text_of
from ..periods import Day, FiscalYear, IsoWeek, Month, Period, Quarter, Year
from ..scopes import fields_of, path_of, rows_in

MOST_OPTIONS = 200
"""The maximum number of options of a select box. With more, the filter is a text box."""


class Column:
    """The column of one part of a field's scope."""

    def __init__(self, field: Any, part: Any, using: str) -> None:
        self.part = part
        self.using = using
        self.path = path_of(part)
        ends = fields_of(field.model, self.path) if self.path else [None]
        repeats = len(ends) == 2 and ends[1] == ends[0].target_field  # type: ignore[union-attr]
        self.end: Any = ends[0] if repeats else ends[-1]
        self.is_constant = self.path is None and not callable(part)
        self.key = self.path or "scope"
        """The name of the GET parameter of its filter."""

    @property
    def name(self) -> str:
        """The heading."""
        if self.end is None:
            return _("Scope")
        named = str(capfirst(self.end.verbose_name))
        if isinstance(self.part, Period):
            return _("%(date)s: %(period)s") % {"date": named, "period": _kind(self.part)}
        return named

    def labels(self, texts: Iterable[str]) -> dict[str, str]:
        """Return the values as people write them."""
        texts = set(texts)
        if isinstance(self.part, Period):
            return {text: period_label(self.part, text) for text in texts}
        if self.end is not None and self.end.is_relation:
            return self._related(texts)
        choices = {} if self.end is None else self._choices()
        return {text: choices.get(text) or self._plain(text) for text in texts}

    def _plain(self, text: str) -> str:
        if isinstance(self.end, models.DateField) and len(text) == 10:
            return _day(text)
        if isinstance(self.end, models.BooleanField):
            return {"True": _("Yes"), "False": _("No")}.get(text, text)
        return text

    def _choices(self) -> dict[str | None, str]:
        connection = connections[self.using]
        return {
            text_of(self.end, value, connection): str(label)
            for value, label in self.end.flatchoices
            if value not in (None, "")
        }

    def _related(self, texts: set[str]) -> dict[str, str]:
        """Return the labels of related rows, also of excluded (by managers) and deleted ones."""
        target: Field[Any, Any] = self.end.target_field
        model = self.end.related_model
        keys = []
        for text in texts:
            try:
                keys.append(_storable(target.to_python(text)))
            except (ValidationError, ValueError):
                continue  # the counter was not created for this field
        # A foreign key that the scope doesn't follow may refer to a table in another database.
        is_here = router.allow_migrate_model(self.using, model)
        rows = rows_in(model, self.using if is_here else router.db_for_read(model))
        found = {
            text_of(self.end, getattr(row, target.attname), connections[self.using]): str(row)
            for row in rows.filter(**{f"{target.attname}__in": keys})
        }
        alike = Counter(found.values())
        labels = {
            text: label if label.strip() and alike[label] == 1 else f"{label} ({text})".strip()
            for text, label in found.items()
            if text is not None
        }
        return {text: labels.get(text) or _("%(key)s (deleted)") % {"key": text} for text in texts}


def _storable(key: Any) -> Any:
    """Return the key; raise ValueError if some drivers can't send it."""
    too_large = isinstance(key, int) and abs(key) > MAX_VALUE
    if too_large or (isinstance(key, str) and "\0" in key):
        raise ValueError(f"no column can store {key!r}")
    return key


class Columns:
    """The columns for the counters of a field."""

    def __init__(self, field: Any, using: str, counters: Collection[str]) -> None:
        self.texts = {name: texts_of_parts(field, name) for name in counters}
        """The texts of the parts of each counter; None for a counter that isn't the field's."""
        columns = [Column(field, part, using) for part in field.scope_parts]
        known = [texts for texts in self.texts.values() if texts is not None]
        self._shown = [
            place
            for place, column in enumerate(columns)
            if not (column.is_constant and len({texts[place] for texts in known}) < 2)
        ]
        self.columns = [columns[place] for place in self._shown]
        seen: dict[str, int] = {}
        for column in self.columns:
            seen[column.key] = seen.get(column.key, 0) + 1
            if seen[column.key] > 1:
                column.key += f"_{seen[column.key]}"

    def shown(self, counter: str) -> list[str] | None:
        """Return the texts of a counter in the visible columns."""
        texts = self.texts[counter]
        return None if texts is None else [texts[place] for place in self._shown]

    def values(self, place: int) -> list[str]:
        """Return the distinct texts in a column, sorted."""
        found = {texts[place] for name in self.texts if (texts := self.shown(name))}
        return sorted(found, key=natural)

    def chosen(self, wanted: dict[str, str]) -> list[str]:
        """Return the counters with these values, sorted.

        :param wanted: the value of each column by its key. An empty value matches all.
        """
        found = [name for name in self.texts if self._fits(name, wanted)]
        return sorted(
            found, key=lambda name: [natural(text) for text in self.texts[name] or [name]]
        )

    def _fits(self, counter: str, wanted: dict[str, str]) -> bool:
        texts = self.shown(counter)
        for place, column in enumerate(self.columns):
            if value := wanted.get(column.key):
                text = texts[place] if texts else None
                inside = isinstance(column.part, Period) and (text or "").startswith(f"{value}-")
                if text != value and not inside:
                    return False
        return True

    def labels(self, counters: Iterable[str]) -> dict[str, list[str]]:
        """Return the values of each of these counters as people write them."""
        shown = {name: texts for name in counters if (texts := self.shown(name)) is not None}
        known = [
            column.labels(texts[place] for texts in shown.values())
            for place, column in enumerate(self.columns)
        ]
        return {
            name: [labels[text] for labels, text in zip(known, texts, strict=True)]
            for name, texts in shown.items()
        }


def natural(text: str) -> tuple[int, int, str]:
    """Return a sort key by which 9 comes before 10, and numbers before words."""
    return (0, int(text), "") if text.isascii() and text.isdigit() else (1, 0, text)


def period_label(part: Period, text: str) -> str:
    """Return the text of a period as people write it: "April 2026" for "2026-04"."""
    try:
        pieces = (each.strip("QW") for each in text.split("-"))
        numbers = [int(each) for each in pieces if each.isdigit()]
        match part, numbers:
            case Quarter(), [year, quarter]:
                return _("Quarter %(quarter)d, %(year)d") % {"quarter": quarter, "year": year}
            case Month(), [year, month]:
                return date_format(date(year, month, 1), "YEAR_MONTH_FORMAT")
            case IsoWeek(), [year, week]:
                return _("Week %(week)d, %(year)d") % {"week": week, "year": year}
            case Day(), [year, month, day]:
                return date_format(date(year, month, day), "DATE_FORMAT")
            case FiscalYear(start=(month, day)), [year, *_rest]:
                first, after = part.range(date(year - (part.named == "end"), month, day))
                if (month, day) != (1, 1) and after is not None:
                    ends = {"first": _month(first), "last": _month(after - DAY)}
                    return _("%(year)s (%(first)s – %(last)s)") % {"year": text, **ends}  # noqa: RUF001 # from, to
    except (ValueError, OverflowError):
        pass  # the counter was not created for this period
    return text


def _month(day: date) -> str:
    return date_format(day, "YEAR_MONTH_FORMAT")


def _day(text: str) -> str:
    try:
        return date_format(date.fromisoformat(text), "DATE_FORMAT")
    except ValueError:
        return text


def _kind(part: Period) -> str:
    kinds = {
        Year: _("year"),
        Quarter: _("quarter"),
        Month: _("month"),
        IsoWeek: _("week"),
        Day: _("day"),
        FiscalYear: _("fiscal year"),
    }
    return next((name for kind, name in kinds.items() if isinstance(part, kind)), _("period"))
