"""Subcommands that other distributions add to ``manage.py sequences``.

A distribution names each in its entry-point group :data:`GROUP`: the entry point's name is the
subcommand's, and its value a subclass of :class:`Subcommand`.
"""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError

__all__ = ["Subcommand"]

GROUP = "sequences_core.commands"


class Subcommand(ABC):
    """One subcommand of ``manage.py sequences``.

    Write to ``self.command.stdout``, with the colours of ``self.command.style``.
    """

    help: ClassVar[str] = ""
    """What does it do? One sentence, for ``manage.py sequences --help``."""

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
