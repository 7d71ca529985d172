"""The subcommand that copies another table of counters, such as that of django-sequences."""

from __future__ import annotations

from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError, connections, transaction

from sequences_core.api import set_last_value
from sequences_core.arguments import check_integer, check_sequence_name
from sequences_core.models import Counter
from sequences_core.subcommands import Subcommand
from sequences_core.taking import database_errors

DJANGO_SEQUENCES_TABLE = "sequences_sequence"


class CopyFrom(Subcommand):
    """Copy all sequences in one transaction; copy none if one is invalid."""

    help = (
        "Copy the sequences from another table of the same database, such as that of "
        "django-sequences. Counters are never lowered."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "table",
            nargs="?",
            default=DJANGO_SEQUENCES_TABLE,
            help="The table, with the columns name and last. Defaults to %(default)s.",
        )

    def handle(self, **options: Any) -> None:
        alias, table = self.alias(options), options["table"]
        moved = 0
        with database_errors(connections[alias]), transaction.atomic(using=alias):
            rows = _read(alias, table)
            here = dict(Counter.objects.using(alias).values_list("name", "last"))
            for name, last in rows:
                try:
                    check_sequence_name(name)
                    check_integer("last", last)
                except (TypeError, ValueError) as error:
                    raise CommandError(
                        f"Nothing was copied: table {table!r} has an invalid row "
                        f"({name!r}, {last!r}): {error}"
                    ) from error
            # The order in which all calls lock counters; the collation of the table may differ.
            for name, last in sorted(rows):
                if here.get(name, -2) < last:
                    with suppress(ValueError):  # another transaction has increased it meanwhile
                        set_last_value(last, name, using=alias)
                        moved += 1
        self.report(
            f"Copied {moved} of {len(rows)} sequences from {table!r}; "
            f"{len(rows) - moved} had the same or a higher last number already."
        )


def _read(alias: str, table: str) -> list[tuple[Any, Any]]:
    connection = connections[alias]
    quote = connection.ops.quote_name
    # Without the table's name, a column that doesn't exist is a string to SQLite:
    # https://www.sqlite.org/quirks.html#double_quoted_string_literals_are_accepted
    columns = ", ".join(f"{quote(table)}.{quote(column)}" for column in ("name", "last"))
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {columns} FROM {quote(table)}")
            rows: list[tuple[Any, Any]] = list(cursor.fetchall())
    except DatabaseError as error:
        raise CommandError(
            f"Can't read name and last from table {table!r} of database {alias!r}: {error}"
        ) from error
    return rows
