"""``manage.py sequences``: show sequences, change them, and find problems."""

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
    *(AnyDatabaseError, ConnectionDoesNotExist),  # the router returned an unknown alias
)
"""The errors that are shown as a CommandError, without a traceback."""


class Command(BaseCommand):
    """Run a subcommand. If it can't do its work, it raises CommandError and changes nothing."""

    help = "Show and change sequences, and prepare the database for the backend."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return the parser; each subcommand accepts Django's options, too."""
        # A subcommand's defaults must not replace options that were given before it.
        self.common = CommandParser(add_help=False, argument_default=SUPPRESS)
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_base_argument(self, parser: CommandParser, *args: Any, **kwargs: Any) -> None:
        """Add one of Django's options, which can be before or after the subcommand's name."""
        super().add_base_argument(parser, *args, **kwargs)
        super().add_base_argument(self.common, *args, **kwargs | {"default": SUPPRESS})

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the subcommands of the core and the installed ones, each with ``--database``."""
        self.common.add_argument(
            "--skip-checks", action="store_true", default=SUPPRESS, help="Skip system checks."
        )
        self.common.add_argument(
            "--database",
            choices=tuple(connections),
            default=None,
            help="The alias of the database. Defaults to the one that the router chooses.",
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
