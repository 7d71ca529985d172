"""``manage.py sequences``: look at the counters, and change them when nobody takes numbers."""

from __future__ import annotations

from argparse import ArgumentParser
from contextlib import suppress
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections, router, transaction

from sequences_core.api import delete, set_last_value
from sequences_core.arguments import check_integer, check_sequence_name
from sequences_core.exceptions import SequencesError
from sequences_core.models import Counter
from sequences_core.operations import install
from sequences_core.registry import get_allocator
from sequences_core.subcommands import installed_subcommands
from sequences_core.taking import database_errors

ERRORS = (SequencesError, ImproperlyConfigured, DatabaseError, TypeError, ValueError)
"""What is shown as CommandError, without a traceback."""

DJANGO_SEQUENCES_TABLE = "sequences_sequence"


class Command(BaseCommand):
    """Each subcommand ends with CommandError, and has changed nothing, when it can't do as told."""

    help = "Lists, sets, deletes and copies sequences, and prepares the database for the backend."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the subcommands, the installed ones too; each knows --database."""
        database = ArgumentParser(add_help=False)
        database.add_argument(
            "--database",
            choices=tuple(connections),
            help="The database to work on. Defaults to the one that the router chooses.",
        )
        subcommands = parser.add_subparsers(dest="subcommand", required=True)
        add_parser = partial(subcommands.add_parser, parents=[database])
        add_parser("list", help="Show each sequence and its last number.")
        setting = add_parser("set", help="Make VALUE the last number taken.")
        setting.add_argument("name")
        setting.add_argument("value", type=int)
        setting.add_argument(
            "--force",
            action="store_true",
            help="Lower the sequence too; the numbers above VALUE will be given again.",
        )
        deletion = add_parser("delete", help="Delete a sequence: it starts anew.")
        deletion.add_argument("name")
        copying = add_parser(
            "copy-from",
            help="Copy the sequences of another table of the same database, such as that of "
            "django-sequences. A sequence that is further here already stays as it is.",
        )
        copying.add_argument(
            "table",
            nargs="?",
            default=DJANGO_SEQUENCES_TABLE,
            help="The table, with columns name and last. Defaults to %(default)s.",
        )
        add_parser(
            "install",
            help="Prepare the database for its backend, as migrate did for the one of that time.",
        )
        self.installed = installed_subcommands(self, add_parser, set(subcommands.choices))

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the subcommand."""
        name = options["subcommand"]
        own = {
            "list": self.show_all,
            "set": self.set_one,
            "delete": self.delete_one,
            "copy-from": self.copy_from,
            "install": self.install,
        }
        try:
            if name in own:
                own[name](options["database"] or router.db_for_write(Counter), options)
            else:
                self.installed[name].handle(**options)
        except ERRORS as error:
            raise CommandError(str(error)) from error

    def show_all(self, alias: str, options: dict[str, Any]) -> None:
        """Print the names with their last numbers."""
        with database_errors(connections[alias]):
            counters = list(Counter.objects.using(alias).order_by("name"))
        width = max((len(str(counter.last)) for counter in counters), default=0)
        for counter in counters:
            self.stdout.write(f"{counter.last:>{width}}  {counter.name}")

    def set_one(self, alias: str, options: dict[str, Any]) -> None:
        """Set one."""
        name, value = options["name"], options["value"]
        set_last_value(value, name, force=options["force"], using=alias)
        self._done(f"The last number of sequence {name!r} is {value}.")

    def delete_one(self, alias: str, options: dict[str, Any]) -> None:
        """Delete one."""
        name = options["name"]
        if not delete(name, using=alias):
            raise CommandError(f"Database {alias!r} has no sequence {name!r}.")
        self._done(f"Deleted sequence {name!r}.")

    def copy_from(self, alias: str, options: dict[str, Any]) -> None:
        """Copy them all or, if one is refused, none."""
        table = options["table"]
        moved = 0
        with database_errors(connections[alias]), transaction.atomic(using=alias):
            rows = self._read(alias, table)
            here = dict(Counter.objects.using(alias).values_list("name", "last"))
            for name, last in rows:
                try:
                    check_sequence_name(name)
                    check_integer("last", last)
                except (TypeError, ValueError) as error:
                    raise CommandError(
                        f"Nothing was copied, for table {table!r} has a row ({name!r}, {last!r}) "
                        f"that is refused: {error}"
                    ) from error
                if here.get(name, -2) < last:
                    with suppress(ValueError):  # somebody has taken it further meanwhile
                        set_last_value(last, name, using=alias)
                        moved += 1
        self._done(
            f"Copied {moved} of {len(rows)} sequences from {table!r}; "
            f"{len(rows) - moved} were that far already."
        )

    def install(self, alias: str, options: dict[str, Any]) -> None:
        """Let the backend install what it wants."""
        connection = connections[alias]
        with database_errors(connection):
            install(connection)
        allocator = type(get_allocator(connection)).__name__
        self._done(f"Database {alias!r} is ready for {allocator}.")

    @staticmethod
    def _read(alias: str, table: str) -> list[tuple[Any, Any]]:
        connection = connections[alias]
        quote = connection.ops.quote_name
        columns = f"{quote('name')}, {quote('last')}"
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {columns} FROM {quote(table)} ORDER BY 1")
                rows: list[tuple[Any, Any]] = cursor.fetchall()
        except DatabaseError as error:
            raise CommandError(
                f"Can't read name and last from table {table!r} of database {alias!r}: {error}"
            ) from error
        return rows

    def _done(self, message: str) -> None:
        self.stdout.write(self.style.SUCCESS(message))
