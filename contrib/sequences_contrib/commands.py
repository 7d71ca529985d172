"""The subcommands of ``manage.py sequences`` for numbered models."""

from __future__ import annotations

import csv
import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model

from sequences_core.subcommands import Subcommand

from .adopt import adopt
from .audit import CounterAudit, Missing, audit
from .formats import NumberFormat
from .upkeep import Change, prune, sync

COLUMNS = ("counter", "rows", "first", "last", "at", "drafts", "findings")


def add_model(parser: ArgumentParser) -> None:
    """Add the argument for a model, or one of its fields, that can be left out."""
    parser.add_argument(
        "model", nargs="?", help="app.Model or app.Model.field. Defaults to all installed models."
    )


def chosen_model(label: str | None) -> tuple[type[Model] | None, str | None]:
    """Return the model and the name of the field as :func:`named_model`; None for no label."""
    return (None, None) if label is None else named_model(label)


def named_model(label: str) -> tuple[type[Model], str | None]:
    """Return the model and the name of the field, or None, for ``app.Model[.field]``."""
    parts = label.split(".")
    if len(parts) not in {2, 3} or not all(parts):
        raise CommandError(f"Name a model as app.Model or app.Model.field, not {label!r}.")
    try:
        model = apps.get_model(parts[0], parts[1])
    except LookupError as error:
        raise CommandError(f"There is no model {label!r}: {error}") from error
    return model, parts[2] if len(parts) == 3 else None


class Audit(Subcommand):
    """See :func:`sequences_contrib.audit.audit`."""

    help = "Compare the numbers of rows with their counters. Fail if there are findings."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_model(parser)
        parser.add_argument("--format", choices=("table", "json", "csv"), default="table")
        parser.add_argument("--counter", help="Audit only the counter of this name.")
        parser.add_argument("--period", help="Audit only counters of this period: 2026-Q1.")
        parser.add_argument(
            "--date", help="A date field of the model, which must ascend with the numbers."
        )

    def handle(self, **options: Any) -> None:
        model, field = chosen_model(options["model"])
        results = audit(
            model,
            field,
            counter=options["counter"],
            period=options["period"],
            date=options["date"],
            using=options["database"],
        )
        for option in ("counter", "period"):
            if options[option] is not None and not results:
                what = "counter" if option == "counter" else "counter of the period"
                place = f"{options['model']} has" if model else "There is"
                raise CommandError(f"{place} no {what} {options[option]!r}.")
        if options["format"] == "table":
            write_table(self, results)
        else:
            write = {"json": _write_json, "csv": write_csv}[options["format"]]
            write(results, self.command.stdout)
        _refuse_unexplained(results)


class _Changing(Subcommand):
    """A subcommand that shows changes of counters, and makes them with ``--apply``."""

    change: Callable[..., list[Change]]
    done: str
    """The verb for a change that was made, such as "increased"."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_model(parser)
        self.add_apply(parser)

    def add_apply(self, parser: ArgumentParser) -> None:
        """Add the option without which the changes are only shown."""
        parser.add_argument(
            "--apply", action="store_true", help="Make the changes instead of only showing them."
        )

    def handle(self, **options: Any) -> None:
        model, field = chosen_model(options["model"])
        apply = options["apply"]
        self.show(type(self).change(model, field, apply=apply, using=options["database"]), apply)

    def show(self, changes: list[Change], apply: bool) -> None:
        """Print the changes, and whether they were made."""
        for change in changes:
            before, after = ("-" if n is None else n for n in (change.before, change.after))
            self.write(f"{change.counter}: {before} -> {after}")
        verb = self.done if apply else f"would be {self.done}"
        hint = "; use --apply to do it" if changes and not apply else ""
        self.command.stdout.write(f"{counted(len(changes), 'counter')} {verb}{hint}.")


class Sync(_Changing):
    """See :func:`sequences_contrib.upkeep.sync`."""

    help = "Show the counters that are behind their rows; increase them with --apply."
    change = staticmethod(sync)
    done = "increased"


class Prune(_Changing):
    """See :func:`sequences_contrib.upkeep.prune`."""

    help = "Show the counters of scopes that have no rows; delete them with --apply."
    change = staticmethod(prune)
    done = "deleted"


class Adopt(_Changing):
    """See :func:`sequences_contrib.adopt.adopt`."""

    help = (
        "Show which counters of a field must be increased to continue after its rows, another "
        "package's table or a sequence; increase them with --apply."
    )
    done = "increased"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="app.Model.field")
        self.add_apply(parser)
        parser.add_argument(
            "--from-table", metavar="TABLE", help="The table of django-sequences or django-seq."
        )
        parser.add_argument(
            "--row", help="The name of that table's row; with a scope, the beginning of the names."
        )
        parser.add_argument("--from-sequence", metavar="NAME", help="A database sequence.")
        parser.add_argument(
            "--from-text", metavar="FIELD", help="A field with numbers as text: INV-2026-00042."
        )
        parser.add_argument(
            "--format", help="The format of the text, such as INV-{issued_on:%%Y}-{number:05d}."
        )

    def handle(self, **options: Any) -> None:
        model, field = named_model(options["model"])
        if field is None:
            raise CommandError("Name the field as well: app.Model.field.")
        changes = adopt(
            model,
            field,
            table=options["from_table"],
            row=options["row"],
            sequence=options["from_sequence"],
            text=options["from_text"],
            format=NumberFormat(options["format"]) if options["format"] else None,
            apply=options["apply"],
            using=options["database"],
        )
        self.show(changes, options["apply"])
        results = audit(model, field, using=options["database"])
        write_table(self, results)
        if options["apply"]:
            _refuse_unexplained(results)


def _refuse_unexplained(results: Iterable[CounterAudit]) -> None:
    """Raise CommandError if a counter has a finding without an explanation."""
    unclean = sum(not result.is_clean for result in results)
    if unclean:
        raise CommandError(f"{counted(unclean, 'counter')} with unexplained findings.")


def findings(result: CounterAudit) -> Iterable[str]:
    """Yield the findings of a counter as text."""
    if not result.counter:
        yield (
            f"no counter, because a part of the scope is empty or deleted: correct the scope, or "
            f"set the number to null ({', '.join(result.fields)})"
        )
    missing: dict[str, list[str]] = {}
    for each in result.missing:
        missing.setdefault(each.explained, []).append(_range(each))
    for explained, ranges in sorted(missing.items()):
        yield f"{explained or 'missing'} {', '.join(ranges)}"
    if result.duplicates:
        yield f"twice {', '.join(map(str, result.duplicates))}"
    if result.behind:
        yield f"counter behind by {result.behind}"
    for early in result.early_dates:
        yield f"{early.number} of {early.date} after {early.previous}"


def _range(missing: Missing) -> str:
    one = missing.first == missing.last
    return str(missing.first) if one else f"{missing.first}-{missing.last}"


def _cells(result: CounterAudit) -> list[object]:
    numbers = (result.rows, result.first, result.last, result.at, result.drafts)
    return [result.counter, *numbers, "; ".join(findings(result)) or "ok"]


def write_table(subcommand: Subcommand, results: Iterable[CounterAudit]) -> None:
    """Print the results of the audit as a table."""
    subcommand.write_table(COLUMNS, map(_cells, results))


def _write_json(results: list[CounterAudit], out: Any) -> None:
    values = [asdict(result) | {"clean": result.is_clean} for result in results]
    out.write(json.dumps(values, indent=2, cls=DjangoJSONEncoder))


def write_csv(results: Iterable[CounterAudit], out: Any) -> None:
    """Write a line for each counter, without cells that a spreadsheet would run as formulas."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(_harmless, _cells(result)) for result in results)


def _harmless(cell: object) -> object:
    """Put an apostrophe before a formula: https://owasp.org/www-community/attacks/CSV_Injection."""
    is_formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{cell}" if is_formula else cell


def counted(n: int, what: str) -> str:
    """Return the number with its noun: ``"1 row"``, ``"2 rows"``."""
    return f"{n} {what}" + ("" if n == 1 else "s")
