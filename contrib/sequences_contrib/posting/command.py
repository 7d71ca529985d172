"""``manage.py sequences assign``: number what is posted, once or again and again."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import close_old_connections
from django.db.models import Model, QuerySet

from sequences_core.subcommands import Subcommand

from ..commands import named_model
from ..series import fields_of_model
from .assign import BATCH, Assigned, assign_numbers

LONGEST_PAUSE = 24 * 60 * 60
"""Seconds: a day."""


class Assign(Subcommand):
    """See :func:`sequences_contrib.posting.assign_numbers`."""

    help = "Number the rows of a model that are posted and have no number yet."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="app.Model or app.Model.field")
        parser.add_argument(
            "--order-by",
            default="pk",
            metavar="FIELDS",
            help="The order in which rows are numbered, such as issued_on,pk. Defaults to pk.",
        )
        parser.add_argument("--batch-size", type=int, default=BATCH, help="Rows per transaction.")
        parser.add_argument(
            "--wait", action="store_true", help="Wait for rows that are locked, don't skip them."
        )
        parser.add_argument(
            "--watch", type=float, metavar="SECONDS", help="Do it again, after a pause, for ever."
        )

    def handle(self, **options: Any) -> None:
        pause = options["watch"]
        if pause is not None and not 0 <= pause <= LONGEST_PAUSE:
            raise CommandError(f"--watch is a number of seconds, at the most {LONGEST_PAUSE}")
        model, name = named_field(options["model"])
        try:
            while True:
                self._report(self._assign(model, name, options), quiet=pause is not None)
                if pause is None:
                    return
                time.sleep(pause)
                close_old_connections()  # as between two requests
        except KeyboardInterrupt:
            if pause is None:
                raise

    def _assign(self, model: type[Model], name: str, options: dict[str, Any]) -> Assigned:
        shows = self.command.stdout.isatty()

        def show(done: int, total: int) -> None:
            self.command.stdout.write(f"\r{done} of {total} rows", ending="")
            self.command.stdout.flush()

        done = assign_numbers(
            all_rows(model),
            name,
            order_by=options["order_by"].split(","),
            batch_size=options["batch_size"],
            locked="wait" if options["wait"] else "skip",
            progress=show if shows else None,
            using=options["database"],
        )
        if shows and done.rows:
            self.command.stdout.write("")
        return done

    def _report(self, done: Assigned, quiet: bool) -> None:
        """Print what was done; of an idle turn of many, nothing."""
        if not done.rows and quiet:
            return
        text = f"{done.rows} rows of {done.counters} counters numbered"
        if done.skipped:
            text += f"; {done.skipped} are locked, not complete or were just added"
        self.command.stdout.write(self.command.style.SUCCESS(f"{text}."))


def named_field(label: str) -> tuple[type[Model], str]:
    """Return the model and its numbered field, of ``app.Model`` or ``app.Model.field``.

    Raises CommandError where there is no such model, and ValueError where there isn't exactly one
    field whose rows can wait for a number.
    """
    model, name = named_model(label)
    if name is not None:
        return model, name
    waiting = [field.name for field in fields_of_model(model) if field.null]
    if len(waiting) != 1:
        raise ValueError(f"name the field: {label} has {waiting} whose rows can wait for a number")
    return model, waiting[0]


def all_rows(model: type[Model]) -> QuerySet[Any]:
    """Return the rows of the model, also those that its own managers leave out."""
    return QuerySet(model=model)
