"""System checks for settings and code that would cause gaps, duplicates or errors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import Any

from django.apps import apps
from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from . import api, taking
from .allocator import FUNCTION
from .exceptions import BackendError
from .models import Counter, has_table
from .registry import asks_for_early_release, get_allocator
from .waits import slow_wait

NO_DATABASE = "django.db.backends.dummy"
"""The engine of an alias without settings, such as an unused default."""


@register()
def check_settings(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Check the settings of every database where the router allows the table of counters."""
    mode = getattr(settings, "SEQUENCES_AUTOCOMMIT", "warn")
    if mode not in ("allow", "warn", "error"):  # a tuple, because mode may be unhashable
        yield Error(
            f"SEQUENCES_AUTOCOMMIT is {mode!r}.",
            hint="Use 'allow', 'warn' or 'error'.",
            id="sequences_core.E003",
        )
    try:
        slow_wait()
    except ImproperlyConfigured as error:
        yield Error(
            f"{error}.",
            hint="Use a number of seconds, such as 1 or 0.5, or None to disable the warnings.",
            id="sequences_core.E005",
        )
    real = [each for each in connections.all() if each.settings_dict["ENGINE"] != NO_DATABASE]
    holders = [each for each in real if router.allow_migrate_model(each.alias, Counter)]
    found = [message for connection in holders for message in check_connection(connection)]
    yield from {str(message): message for message in found}.values()
    alias = router.db_for_write(Counter)
    # If the router allows the table nowhere, its answer depends on more than the database, such as
    # the current schema of django-tenants, and doesn't show where numbers are taken.
    if holders and connections[alias] in real and connections[alias] not in holders:
        yield Error(
            f"Numbers are taken from database {alias!r}, but the router doesn't allow the table "
            f"of counters there.",
            hint=f"Let allow_migrate({alias!r}, {Counter._meta.app_label!r}) return True, or let "
            f"db_for_write() return the database that has the counters.",
            id="sequences_core.E004",
        )


@register()
def check_defaults(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Check that no field's default takes numbers: Django calls it for unsaved instances, too."""
    labels = None if app_configs is None else {config.label for config in app_configs}
    for model in apps.get_models(include_auto_created=True):
        if labels is not None and model._meta.app_label not in labels:
            continue
        for field in model._meta.local_fields:
            if _takes_numbers(field.default):
                yield Warning(
                    "The default of this field takes a number whenever an instance is created, "
                    "also for each form. The numbers of instances that are never saved are lost.",
                    hint="Use the SequenceField of sequences-contrib, take the number in save() "
                    "in a transaction, or use db_default=NextValue(...) if the database allows it.",
                    obj=field,
                    id="sequences_core.W002",
                )


TAKERS = (
    api.get_next_value,
    api.get_next_values,
    api.get_next_blocks,
    taking.take,
    api.Sequence.get_next_value,
    api.Sequence.get_next_values,
    api.Sequence.__next__,
)


TAKER_NAMES = {"next"} | {taker.__name__ for taker in TAKERS}


def _takes_numbers(default: Any, seen: set[Any] | None = None) -> bool:
    """Return whether this is one of our functions or methods, or wraps or calls one.

    :param seen: the functions that were looked at already.
    """
    seen = set() if seen is None else seen
    if isinstance(default, api.Sequence):  # as in partial(next, Sequence("name"))
        return True
    if isinstance(default, functools.partial):
        parts = (default.func, *default.args, *default.keywords.values())
        return any(_takes_numbers(part, seen) for part in parts)
    if not callable(default):
        return False
    function = inspect.unwrap(getattr(default, "__func__", default))
    if not isinstance(function, FunctionType | type):
        function = type(function).__call__
    if function in TAKERS:
        return True
    if not isinstance(function, FunctionType) or function in seen:
        return False
    seen.add(function)
    return _calls_taker(function, seen)


def _calls_taker(function: FunctionType, seen: set[Any]) -> bool:
    """Return whether the code of a function refers to one of ours, directly or through others."""
    names = set(function.__code__.co_names)
    if __package__ in names and names & TAKER_NAMES:  # as in sequences_core.get_next_value()
        return True
    used: dict[str, Any] = {}
    with suppress(ValueError):  # a variable of an enclosing function has no value yet
        variables = inspect.getclosurevars(function)
        used = {**variables.globals, **variables.nonlocals}
    for value in used.values():
        kind = type(value)  # isinstance() would evaluate a lazy object
        if issubclass(kind, api.Sequence):
            if names & TAKER_NAMES:
                return True
        elif issubclass(kind, ModuleType):
            if any(vars(value).get(name) is taker for name in names for taker in TAKERS):
                return True
        elif kind is FunctionType and _takes_numbers(value, seen):
            return True
    return False


@register(Tags.database)
def check_functions(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Check that the function of NextValue exists and is current, if the backend has one."""
    for alias in databases or ():
        connection = connections[alias]
        try:
            allocator = get_allocator(connection)
        except BackendError:
            continue  # check_settings() reports it
        if not allocator.supports_function:
            continue
        if has_table(connection) and not allocator.is_installed(connection):
            yield Warning(
                f"Database {alias!r} has no current function {FUNCTION} that its user may "
                f"execute: numbers are taken by separate statements, and NextValue can't be used.",
                hint=f"Run manage.py sequences install --database={alias}",
                id="sequences_core.W001",
            )


@register(Tags.database)
def check_early_release(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Check that the database's user has the privileges that early release needs."""
    for connection in map(connections.__getitem__, databases or ()):
        with suppress(BackendError):  # check_settings() reports it
            allocator = get_allocator(connection)
            if asks_for_early_release(connection.alias):
                yield from allocator.check_early_release(connection)


def check_connection(connection: BaseDatabaseWrapper) -> Iterable[CheckMessage]:
    """Check the settings of one database."""
    try:
        allocator = get_allocator(connection)
    except BackendError as error:
        yield Error(str(error), id="sequences_core.E001")
        return
    if allocator.reads_uncommitted(connection):
        yield Error(
            f"Database {connection.alias!r} is set to READ UNCOMMITTED: transactions see numbers "
            f"that are rolled back later, so that a number could be given twice.",
            hint="Use READ COMMITTED.",
            id="sequences_core.E002",
        )
    if not allocator.can_release_early and asks_for_early_release(connection.alias):
        yield Info(
            f"SEQUENCES_EARLY_RELEASE has no effect on database {connection.alias!r}: "
            f"{type(allocator).__name__} can't release a counter before its commit is durable.",
            id="sequences_core.I001",
        )
    yield from allocator.check(connection)
