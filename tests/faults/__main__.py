"""`python -m tests.faults [--rounds N] [fault …]`: inject faults repeatedly, and write a report."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import tests.faults.preload  # noqa: F401 - sets Django up, which the others need
from tests.faults import report
from tests.faults.arena import Arena, Tally
from tests.faults.sites import LOSSY, SITES, Site
from tests.servers.launch import DEFAULT, chosen

MAX_FAILURES = 3
"""The number of failed rounds after which the run continues with the next fault."""

FUZZ = "fuzz"
FUZZED = 1000
"""Fuzzing examples per round."""


def run(site: Site, faults: list[str], rounds: int, progress: Progress) -> Iterator[Tally]:
    """Yield the tally of each fault; restart the site after a round that raised an exception."""
    with ExitStack() as stack:
        arena: Arena | None = None
        for fault in faults:
            tally = Tally(fault, site.name)
            task = progress.add_task(f"{site.name}: {fault}", total=rounds)
            failures = 0
            while tally.rounds + failures < rounds and failures < MAX_FAILURES:
                whole = site.lasting
                try:
                    arena = arena or stack.enter_context(site.enter())
                    site.faults[fault](arena, tally)
                except Exception:  # noqa: BLE001 - it is reported, and the run goes on
                    failures += 1
                    whole = False
                    tally.verdict.object(traceback.format_exc())
                if not whole:
                    arena = None
                    stack.close()
                progress.advance(task)
            yield tally


def fuzz(examples: int) -> bool:
    """Run tests/faults/test_fuzz.py; return whether all databases had the same outcome."""
    test = Path(__file__).with_name("test_fuzz.py")
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--timeout=0", str(test)]
    return not subprocess.call(command, env={**os.environ, "FUZZ_EXAMPLES": str(examples)})


def main() -> int:
    """Run the command, and return the exit status: 1 if a fault led to a wrong outcome."""
    known = dict.fromkeys(fault for site in SITES for fault in site.faults)
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="rounds per fault; default: 20")
    parser.add_argument(
        "faults",
        nargs="*",
        metavar="fault",
        help=f"default: all of {', '.join(map(repr, known))}, and {FUZZ!r}",
    )
    parser.add_argument(
        "--update", action="store_true", help="update the named faults in the committed report"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.faults) - {*known, FUZZ}:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    databases = chosen(os.environ.get("DB"))
    kept = arguments.update or (databases == DEFAULT and not arguments.faults)
    results = report.Results.load(report.COMMITTED) if arguments.update else report.Results()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        for site in SITES:
            faults = [one for one in site.faults if one in (arguments.faults or site.faults)]
            if site.database in databases:
                for tally in run(site, faults, arguments.rounds, progress):
                    results.add(tally)
                    if kept:
                        report.write(results)
    same = True
    if FUZZ in (arguments.faults or [FUZZ]):
        examples = arguments.rounds * FUZZED
        same = fuzz(examples)
        results.fuzzed = examples if same else 0
    if kept:
        report.write(results)
        report.PAGE.write_text(report.updated(report.PAGE.read_text(), results))
    print(report.text(results))
    broken = [tally for tally in results.tallies if not tally.verdict.exact and tally.site != LOSSY]
    for tally in broken:
        for problem in tally.verdict.problems:
            print(f"{tally.site}, {tally.fault}: {problem}", file=sys.stderr)
    return bool(broken) or not same


if __name__ == "__main__":
    sys.exit(main())
