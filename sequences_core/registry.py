"""From the setting ``SEQUENCES_BACKEND`` and the installed entry points to an Allocator."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.module_loading import import_string
from stevedore.driver import DriverManager

from .allocator import PROTOCOL, Allocator
from .exceptions import BackendConflict, BackendImportFailed, BackendInvalid, BackendNotFound

GROUP = "sequences_core.backends"
FALLBACK = "orm"

_allocators: dict[str, Allocator] = {}


def get_allocator(connection: BaseDatabaseWrapper) -> Allocator:
    """Return the allocator that serves this connection's alias; raise BackendError if none can.

    Looked up once per alias. Two threads that look at the same time both find the same.
    """
    allocator = _allocators.get(connection.alias)
    if allocator is None:
        allocator = _allocators[connection.alias] = _load(connection)
    return allocator


def installed_backends() -> list[str]:
    """Return the names of all registered backends, sorted; imports none of them."""
    return sorted(entry_points(group=GROUP).names)


def _load(connection: BaseDatabaseWrapper) -> Allocator:
    choice: Any = getattr(settings, "SEQUENCES_BACKEND", "auto")
    asked_by = f"SEQUENCES_BACKEND = {choice!r}"
    if isinstance(choice, dict):
        choice = choice.get(connection.alias, "auto")
    if not isinstance(choice, str) or not choice:
        raise BackendInvalid(
            f"{asked_by}: a backend for database {connection.alias!r} is the name of an entry "
            f"point, a dotted path, or 'auto', not {choice!r}"
        )
    if choice == "auto":
        asked_by = f"database {connection.alias!r} (vendor {connection.vendor!r})"
        choice = connection.vendor if _find(connection.vendor) else FALLBACK
    allocator_class = (
        _from_path(choice, asked_by) if "." in choice else _from_name(choice, asked_by)
    )
    _check_class(allocator_class, choice, asked_by)
    return allocator_class()  # type: ignore[no-any-return]


def _find(name: str) -> list[EntryPoint]:
    """Return the entry points of that name; one found twice on sys.path counts once."""
    found = {(_distribution(entry), entry.value): entry for entry in _named(name)}
    return list(found.values())


def _named(name: str) -> Iterable[EntryPoint]:
    return entry_points(group=GROUP, name=name)


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown distribution"


def _from_name(name: str, asked_by: str) -> Any:
    # importlib.metadata, not stevedore, does the diagnosis: stevedore 5's cached entry points
    # know no distribution, and its DriverManager lists no alternatives.
    found = _find(name)
    if not found:
        installed = ", ".join(installed_backends()) or "none"
        raise BackendNotFound(
            f"{asked_by} asks for the sequences backend {name!r}, which is not installed "
            f"(installed: {installed}). Try: pip install sequences-{name}"
        )
    if len(found) > 1:
        claims = " and ".join(sorted(f"{_distribution(entry)} ({entry.value})" for entry in found))
        path = min(entry.value for entry in found).replace(":", ".")
        raise BackendConflict(
            f"{asked_by} asks for the sequences backend {name!r}, which is claimed by {claims}. "
            f"Uninstall one, or choose by dotted path, such as SEQUENCES_BACKEND = {path!r}"
        )
    try:
        return DriverManager(GROUP, name).driver
    except Exception as error:
        raise BackendImportFailed(
            f"{asked_by} asks for the sequences backend {name!r} of {_distribution(found[0])}, "
            f"but importing {found[0].value} failed: {type(error).__name__}: {error}"
        ) from error


def _from_path(path: str, asked_by: str) -> Any:
    try:
        return import_string(path)
    except Exception as error:
        raise BackendImportFailed(
            f"{asked_by} asks for the allocator {path!r}, but importing it failed: "
            f"{type(error).__name__}: {error}. Installed backends: "
            f"{', '.join(installed_backends()) or 'none'}"
        ) from error


def _check_class(allocator_class: Any, choice: str, asked_by: str) -> None:
    if not (isinstance(allocator_class, type) and issubclass(allocator_class, Allocator)):
        raise BackendInvalid(
            f"{asked_by}: {choice!r} leads to {allocator_class!r}, which is no subclass of "
            f"sequences_core.Allocator"
        )
    protocol = getattr(allocator_class, "protocol", None)
    if protocol != PROTOCOL:
        raise BackendInvalid(
            f"{asked_by}: {choice!r} was written for version {protocol} of the allocator "
            f"protocol, sequences_core speaks version {PROTOCOL}: install releases of both that "
            f"agree"
        )


def _reset(*, setting: str, **kwargs: Any) -> None:
    if setting in {"SEQUENCES_BACKEND", "DATABASES"}:
        _allocators.clear()


setting_changed.connect(_reset, dispatch_uid="sequences_core.registry")
