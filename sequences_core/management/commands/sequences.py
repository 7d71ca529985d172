"""``manage.py sequences``: look at the counters, and change them when nobody takes numbers."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)
from django.db import Error as AnyDatabaseError
from django.db import connections
from django.utils.connection import ConnectionDoesNotExist

from sequences_core.commands import SUBCOMMANDS
from sequences_core.exceptions import SequencesError
from sequences_core.subcommands import Subcommand, installed_subcommands

ERRORS = (
    *(SequencesError, ImproperlyConfigured, TypeError, ValueError),
    *(AnyDatabaseError, ConnectionDoesNotExist),  # of a router that names no database
)
"""What is shown as CommandError, without a traceback."""


class Command(BaseCommand):
    """Each subcommand ends with CommandError, and has changed nothing, when it can't do as told."""

    help = "Shows and changes sequences, and prepares the database for the backend."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return the parser, whose usual options each subcommand knows, too."""
        # A subcommand must not put the defaults over what was given before it.
        self.common = CommandParser(add_help=False, argument_default=SUPPRESS)
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_base_argument(self, parser: CommandParser, *args: Any, **kwargs: Any) -> None:
        """Declare one of Django's options, for before and after the subcommand."""
        super().add_base_argument(parser, *args, **kwargs)
        super().add_base_argument(self.common, *args, **kwargs | {"default": SUPPRESS})

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the subcommands, the installed ones too; each knows --database."""
        self.common.add_argument(
            "--skip-checks", action="store_true", default=SUPPRESS, help="Skip system checks."
        )
        self.common.add_argument(
            "--database",
            choices=tuple(connections),
            default=None,
            help="The database to work on. Defaults to the one that the router chooses.",
        )
        subparsers = parser.add_subparsers(dest="subcommand", required=True, title="subcommands")
        add_parser = partial(
            subparsers.add_parser, parents=[self.common], formatter_class=DjangoHelpFormatter
        )
        self.subcommands: dict[str, Subcommand] = {}
        for name, kind in SUBCOMMANDS.items():
            self.subcommands[name] = kind(self)
            self.subcommands[name].add_arguments(add_parser(name, help=kind.help))
        self.subcommands |= installed_subcommands(self, add_parser, set(SUBCOMMANDS))

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the subcommand."""
        subcommand = self.subcommands[options["subcommand"]]
        subcommand.verbosity = options["verbosity"]
        try:
            subcommand.handle(**options)
        except ERRORS as error:
            raise CommandError(" ".join(str(error).split())) from error
