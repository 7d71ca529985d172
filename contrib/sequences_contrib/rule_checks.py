"""System checks of ``SequenceField(ascending=…, maximum=…, warn_below=…)``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError, connections, models, router, transaction
from django.db.models import UniqueConstraint

from sequences_core.models import Counter

from .periods import Period
from .rules import maximum_of
from .scopes import fields_of, is_automatic, path_of, rows_in
from .series import last_values, named_like

KINDS = (models.DateField, models.IntegerField)
"""The fields that ``ascending`` supports; DateTimeField is a subclass of DateField."""

NEWEST = 1000
"""How many of the newest rows are read if the maximum is a function of the instance."""

NAMED = 5
"""How many counters a warning names."""


def check_rules(field: Any, databases: Any = None) -> Iterator[checks.CheckMessage]:
    """Yield the problems of ``ascending`` and ``maximum`` of one field of one model."""
    if field.ascending is not None:
        yield from _check_ascending(field)
    if field.warn_below:
        for alias in databases or ():
            if router.allow_migrate_model(alias, field.model):
                yield from _check_left(field, alias)


def _check_ascending(field: Any) -> Iterator[checks.CheckMessage]:
    try:
        dates: Any = field.model._meta.get_field(field.ascending)
    except FieldDoesNotExist:
        dates = None
    if dates not in field.model._meta.local_concrete_fields or not isinstance(dates, KINDS):
        yield checks.Error(
            f"ascending={field.ascending!r} is not a field of dates, datetimes or integers in this "
            f"model's own table.",
            hint="Name a DateField, a DateTimeField or an integer field of the model.",
            obj=field,
            id="sequences_contrib.E050",
        )
        return
    if is_automatic(dates) or isinstance(dates, models.AutoField):
        yield checks.Error(
            f"ascending={field.ascending!r} is set while the row is inserted, after the number is "
            f"taken.",
            hint="Give the field a default, such as timezone.now, instead of auto_now_add.",
            obj=field,
            id="sequences_contrib.E051",
        )
    if not _has_index(field):
        yield checks.Warning(
            "Each INSERT reads all rows of its counter to find the last date.",
            hint="Declare a unique constraint or an index that begins with the scope's fields, "
            "except for those of periods, followed by the number.",
            obj=field,
            id="sequences_contrib.W051",
        )


def _has_index(field: Any) -> bool:
    """Return whether an index finds the highest number of a scope."""
    options = field.model._meta
    # A period is a range of dates, so an index with the date before the number wouldn't help.
    parts = [part for part in field.scope_parts if not isinstance(part, Period)]
    paths = filter(None, map(path_of, parts))
    scope = {fields_of(field.model, path)[0].name for path in paths}
    if not scope and (field.unique or field.db_index):
        return True
    indexes: list[Sequence[str]] = [*options.unique_together]
    indexes += [index.fields for index in options.indexes]
    indexes += [one.fields for one in options.constraints if isinstance(one, UniqueConstraint)]
    for names in indexes:
        plain = [name.removeprefix("-") for name in names]
        if field.name in plain and scope == set(plain[: plain.index(field.name)]):
            return True
    return False


def _check_left(field: Any, alias: str) -> Iterator[checks.CheckMessage]:
    """Warn of counters that are close to their maximum, unless the tables aren't migrated yet."""
    try:
        with transaction.atomic(using=alias):
            low = list(islice(_low(field, alias), NAMED))
    except DatabaseError:
        return
    if low:
        yield checks.Warning(
            f"Fewer than {field.warn_below} numbers are left on database {alias!r}: "
            + ", ".join(f"{left} of counter {name!r}" for name, left in low),
            hint="Ask for a new range, and give it a counter of its own.",
            obj=field,
            id="sequences_contrib.W050",
        )


def _low(field: Any, alias: str) -> Iterator[tuple[str, int]]:
    """Yield the counters that are close to their maximum, and how many numbers each has left."""
    if not callable(field.maximum):
        counters = named_like(field, Counter.objects.using(alias), "name").order_by("name")
        ending = counters.filter(last__gt=field.maximum - field.warn_below)
        for name, last in ending.values_list("name", "last"):
            yield name, max(field.maximum - last, 0)
        return
    newest = list(rows_in(field.model, alias).order_by("-pk")[:NEWEST])
    named = field.names_of(newest, connections[alias])
    maxima = {
        name: maximum_of(field, row)
        for name, row in zip(reversed(named), reversed(newest), strict=True)
        if name is not None
    }
    for name, last in last_values(maxima, alias).items():
        maximum = maxima[name]
        if maximum is not None and maximum - last < field.warn_below:
            yield name, max(maximum - last, 0)
