"""Subcommands that other distributions add to ``manage.py sequences``.

A distribution registers each subcommand in the entry-point group :data:`GROUP`: the name of the
entry point is the name of the subcommand, and its value is a subclass of :class:`Subcommand`.
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
from .registry import distribution_of

__all__ = ["Subcommand"]

GROUP = "sequences_core.commands"


class Subcommand(ABC):
    """One subcommand of ``manage.py sequences``.

    Write to ``self.command.stdout``, with the colours of ``self.command.style``.
    """

    help: ClassVar[str] = ""
    """The description of the subcommand for ``manage.py sequences --help``, in one sentence."""

    verbosity = 1
    """The value of ``-v``. 0 means that only results are printed."""

    def __init__(self, command: BaseCommand) -> None:
        self.command = command

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add arguments besides ``--database``, which each subcommand has."""

    @abstractmethod
    def handle(self, **options: Any) -> None:
        """Execute the subcommand.

        ``options["database"]`` is None if ``--database`` wasn't given. Raise CommandError to end
        with an exit status of 1. ValueError, TypeError, ImproperlyConfigured, SequencesError and
        ``django.db.Error`` are shown in the same way, without a traceback.
        """

    def alias(self, options: Mapping[str, Any]) -> str:
        """Return the alias given by ``--database``, or the one that the router chooses."""
        return options["database"] or router.db_for_write(Counter)

    def write(self, line: str) -> None:
        """Print the line, with nonprintable characters escaped."""
        self.command.stdout.write(plain(line))

    def report(self, message: str) -> None:
        """Print a message about what was done, unless ``-v 0`` was given."""
        if self.verbosity:
            self.command.stdout.write(self.command.style.SUCCESS(message))

    def warn(self, message: str) -> None:
        """Print a warning to the standard error stream."""
        self.command.stderr.write(self.command.style.WARNING(message))

    def confirm(self, question: str, options: Mapping[str, Any]) -> None:
        """Ask the question, unless ``options["interactive"]`` is false.

        :raises CommandError: the answer isn't "yes".
        """
        if not options["interactive"]:
            return
        try:
            answer = input(f"{question} Type 'yes' to do so: ")
        except EOFError:
            raise CommandError(
                "Nothing was changed: the question wasn't answered. Use --noinput to skip it."
            ) from None
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was changed.")

    def write_table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table. Columns with integers are aligned right; None is shown as empty."""
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
    """Return the text with nonprintable characters escaped, such as newlines.

    Names of sequences can contain users' input, which must not control the terminal.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class _Broken(Subcommand):
    """A subcommand that can't be loaded. Calling it reports the reason."""

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
    """Return the installed subcommands by name, except those whose names are in ``taken``.

    The others work even if one can't be loaded.
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
        except Exception as error:  # noqa: BLE001 # after any error, the others must work
            subcommand = _Broken(command, _problem(name, entries[0], error))
            subcommand.add_arguments(parser)
        subcommands[name] = subcommand
    return subcommands


def _load(command: BaseCommand, name: str, entries: list[EntryPoint]) -> Subcommand:
    if len(entries) > 1:
        claims = " and ".join(sorted(f"{distribution_of(e)} ({e.value})" for e in entries))
        return _Broken(
            command, f"The subcommand {name!r} is registered by {claims}: uninstall one."
        )
    (entry,) = entries
    try:
        kind = entry.load()
        if isinstance(kind, type) and issubclass(kind, Subcommand):
            return kind(command)
    except Exception as error:  # noqa: BLE001 # after any error, the others must work
        return _Broken(command, _problem(name, entry, error))
    reason = TypeError(f"{kind!r} is not a subclass of sequences_core.subcommands.Subcommand")
    return _Broken(command, _problem(name, entry, reason))


def _problem(name: str, entry: EntryPoint, error: Exception) -> str:
    return (
        f"The subcommand {name!r} of {distribution_of(entry)} ({entry.value}) can't be used: "
        f"{type(error).__name__}: {error}"
    )
