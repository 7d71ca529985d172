"""Maintenance: increase counters behind their rows, delete those of scopes without rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db import NotSupportedError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from sequences_core import delete, get_allocator, set_last_value
from sequences_core.models import Counter
from sequences_core.taking import database_errors

from .groups import groups_of
from .scopes import in_chunks
from .series import all_series, counters_of
from .voids import highest_voids, voided


@dataclass(frozen=True)
class Change:
    """A change of a counter."""

    counter: str
    """The counter's name."""
    before: int | None
    """The last number before the change; None if there was no counter."""
    after: int | None
    """The last number after it, or without ``apply`` what it would be; None if it is deleted."""


def sync(
    model: type[Model] | None = None,
    field: str | None = None,
    *,
    apply: bool = False,
    using: str | None = None,
) -> list[Change]:
    """Increase the counters that are behind the highest number of their rows or voids.

    Counters are locked and increased one by one, and never lowered, so this is safe while other
    transactions take numbers. Sequences with a ``reset_value`` are skipped, since their rows may
    have numbers above the counter.

    :param model: the model; by default all installed models, each in the database of its rows.
    :param apply: write the changes. By default, they are only returned.
    :returns: the changes.
    :raises TypeError, ValueError: there is no such model or field.
    """
    changes: dict[str, list[Change]] = {}
    for alias, series in all_series(model, field, using):
        if not any(each.reset_value is not None for each in series):
            with database_errors(connections[alias], ours=False):
                highest = highest_numbers(series, alias)
            changes.setdefault(alias, []).extend(increases(series, highest, alias))
    for alias, found in changes.items() if apply else ():
        raise_counters(found, alias)
    return [change for found in changes.values() for change in found]


def increases(series: list[Any], lasts: Mapping[str, int | None], using: str) -> list[Change]:
    """Return the changes of the counters that are behind ``lasts`` or a void.

    :param lasts: the number that each counter must not be behind.
    """
    lasts = dict(lasts)
    with database_errors(connections[using]):
        gives_again = any(each.reuse for each in series)
        voids = {} if gives_again else highest_voids(series[0], using)
        for name, number in voids.items():
            lasts[name] = max(number, lasts.get(name) or number)
        there = counters_of(series[0], using)
    return [
        Change(name, there.get(name), last)
        for name, last in sorted(lasts.items())
        if last is not None and last > there.get(name, _start(series) - 1)
    ]


def raise_counters(changes: list[Change], using: str) -> None:
    """Make the changes in the order of the counters' names, in which all calls lock counters."""
    for change in sorted(changes, key=lambda change: change.counter):
        with suppress(ValueError):  # another transaction has raised it in the meantime
            set_last_value(change.after or 0, change.counter, using=using)


def prune(
    model: type[Model] | None = None,
    field: str | None = None,
    *,
    apply: bool = False,
    using: str | None = None,
) -> list[Change]:
    """Delete the counters of scopes that have no rows.

    A scope that gets rows later starts again at the initial value, so use this only if no rows will
    follow, for example after projects were deleted. Counters with voids are kept, and so are those
    of fields without a scope.

    :param model: the model; by default all installed models, each in the database of its rows.
    :param apply: delete the counters. By default, the changes are only returned.
    :returns: the changes.
    :raises TypeError, ValueError: there is no such model or field.
    :raises NotSupportedError: row-level security (PostgreSQL) may hide rows from this user, or
        schemas of tenants share the counters.
    """
    changes: list[tuple[str, Change]] = []
    unused: dict[str, dict[str, list[Any]]] = {}
    for alias, series in all_series(model, field, using):
        if not series[0].scope_parts:
            continue
        with database_errors(connections[alias], ours=False):
            _refuse_hidden_rows(series, connections[alias])
            last = counters_of(series[0], alias)
            # The rows are read after the counters, so that those of a new scope are found.
            empty = sorted(last.keys() - highest_numbers(series, alias).keys())
            void = voided(empty, alias)
        empty = [name for name in empty if name not in void]
        unused.setdefault(alias, {}).update(dict.fromkeys(empty, series))
        changes += [(alias, Change(name, last[name], None)) for name in empty]
    for alias, found in unused.items() if apply else ():
        deleted = _delete(found, alias)
        changes = [(at, each) for at, each in changes if at != alias or each.counter in deleted]
    return [change for _, change in changes]


def highest_numbers(series: Iterable[Any], using: str) -> dict[str, int | None]:
    """Return the highest number of each counter that has rows."""
    highest: dict[str, int | None] = {}
    for field in series:
        for group in groups_of(field, using):
            known = [n for n in (highest.get(group.name), group.high) if n is not None]
            highest[group.name] = max(known, default=None)
    return highest


def _refuse_hidden_rows(series: list[Any], connection: BaseDatabaseWrapper) -> None:
    """Raise NotSupportedError if a policy or a schema hides rows, whose counters seem unused.

    https://www.postgresql.org/docs/15/functions-info.html
    """
    several = get_allocator(connection).namespace(connection)
    if several and not router.allow_migrate_model(connection.alias, Counter):
        raise NotSupportedError(
            f"several schemas share the table of counters of database {connection.alias!r}, and "
            f"this schema doesn't show the rows of the others: call delete() for each counter"
        )
    for field in series if connection.vendor == "postgresql" else ():
        table = field.model._meta.db_table
        with connection.cursor() as cursor:
            quoted = connection.ops.quote_name(table)
            cursor.execute("SELECT row_security_active(%s)", [quoted])
            if cursor.fetchone()[0]:
                raise NotSupportedError(
                    f"row-level security can hide rows of {table!r} from this user, and with them "
                    f"the counters that they use: connect as a user with BYPASSRLS"
                )


def _start(series: list[Any]) -> int:
    """Return the lowest initial value; if one is a function, 0, the lowest possible number."""
    return min(0 if callable(field.initial_value) else field.first for field in series)


def _delete(unused: Mapping[str, list[Any]], using: str) -> set[str]:
    """Delete those of the counters that still have no rows; return their names.

    :param unused: the fields of each counter, by its name.

    The deletion locks the counter. A transaction that takes its numbers either commits before, so
    that its rows are found here and the deletion is rolled back, or starts the counter again after.
    """
    deleted: set[str] = set()
    for chosen in in_chunks(sorted(unused)):  # in the order in which all calls lock counters
        while chosen:
            with transaction.atomic(using=using):
                for name in chosen:
                    delete(name, using=using)
                fields = {field: None for name in chosen for field in unused[name]}
                taken = highest_numbers(fields, using).keys() & set(chosen)
                if taken:
                    transaction.set_rollback(True, using=using)
            if not taken:
                break
            chosen = [name for name in chosen if name not in taken]
        deleted.update(chosen)
    return deleted
