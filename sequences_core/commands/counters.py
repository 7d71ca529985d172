"""The subcommands that show and change counters."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any, NoReturn

from django.core.management.base import CommandError
from django.db import connections, transaction

from sequences_core.api import delete, get_last_value, get_next_values, rename, set_last_value
from sequences_core.arguments import check_integer, check_sequence_name
from sequences_core.models import Counter
from sequences_core.subcommands import Subcommand
from sequences_core.taking import database_errors
from sequences_core.users import fields_using


class List(Subcommand):
    """List the counters and the fields that use them."""

    help = "Show each sequence, its last number, and the fields that use it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--search",
            metavar="TEXT",
            default="",
            help="Show only sequences whose name, or a field that uses them, contains TEXT; case "
            "is ignored.",
        )
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, **options: Any) -> None:
        alias, text = self.alias(options), options["search"].casefold()
        with database_errors(connections[alias]):
            counters = list(Counter.objects.using(alias).order_by("name"))
        used = fields_using([counter.name for counter in counters], alias)
        found = [
            (counter.name, counter.last, used[counter.name])
            for counter in counters
            if any(text in each.casefold() for each in (counter.name, *used[counter.name]))
        ]
        if options["format"] == "json":
            keys = ("name", "last", "fields")
            values = [dict(zip(keys, each, strict=True)) for each in found]
            self.command.stdout.write(json.dumps(values, indent=2))
            return
        rows = [(name, last, ", ".join(fields)) for name, last, fields in found]
        self.write_table(("sequence", "last", "used by"), rows)


class Next(Subcommand):
    """Take numbers in a transaction of their own."""

    help = "Take the next number of a sequence and print it. If you don't use it, it is a gap."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--count", type=int, default=1, help="How many numbers. Default: 1.")

    def handle(self, **options: Any) -> None:
        alias, name = self.alias(options), options["name"]
        count = check_integer("count", options["count"])

        def missing() -> NoReturn:  # called only if there is no counter
            _refuse_missing(name, alias)

        with transaction.atomic(using=alias):
            numbers = get_next_values(count, name, missing, using=alias)
        for number in numbers:
            self.command.stdout.write(str(number))


class Set(Subcommand):
    """Compare the value with the last number while the counter is locked, then set it."""

    help = "Set the last number of a sequence to VALUE, so that the next one is VALUE + 1."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("value", type=int)
        parser.add_argument(
            "--create", action="store_true", help="Create the sequence if it doesn't exist."
        )
        parser.add_argument(
            "--force",
            action="store_true",
            help="Also lower the last number: the numbers above VALUE will be given again.",
        )

    def handle(self, **options: Any) -> None:
        alias, name, value = self.alias(options), options["name"], options["value"]
        check_integer("value", value)  # so that a ValueError below means a lower number
        # Read this before the transaction: at REPEATABLE READ, its snapshot must not be older than
        # the lock.
        if get_last_value(name, using=alias) is None and not options["create"]:
            _refuse_missing(name, alias, "; --create creates it")
        with transaction.atomic(using=alias):
            again = ""
            try:
                set_last_value(value, name, using=alias)
            except ValueError:
                last = get_last_value(name, using=alias)  # the counter is locked now
                if last is None or last <= value:
                    raise
                again = str(last) if last == value + 1 else f"{value + 1} to {last}"
                if not options["force"]:
                    raise CommandError(
                        f"The last number of sequence {name!r} is {last}: lowering it to {value} "
                        f"would give {again} again; --force does so."
                    ) from None
                set_last_value(value, name, force=True, using=alias)
        self.report(f"The last number of sequence {name!r} is {value}.")
        if again:
            self.warn(f"It will give {again} again.")


class Rename(Subcommand):
    """Rename a sequence. Ask before, if a field uses the old name."""

    help = "Rename a sequence. Code that still uses the old name starts a new sequence."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("new_name")
        _add_noinput(parser)

    def handle(self, **options: Any) -> None:
        alias, name = self.alias(options), options["name"]
        new = check_sequence_name(options["new_name"], "new_name")
        if get_last_value(name, using=alias) is None:
            _refuse_missing(name, alias)
        if get_last_value(new, using=alias) is None and (fields := _users(name, alias)):
            self.warn(_starts_again(name, fields))
            self.confirm(f"Rename it to {new!r}?", options)
        rename(name, new, using=alias)
        self.report(f"Renamed sequence {name!r} to {new!r}.")


class Delete(Subcommand):
    """Delete a counter. Always ask before, because its last number is lost."""

    help = "Delete a sequence. It starts again when it is next used."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        _add_noinput(parser)

    def handle(self, **options: Any) -> None:
        alias, name = self.alias(options), options["name"]
        if (last := get_last_value(name, using=alias)) is None:
            _refuse_missing(name, alias)
        if fields := _users(name, alias):
            self.warn(_starts_again(name, fields))
        self.confirm(f"Delete sequence {name!r}, whose last number is {last}?", options)
        if not delete(name, using=alias):
            _refuse_missing(name, alias)
        self.report(f"Deleted sequence {name!r}.")


def _add_noinput(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--noinput",
        "--no-input",
        action="store_false",
        dest="interactive",
        help="Don't ask for confirmation.",
    )


def _users(name: str, alias: str) -> str:
    return ", ".join(fields_using([name], alias)[name])


def _starts_again(name: str, fields: str) -> str:
    return f"Sequence {name!r} is used by {fields}: their next rows will start it again."


def _refuse_missing(name: str, alias: str, remedy: str = "") -> NoReturn:
    check_sequence_name(name)  # its error is clearer if the name is invalid
    raise CommandError(f"Database {alias!r} has no sequence {name!r}{remedy}.")
