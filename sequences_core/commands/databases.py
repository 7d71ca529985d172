"""The subcommands about databases and their backends."""

from __future__ import annotations

import warnings
from importlib.metadata import EntryPoint
from typing import Any

from django.core.management.base import CommandError
from django.db import connections

from sequences_core.allocator import FUNCTION
from sequences_core.exceptions import BackendError
from sequences_core.operations import install
from sequences_core.registry import backend_choice, get_allocator, installed_backends
from sequences_core.subcommands import Subcommand
from sequences_core.taking import database_errors


class Install(Subcommand):
    """Does what ``migrate`` did for the backend of that time."""

    help = "Prepare the database for its backend, as migrate did for the one of that time."

    def handle(self, **options: Any) -> None:
        alias = self.alias(options)
        connection = connections[alias]
        allocator = get_allocator(connection)
        with database_errors(connection), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            install(connection)
            complete = not allocator.supports_function or allocator.is_installed(connection)
        said = " ".join(str(warning.message) for warning in caught)
        if not complete:
            raise CommandError(said or f"Database {alias!r} has no function {FUNCTION} afterwards.")
        if said:
            self.warn(said)
        self.report(f"Database {alias!r} is ready for {type(allocator).__name__}.")


class Backends(Subcommand):
    """Connects to no database."""

    help = "Show the installed backends, and which of them serves each database, and why."

    def handle(self, **options: Any) -> None:
        header = ("backend", "class", "distribution", "version", "vendors")
        self.write_table(header, map(_backend, installed_backends()))
        self.command.stdout.write("")
        aliases = [options["database"]] if options["database"] else list(connections)
        header = ("database", "vendor", "backend", "class", "chosen by")
        self.write_table(header, map(_database, aliases))


def _backend(entry: EntryPoint) -> tuple[str, ...]:
    """Return the cells of an installed backend; one that can't be imported says why."""
    try:
        vendors = entry.load().vendors
        served = "any" if vendors is None else ", ".join(sorted(vendors))
    except Exception as error:  # noqa: BLE001 # whatever it is, the others can be shown
        served = f"can't be used: {type(error).__name__}: {error}"
    dist = entry.dist
    name, version = (dist.name, dist.version) if dist else ("unknown", "")
    return (entry.name, entry.value, name, version, served)


def _database(alias: str) -> tuple[str, ...]:
    """Return the cells of a database; where no backend serves it, the error in place of one."""
    connection = connections[alias]
    backend = asked_by = ""
    try:
        asked_by, backend = backend_choice(connection)
        allocator = type(get_allocator(connection)).__qualname__
    except BackendError as error:
        allocator, asked_by = "none", str(error)
    return (alias, connection.vendor, backend, allocator, asked_by)
