"""Choose the allocator of a database by the settings and the installed entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.module_loading import import_string
from stevedore.driver import DriverManager

from .allocator import PROTOCOL, Allocator
from .exceptions import (
    BackendConflict,
    BackendError,
    BackendImportFailed,
    BackendInvalid,
    BackendNotFound,
)
from .table import table_parts

__all__ = [
    "GROUP",
    "asks_for_early_release",
    "backend_choice",
    "default_allocator",
    "forget_allocators",
    "get_allocator",
    "installed_backends",
]

GROUP = "sequences_core.backends"
FALLBACK = "orm"

_allocators: dict[str, Allocator] = {}


def get_allocator(connection: BaseDatabaseWrapper) -> Allocator:
    """Return the allocator of this connection's alias; raise BackendError if there is none.

    It is looked up once for each alias. All threads get the same instance.
    """
    allocators = _allocators  # forget_allocators() may replace the dict meanwhile
    allocator = allocators.get(connection.alias)
    if allocator is None:
        found = _load(connection, *backend_choice(connection))
        if len(table_parts()) > 1 and not found.has_schemas(connection):
            raise BackendInvalid(
                f"SEQUENCES_TABLE = {'.'.join(table_parts())!r} names a schema, but database "
                f"{connection.alias!r} of vendor {connection.vendor!r} has no schemas"
            )
        asks_for_early_release(connection.alias)  # raises BackendInvalid for an invalid setting
        allocator = allocators.setdefault(connection.alias, found)
    return allocator


def asks_for_early_release(alias: str) -> bool:
    """Return the value of ``SEQUENCES_EARLY_RELEASE`` for this database.

    :raises BackendInvalid: the setting is invalid.
    """
    choice = getattr(settings, "SEQUENCES_EARLY_RELEASE", False)
    choices = choice if isinstance(choice, dict) else {alias: choice}
    if unknown := sorted(set(map(str, choices)) - {*connections, alias}):
        problem = f"DATABASES has no {' and no '.join(map(repr, unknown))}"
    elif not all(isinstance(each, bool) for each in choices.values()):
        problem = "it must be True, False, or a dict that maps database aliases to these"
    else:
        return choices.get(alias, False)
    raise BackendInvalid(f"SEQUENCES_EARLY_RELEASE = {choice!r}: {problem}")


def default_allocator(connection: BaseDatabaseWrapper) -> Allocator:
    """Return the allocator that "auto" would choose, regardless of SEQUENCES_BACKEND."""
    return _load(connection, *_automatic_choice(connection))


def _load(connection: BaseDatabaseWrapper, asked_by: str, choice: str) -> Allocator:
    if "." in choice:
        allocator_class = _from_path(choice, asked_by)
    else:
        allocator_class = _from_name(choice, asked_by)
    allocator = _instance(allocator_class, choice, asked_by)
    if allocator.vendors is not None and connection.vendor not in allocator.vendors:
        raise _error(
            BackendInvalid,
            asked_by,
            f"{choice!r} supports databases of vendor {' or '.join(sorted(allocator.vendors))}, "
            f"but database {connection.alias!r} is of vendor {connection.vendor!r}",
        )
    return allocator


def backend_choice(connection: BaseDatabaseWrapper) -> tuple[str, str]:
    """Return what chooses the backend of a database, and the choice: a name or a dotted path.

    :raises BackendError: the setting is invalid, or no backend is installed for the database.
    """
    setting, choice = "SEQUENCES_BACKEND", getattr(settings, "SEQUENCES_BACKEND", "auto")
    if isinstance(choice, dict):
        if unknown := sorted(set(map(str, choice)) - {*connections, connection.alias}):
            problem = f"DATABASES has no {' and no '.join(map(repr, unknown))}"
            raise _error(BackendInvalid, f"{setting} = {choice!r}", problem)
        setting = f"{setting}[{connection.alias!r}]"
        choice = choice.get(connection.alias, "auto")
    if not isinstance(choice, str) or not choice:
        raise _error(
            BackendInvalid,
            f"{setting} = {choice!r}",
            "it must be 'auto', the name of an entry point, a dotted path, or a dict that maps "
            "database aliases to these",
        )
    if choice != "auto":
        return f"{setting} = {choice!r}", choice
    return _automatic_choice(connection)


def _automatic_choice(connection: BaseDatabaseWrapper) -> tuple[str, str]:
    asked_by, vendor = f"Database {connection.alias!r}", connection.vendor
    engine = connection.settings_dict["ENGINE"]
    if "." not in engine and _find(engine):  # an engine may reuse the vendor of another one
        return f"{asked_by} of engine {engine!r}", engine
    if _find(vendor):
        return f"{asked_by} of vendor {vendor!r}", vendor
    if _find(FALLBACK):
        return f"{asked_by} of vendor {vendor!r}, which has no backend of its own", FALLBACK
    raise _error(
        BackendNotFound,
        f"{asked_by} of vendor {vendor!r}",
        f"neither the sequences backend {vendor!r} nor {FALLBACK!r} is installed. {_hint(vendor)}",
    )


def _from_name(name: str, asked_by: str) -> Any:
    found = _find(name)
    if not found:
        problem = f"the sequences backend {name!r} is not installed. {_hint(name)}"
        raise _error(BackendNotFound, asked_by, problem)
    if len(found) > 1:
        claims = " and ".join(f"{distribution_of(entry)} ({entry.value})" for entry in found)
        raise _error(
            BackendConflict,
            asked_by,
            f"the sequences backend {name!r} is registered by {claims}. Uninstall one, or choose "
            f"one by its dotted path, such as '{found[0].module}.{found[0].attr}'",
        )
    try:
        return _Driver(found[0]).driver
    except Exception as error:
        raise _error(
            BackendImportFailed,
            asked_by,
            f"the sequences backend {name!r} of {distribution_of(found[0])} is installed, but "
            f"importing {found[0].value} failed: {type(error).__name__}: {error}",
        ) from error


class _Driver(DriverManager):  # type: ignore[type-arg] # stevedore 5.4 has no parameter
    """Load the given entry point, not one from stevedore's cache.

    stevedore 5 caches entry points without their distributions, in the process and in files that
    remain after a reinstallation, and its DriverManager doesn't report what else is installed.
    """

    def __init__(self, entry: EntryPoint) -> None:
        self._entry = entry
        super().__init__(GROUP, entry.name)

    def list_entry_points(self) -> list[EntryPoint]:
        return [self._entry]


def _from_path(path: str, asked_by: str) -> Any:
    try:
        return import_string(path)
    except Exception as error:
        problem = f"importing {path} failed: {type(error).__name__}: {error}"
        raise _error(BackendImportFailed, asked_by, problem) from error


def _instance(allocator_class: Any, choice: str, asked_by: str) -> Allocator:
    if not (isinstance(allocator_class, type) and issubclass(allocator_class, Allocator)):
        raise _error(
            BackendInvalid,
            asked_by,
            f"{choice!r} is {allocator_class!r}, not a subclass of sequences_core.Allocator",
        )
    protocol = getattr(allocator_class, "protocol", None)
    if protocol != PROTOCOL:
        raise _error(
            BackendInvalid,
            asked_by,
            f"{choice!r} was written for version {protocol} of the allocator protocol, but "
            f"sequences_core has version {PROTOCOL}. Install compatible releases of both",
        )
    try:
        return allocator_class()
    except Exception as error:
        problem = f"{choice!r} can't be used: {type(error).__name__}: {error}"
        raise _error(BackendInvalid, asked_by, problem) from error


def installed_backends() -> list[EntryPoint]:
    """Return the entry points of all backends, sorted by name; loading one may fail."""
    return sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, distribution_of(entry)))


def _find(name: str) -> list[EntryPoint]:
    """Return the entry points of this name, once for each distribution."""
    return sorted(entry_points(group=GROUP, name=name), key=distribution_of)


def distribution_of(entry: EntryPoint) -> str:
    """Return the name of the distribution that registers an entry point, for a message."""
    return entry.dist.name if entry.dist else "an unknown distribution"


def _hint(name: str) -> str:
    # The core's extras list the known backends, so that no code has to name them.
    for core in distributions(name="sequences-core"):
        if name in (core.metadata.get_all("Provides-Extra") or ()):
            return f'Try: pip install "sequences-core[{name}]"'
    return (
        f"Install the distribution that registers it in the entry-point group {GROUP!r}, or "
        f"sequences-orm, which supports any database"
    )


def _error(kind: type[BackendError], asked_by: str, problem: str) -> BackendError:
    installed = ", ".join(sorted(entry_points(group=GROUP).names)) or "none"
    return kind(f"{asked_by}: {problem}. Installed backends: {installed}.")


def forget_allocators(*, setting: str | None = None, **kwargs: Any) -> None:
    """Empty the cache after a setting has changed."""
    global _allocators
    if setting in {None, "SEQUENCES_BACKEND", "SEQUENCES_EARLY_RELEASE", "DATABASES"}:
        _allocators = {}
