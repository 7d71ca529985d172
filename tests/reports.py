"""Runs of pytest in another process, and the outcome of each test."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from tests.distributions import try_run


class Report(NamedTuple):
    """The exit code of a run of pytest, and the outcome of each test."""

    exit_code: int
    outcomes: dict[tuple[str, str], str]
    reasons: set[str]
    text: str

    def count(self, outcome: str) -> int:
        return list(self.outcomes.values()).count(outcome)


def run_tests(python: Path, folder: Path, *options: str, **variables: str) -> Report:
    """Run the tests in the folder with that Python interpreter."""
    report = folder / "report.xml"
    options = (f"--junitxml={report}", *options)
    done = try_run(python, "-m", "pytest", *options, cwd=folder, **variables)
    outcomes, reasons = {}, set()
    for case in ElementTree.parse(report).iter("testcase"):
        ends = [end for end in case if end.tag in {"failure", "error", "skipped"}]
        key = case.attrib["classname"].rpartition(".")[2], case.attrib["name"]
        outcomes[key] = ends[0].tag if ends else "passed"
        reasons |= {end.attrib["message"] for end in ends if end.tag == "skipped"}
    return Report(done.returncode, outcomes, reasons, done.stdout + done.stderr)
