"""The audit: prove that no number is missing or duplicated, or report those that are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models
from django.db.models import Model

from sequences_core.taking import database_errors

from .findings import CounterAudit, EarlyDate, Missing, Reading
from .groups import keys_of
from .identity import texts_of_name
from .periods import Period
from .scopes import fields_of
from .series import all_series

__all__ = ["CounterAudit", "EarlyDate", "Missing", "audit"]


def audit(
    model: type[Model] | None = None,
    field: str | None = None,
    *,
    counter: str | None = None,
    period: str | None = None,
    date: str | None = None,
    using: str | None = None,
) -> list[CounterAudit]:
    """Compare the numbers of all rows with their counters; return one result for each counter.

    All rows are read, also those that the model's managers exclude. Models that share counters are
    audited together. Rows that have numbers but no counter, because a part of their scope is null
    or deleted, are one more result, whose ``counter`` is ``""``.

    :param model: the model; by default all installed models, each in the database of its rows.
    :param field: the name of a SequenceField; by default all SequenceFields of the model.
    :param counter: audit only the counter of this name.
    :param period: audit only the counters of this period, and of the periods in it: ``"2026-Q1"``.
    :param date: the name of a date field of the model, which must ascend with the numbers.
    :param using: the database alias. By default, the router chooses it for each model.
    :raises TypeError, ValueError: an argument is invalid, or no model has a SequenceField.
    """
    for name, value in {"field": field, "counter": counter, "period": period, "date": date}.items():
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} must be a str, not {value!r}")
    if date is not None and model is None:
        raise ValueError(f"date={date!r} needs a model")
    found: list[CounterAudit] = []
    for alias, series in all_series(model, field, using):
        _check_date(series, date, alias)
        if model is not None:
            _check_period(series, period)
        with database_errors(connections[alias], ours=False):
            reading = Reading(series, alias, date)
            names = [
                name
                for name in reading.counters
                if counter in (None, name) and (period is None or _is_in(name, period, series))
            ]
            found += reading.results(names)
        if counter is None and period is None and reading.strays is not None:
            found.append(reading.strays)
    return found


def texts_of_parts(field: Any, counter: str) -> list[str] | None:
    """Return the text of each part of a field's scope, parsed from the name of a counter.

    Several texts of one function are joined. None means that the field has no such counter.
    """
    texts = texts_of_name(counter, field.base, field.separator)
    parts = field.scope_parts
    if texts is None or len(texts) == len(parts):
        return None if texts is None else list(texts)
    functions = [place for place, part in enumerate(parts) if callable(part)]
    more = len(texts) - len(parts)
    if len(functions) != 1 or more < 0:
        return None
    place = functions[0]
    together = ", ".join(texts[place : place + more + 1])
    return [*texts[:place], together, *texts[place + more + 1 :]]


def _is_in(counter: str, period: str, series: Iterable[Any]) -> bool:
    """Return whether the counter belongs to this period, or to a period in it."""
    return any(
        isinstance(part, Period) and (text == period or text.startswith(f"{period}-"))
        for field in series
        for part, text in zip(field.scope_parts, texts_of_parts(field, counter) or (), strict=False)
    )


def _check_period(series: list[Any], period: str | None) -> None:
    if period is None:
        return
    if not any(isinstance(part, Period) for field in series for part in field.scope_parts):
        raise ValueError(f"{series[0]} has no period in its scope, so not {period!r} either")


def _check_date(series: Iterable[Any], date: str | None, using: str) -> None:
    for field in series if date is not None else ():
        try:
            last = fields_of(field.model, date or "")[-1]
        except FieldDoesNotExist as error:
            raise ValueError(f"{field.model._meta.label} has no date {date!r}: {error}") from error
        if not isinstance(last, models.DateField | models.IntegerField):
            raise TypeError(f"{last} must be a field of dates or integers")
        if keys_of(field, connections[using]) is None:
            raise ValueError(
                f"dates can't be compared, because the database can't group by the scope of {field}"
            )
