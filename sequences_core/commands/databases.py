"""The subcommands about databases and their backends."""

from __future__ import annotations

import json
import warnings
from argparse import ArgumentParser
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

BACKEND = ("backend", "class", "distribution", "version", "vendors")
DATABASE = ("database", "vendor", "backend", "class", "chosen by")
"""The columns of the tables of backends and of databases."""


class Install(Subcommand):
    """Install the configured backend, which may have changed since ``migrate``."""

    help = "Prepare the database for the configured backend, as migrate does."

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
            raise CommandError(
                said or f"Database {alias!r} has no function {FUNCTION} after the installation."
            )
        if said:
            self.warn(said)
        self.report(f"Database {alias!r} is ready for {type(allocator).__name__}.")


class Backends(Subcommand):
    """Show the backends without connecting to a database."""

    help = "Show the installed backends, and which one each database uses, and why."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, **options: Any) -> None:
        aliases = [options["database"]] if options["database"] else list(connections)
        backends = list(map(_backend, installed_backends()))
        databases = list(map(_database, aliases))
        if options["format"] == "json":
            report = {
                "backends": [dict(zip(BACKEND, each, strict=True)) for each in backends],
                "databases": [dict(zip(DATABASE, each, strict=True)) for each in databases],
            }
            self.command.stdout.write(json.dumps(report, indent=2))
            return
        self.write_table(BACKEND, backends)
        self.command.stdout.write("")
        self.write_table(DATABASE, databases)


def _backend(entry: EntryPoint) -> tuple[str, ...]:
    """Return the cells of an installed backend, or the error if it can't be imported."""
    try:
        vendors = entry.load().vendors
        served = "any" if vendors is None else ", ".join(sorted(vendors))
    except Exception as error:  # noqa: BLE001 # after any error, the others are shown
        served = f"can't be used: {type(error).__name__}: {error}"
    dist = entry.dist
    name, version = (dist.name, dist.version) if dist else ("unknown", "")
    return (entry.name, entry.value, name, version, served)


def _database(alias: str) -> tuple[str, ...]:
    """Return the cells of a database, or the error if it has no backend."""
    connection = connections[alias]
    backend = asked_by = ""
    try:
        asked_by, backend = backend_choice(connection)
        allocator = type(get_allocator(connection)).__qualname__
    except BackendError as error:
        allocator, asked_by = "none", str(error)
    return (alias, connection.vendor, backend, allocator, asked_by)
