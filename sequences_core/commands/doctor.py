"""``manage.py sequences doctor``: show the problems of each database, and their remedies."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections import Counter as Count
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.checks import DEBUG, ERROR, INFO, WARNING, CheckMessage
from django.core.management.base import CommandError

from sequences_core.examination import (
    Examination,
    examine_database,
    examine_project,
    examined_aliases,
)
from sequences_core.subcommands import Subcommand, plain

LEVELS = {WARNING: "warning", INFO: "info", DEBUG: "debug"}
"""The lowest level of a message with this name. A message of ERROR or above is an error."""


class Doctor(Subcommand):
    """Print the results of :mod:`sequences_core.examination`."""

    help = (
        "Show the problems of the sequences in each database, with remedies. Fail if there are "
        "errors."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=("table", "json"), default="table")
        # The output includes the system checks. Otherwise, their errors would prevent the rest.
        parser.set_defaults(skip_checks=True)

    def handle(self, **options: Any) -> None:
        aliases = [options["database"]] if options["database"] else examined_aliases()
        project = examine_project()
        databases = {alias: examine_database(alias, project.findings) for alias in aliases}
        write = {"table": self._write_table, "json": self._write_json}
        write[options["format"]](project, databases)
        found = [project, *databases.values()]
        errors = sum(finding.is_serious() for each in found for finding in each.findings)
        if errors:
            raise CommandError(f"{_counted(errors, 'error')} found.")

    def _write_table(self, project: Examination, databases: Mapping[str, Examination]) -> None:
        for alias, examination in databases.items():
            self._write_heading(f"Database {alias!r}", examination)
            width = max(map(len, examination.facts), default=0)
            for label, value in examination.facts.items():
                self.command.stdout.write(f"  {label:{width}}  {plain(value)}")
            self._write_findings(examination.findings)
        if project.findings:
            self._write_heading("Project", project)
            self._write_findings(project.findings)

    def _write_heading(self, title: str, examination: Examination) -> None:
        counts = Count(_level(finding) for finding in examination.findings)
        text = ", ".join(
            _counted(counts[level], level) if level in {"error", "warning"} else level
            for level in ("error", "warning", "info", "debug")
            if counts[level]
        )
        self.command.stdout.write(self.command.style.MIGRATE_HEADING(f"{title}: {text or 'sound'}"))

    def _write_findings(self, findings: Iterable[CheckMessage]) -> None:
        style = self.command.style
        colours = {"error": style.ERROR, "warning": style.WARNING}
        for finding in sorted(findings, key=lambda finding: -finding.level):
            level = _level(finding)
            place = f"{finding.obj}: " if finding.obj else ""
            id = f" ({finding.id})" if finding.id else ""
            text = f"  {level}: {place}{finding.msg}{id}"
            self.command.stdout.write(colours.get(level, style.NOTICE)(plain(text)))
            if finding.hint:
                self.command.stdout.write(f"    {plain(str(finding.hint))}")

    def _write_json(self, project: Examination, databases: Mapping[str, Examination]) -> None:
        report = {
            "project": {"findings": _findings(project)},
            "databases": {
                alias: {"facts": examination.facts, "findings": _findings(examination)}
                for alias, examination in databases.items()
            },
        }
        self.command.stdout.write(json.dumps(report, indent=2, ensure_ascii=False))


def _level(finding: CheckMessage) -> str:
    if finding.level >= ERROR:
        return "error"
    return next(name for level, name in LEVELS.items() if finding.level >= level or level == DEBUG)


def _findings(examination: Examination) -> list[dict[str, str | None]]:
    return [
        {
            "level": _level(finding),
            "id": finding.id,
            "object": str(finding.obj) if finding.obj else None,
            "message": str(finding.msg),  # it may be a lazy translation
            "remedy": str(finding.hint) if finding.hint else None,
        }
        for finding in sorted(examination.findings, key=lambda finding: -finding.level)
    ]


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")
