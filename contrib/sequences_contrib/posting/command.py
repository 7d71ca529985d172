"""``manage.py sequences assign``: number the rows that are posted, once or periodically."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import close_old_connections
from django.db.models import Model, QuerySet

from sequences_core.subcommands import Subcommand

from ..commands import counted, named_model
from ..series import fields_of_model
from .assign import BATCH, Assigned, assign_numbers

LONGEST_PAUSE = 24 * 60 * 60
"""In seconds: a day."""


class Assign(Subcommand):
    """See :func:`sequences_contrib.posting.assign_numbers`."""

    help = "Number the rows of a model that are posted and have no number yet."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="app.Model or app.Model.field")
        parser.add_argument(
            "--order-by",
            default="pk",
            metavar="FIELDS",
            help="The order in which to number the rows, such as issued_on,pk. Defaults to pk.",
        )
        parser.add_argument("--batch-size", type=int, default=BATCH, help="Rows per transaction.")
        parser.add_argument(
            "--wait", action="store_true", help="Wait for locked rows instead of skipping them."
        )
        parser.add_argument(
            "--watch",
            type=float,
            metavar="SECONDS",
            help="Repeat this until Ctrl-C, with pauses of SECONDS.",
        )

    def handle(self, **options: Any) -> None:
        pause = options["watch"]
        if pause is not None and not 0 <= pause <= LONGEST_PAUSE:
            raise CommandError(f"--watch must be 0 to {LONGEST_PAUSE} seconds.")
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
        """Print the result; print nothing if ``quiet`` and no row was numbered."""
        if not done.rows and quiet:
            return
        counters = counted(done.counters, "counter")
        text = f"{counted(done.rows, 'row')} of {counters} numbered"
        if done.skipped:
            text += f"; {done.skipped} skipped: locked, incomplete or just added"
        self.command.stdout.write(self.command.style.SUCCESS(f"{text}."))


def named_field(label: str) -> tuple[type[Model], str]:
    """Return the model and the name of its numbered field for ``app.Model`` or ``app.Model.field``.

    :raises CommandError: there is no such model.
    :raises ValueError: no field is named, and the model doesn't have exactly one nullable one.
    """
    model, name = named_model(label)
    if name is not None:
        return model, name
    waiting = [field.name for field in fields_of_model(model) if field.null]
    if len(waiting) != 1:
        known = ", ".join(waiting) or "none"
        raise ValueError(f"name a field with when=… or null=True: {label} has {known}")
    return model, waiting[0]


def all_rows(model: type[Model]) -> QuerySet[Any]:
    """Return all rows of the model, also those that its managers exclude."""
    return QuerySet(model=model)
