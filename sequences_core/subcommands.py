"""Subcommands that other distributions add to ``manage.py sequences``.

A distribution names each in its entry-point group :data:`GROUP`: the entry point's name is the
subcommand's, and its value a subclass of :class:`Subcommand`.
"""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError
from django.db import router

from .models import Counter

__all__ = ["Subcommand"]

GROUP = "sequences_core.commands"


class Subcommand(ABC):
    """One subcommand of ``manage.py sequences``.

    Write to ``self.command.stdout``, with the colours of ``self.command.style``.
    """

    help: ClassVar[str] = ""
    """What does it do? One sentence, for ``manage.py sequences --help``."""

    verbosity = 1
    """What did ``-v`` say? 0 is to print nothing but results."""

    def __init__(self, command: BaseCommand) -> None:
        self.command = command

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare arguments beside ``--database``, which each subcommand has."""

    @abstractmethod
    def handle(self, **options: Any) -> None:
        """Do the work; ``options["database"]`` is None where ``--database`` wasn't given.

        Raise CommandError to end with an exit status of 1. ValueError, TypeError,
        ImproperlyConfigured, SequencesError and the errors of databases are shown in the same way,
        without a traceback.
        """

    def alias(self, options: Mapping[str, Any]) -> str:
        """Return the database to work on: that of ``--database``, or where numbers are taken."""
        return options["database"] or router.db_for_write(Counter)

    def write(self, line: str) -> None:
        """Print the line, with escapes in place of what a terminal might obey."""
        self.command.stdout.write(plain(line))

    def report(self, message: str) -> None:
        """Print what was done, unless ``-v 0`` was given."""
        if self.verbosity:
            self.command.stdout.write(self.command.style.SUCCESS(message))

    def warn(self, message: str) -> None:
        """Print a warning on the standard error."""
        self.command.stderr.write(self.command.style.WARNING(message))

    def confirm(self, question: str, options: Mapping[str, Any]) -> None:
        """Ask, unless ``options["interactive"]`` is false; raise CommandError for a refusal."""
        if not options["interactive"]:
            return
        try:
            answer = input(f"{question} Type 'yes' to do so: ")
        except EOFError:
            raise CommandError("Nothing was changed: nobody answers; use --noinput.") from None
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was changed.")

    def write_table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print the rows under the header; numbers are aligned to the right, None is empty."""
        found = list(rows)
        texts = [["" if cell is None else plain(str(cell)) for cell in row] for row in found]
        widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
        right = [
            any(isinstance(row[place], int) for row in found) for place, _ in enumerate(header)
        ]

        def line(cells: Sequence[str]) -> str:
            columns = zip(cells, widths, right, strict=True)
            aligned = (c.rjust(width) if r else c.ljust(width) for c, width, r in columns)
            return "  ".join(aligned).rstrip()

        self.command.stdout.write(self.command.style.MIGRATE_HEADING(line(header)))
        for row in texts:
            self.command.stdout.write(line(row))


def plain(text: str) -> str:
    """Return the text with escapes in place of what a terminal might obey, such as a newline.

    The names of counters hold what users have typed in.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class _Broken(Subcommand):
    """Stands for a subcommand that can't be used, and says why only when it is asked for."""

    def __init__(self, command: BaseCommand, problem: str) -> None:
        super().__init__(command)
        self.problem = problem

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)

    def handle(self, **options: Any) -> None:
        raise CommandError(self.problem)


def installed_subcommands(
    command: BaseCommand, add_parser: Callable[..., argparse.ArgumentParser], taken: set[str]
) -> dict[str, Subcommand]:
    """Return the installed subcommands by name, but for those of names that are taken.

    One that can't be loaded doesn't keep the others from working.
    """
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    subcommands: dict[str, Subcommand] = {}
    for name, entries in sorted(found.items()):
        if name in taken:
            continue
        subcommand = _load(command, name, entries)
        text = subcommand.help
        parser = add_parser(name, help=text.replace("%", "%%"), description=text)
        try:
            subcommand.add_arguments(parser)
        except Exception as error:  # noqa: BLE001 # whatever it is, the others must work
            subcommand = _Broken(command, _problem(name, entries[0], error))
            subcommand.add_arguments(parser)
        subcommands[name] = subcommand
    return subcommands


def _load(command: BaseCommand, name: str, entries: list[EntryPoint]) -> Subcommand:
    if len(entries) > 1:
        claims = " and ".join(sorted(f"{_distribution(e)} ({e.value})" for e in entries))
        return _Broken(command, f"The subcommand {name!r} is claimed by {claims}: uninstall one.")
    (entry,) = entries
    try:
        kind = entry.load()
        if isinstance(kind, type) and issubclass(kind, Subcommand):
            return kind(command)
    except Exception as error:  # noqa: BLE001 # whatever it is, the others must work
        return _Broken(command, _problem(name, entry, error))
    reason = TypeError(f"{kind!r} is no subclass of sequences_core.subcommands.Subcommand")
    return _Broken(command, _problem(name, entry, reason))


def _problem(name: str, entry: EntryPoint, error: Exception) -> str:
    return (
        f"The subcommand {name!r} of {_distribution(entry)} ({entry.value}) can't be used: "
        f"{type(error).__name__}: {error}"
    )


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown distribution"
