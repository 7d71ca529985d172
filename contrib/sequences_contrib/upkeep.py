"""Counters that don't fit their rows: those behind are raised, those without rows deleted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db import connections, transaction
from django.db.models import Model

from sequences_core import delete, set_last_value
from sequences_core.taking import database_errors

from .groups import groups_of
from .scopes import CHOICES
from .series import counters_of, database_of, fields_of_model, series_key, series_of
from .voids import highest_voids, voided


@dataclass(frozen=True)
class Change:
    """A counter, where it was, and where it is now, or would be; None for no such counter."""

    counter: str
    before: int | None
    after: int | None


def sync(
    model: type[Model], field: str | None = None, *, apply: bool = False, using: str | None = None
) -> list[Change]:
    """Raise the counters that are behind the highest number of their rows and voids; return which.

    Nothing is written unless ``apply`` is true. Counters are raised one by one, under their locks,
    and never lowered, so it may run while others take numbers. A sequence with a ``reset_value``
    is left alone: its numbers may be above the counter.

    :raises TypeError, ValueError: no such model or field.
    """
    changes: list[Change] = []
    for alias, series in all_series(model, field, using):
        if not any(each.reset_value is not None for each in series):
            with database_errors(connections[alias], ours=False):
                highest = highest_numbers(series, alias)
            changes += raise_counters(series, highest, apply=apply, using=alias)
    return changes


def raise_counters(
    series: list[Any], lasts: Mapping[str, int | None], *, apply: bool, using: str
) -> list[Change]:
    """Raise the counters that are behind the numbers given for them, or a void; return which."""
    lasts = dict(lasts)
    with database_errors(connections[using]):
        gives_again = any(each.reuse for each in series)
        voids = {} if gives_again else highest_voids(series[0], using)
        for name, number in voids.items():
            lasts[name] = max(number, lasts.get(name) or number)
        there = counters_of(series[0], using)
    changes = [
        Change(name, there.get(name), last)
        for name, last in sorted(lasts.items())
        if last is not None and last > there.get(name, _start(series) - 1)
    ]
    for change in changes if apply else ():
        with suppress(ValueError):  # somebody has taken it further meanwhile
            set_last_value(change.after or 0, change.counter, using=using)
    return changes


def prune(
    model: type[Model], field: str | None = None, *, apply: bool = False, using: str | None = None
) -> list[Change]:
    """Delete the counters of scopes that have no rows any more; return which.

    Nothing is written unless ``apply`` is true. A scope that gets rows later starts anew, so prune
    only what is gone for good, such as the counters of deleted projects. A counter that has
    voids stays, and so does that of a field without a scope.

    :raises TypeError, ValueError: no such model or field.
    """
    changes: list[Change] = []
    for alias, series in all_series(model, field, using):
        if not series[0].scope_parts:
            continue
        with database_errors(connections[alias], ours=False):
            last = counters_of(series[0], alias)
            # The rows are read after the counters: a scope that is new has them by now.
            empty = sorted(last.keys() - highest_numbers(series, alias).keys())
            void = voided(empty, alias)
        empty = [name for name in empty if name not in void]
        if apply:
            empty = _delete(series, empty, alias)
        changes += [Change(name, last[name], None) for name in empty]
    return changes


def all_series(
    model: type[Model], field: str | None, using: str | None
) -> list[tuple[str, list[Any]]]:
    """Return the database and the fields of each series that numbers the model, once."""
    found: dict[tuple[str, str], tuple[str, list[Any]]] = {}
    for each in fields_of_model(model, field):
        alias = database_of(each, using)
        found.setdefault(series_key(each), (alias, series_of(each, alias)))
    return list(found.values())


def highest_numbers(series: list[Any], using: str) -> dict[str, int | None]:
    """Return the highest number of each counter that has rows."""
    highest: dict[str, int | None] = {}
    for field in series:
        for group in groups_of(field, using):
            known = [n for n in (highest.get(group.name), group.high) if n is not None]
            highest[group.name] = max(known, default=None)
    return highest


def _start(series: list[Any]) -> int:
    """Return the lowest initial value; where that is a function, any number is past it."""
    return min(-1 if callable(field.initial_value) else field.first for field in series)


def _delete(series: list[Any], names: list[str], using: str) -> list[str]:
    """Delete those of the counters that nobody has rows for by now.

    Deleting locks a counter, so that whoever takes its numbers comes before, and has committed a
    row that is seen here, or after, and starts anew.
    """
    deleted: list[str] = []
    for start in range(0, len(names), CHOICES):
        chosen = names[start : start + CHOICES]
        while chosen:
            with transaction.atomic(using=using):
                for name in chosen:  # in the order in which all who take several lock them
                    delete(name, using=using)
                taken = highest_numbers(series, using).keys() & set(chosen)
                if taken:
                    transaction.set_rollback(True, using=using)
            if not taken:
                break
            chosen = [name for name in chosen if name not in taken]
        deleted += chosen
    return deleted
