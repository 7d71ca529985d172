"""`python -m tests.matrix [release …]`: kit, contrib and faults on each release of the databases.

The counts are kept in matrix.json, release by release, and the documentation's table is made of
them. A release is what DB takes, such as "postgresql@18", or SQLite with the Python that brings it,
"sqlite/3.14".
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.servers.launch import KINDS
from tests.servers.pythons import PYTHONS, python

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("matrix.json")
TABLE = ROOT / "docs" / "matrix.inc"

RELEASES = (
    *(f"{name}@{release}" for name, kind in KINDS.items() for release in kind.releases),
    "mysql",
    "sqlite",
    *(f"sqlite/{version}" for version in PYTHONS),
)

PARTS = {"backends": "Kit", "contrib": "Field and documents", "tests/faults": "Faults"}
"""The folders of the tests, and what the table calls them."""

NAMES = {
    "title": r"^databases: (.*)",
    "python": r"^platform .* Python (\S+),",
    "django": r"^django: version: (\S+),",
}
"""Where pytest's report says what was tested."""

HEADER = """\
.. Made by ``make matrix SERVERS=1`` from tests/matrix.json.

.. list-table::
   :header-rows: 1

"""


def environment(version: str) -> Path:
    """The interpreter of an environment of its own with another Python and the packages."""
    folder = ROOT / ".nox" / f"matrix-{version}"
    interpreter = folder / "bin" / "python"
    uv = str(Path(sys.executable).with_name("uv"))
    if not interpreter.exists():
        subprocess.run([uv, "venv", "--quiet", "--python", python(version), folder], check=True)
    backends = sorted(file.parent for file in ROOT.glob("backends/*/pyproject.toml"))
    editable = [part for one in (ROOT, ROOT / "contrib", *backends) for part in ("-e", str(one))]
    install = [uv, "pip", "install", "--quiet", "--python", str(interpreter)]
    drivers = ["psycopg[binary]", "oracledb", "--constraint", "constraints.txt"]
    command = [*install, "--group", "test", *drivers, *editable]
    subprocess.run(command, check=True, cwd=ROOT)
    return interpreter


def run(release: str, options: list[str]) -> dict[str, Any]:
    """Run the tests on a release; return what was tested, how it ended, and the counts."""
    database, _, version = release.partition("/")
    interpreter = environment(version) if version else Path(sys.executable)
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        parts = ["-o", f"testpaths={' '.join(PARTS)}", "-o", "junit_family=xunit1"]
        command = [str(interpreter), "-m", "pytest", *parts, f"--junitxml={report.name}", *options]
        ran = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "DB": database}, stdout=subprocess.PIPE, text=True
        )
        if ran.returncode:
            print(ran.stdout)
        cases = list(ElementTree.parse(report.name).getroot().iter("testcase"))
    counts: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    for case in cases:
        part = next(part for part in PARTS if case.get("file", "").startswith(part))
        bad = {"failure", "error"} & {child.tag for child in case}
        counts[part]["failed" if bad else "skipped" if len(case) else "passed"] += 1
    names = {name: re.search(pattern, ran.stdout, re.M) for name, pattern in NAMES.items()}
    found = {name: match[1] for name, match in names.items() if match}
    return {**found, "status": ran.returncode, "counts": counts}


def table(results: dict[str, Any]) -> str:
    """Return the documentation's table."""
    rows = [["Database", "Python", "Django", *PARTS.values()]]
    for release in (one for one in RELEASES if one in results):
        result = results[release]
        cells = [
            f"{count.get('passed', 0)} passed"
            + "".join(f", {count[kind]} {kind}" for kind in ("skipped", "failed") if kind in count)
            for count in (result["counts"][part] for part in PARTS)
        ]
        rows.append([result["title"], result["python"], result["django"], *cells])
    lines = (f"   {'*' if not n else ' '} - {cell}" for row in rows for n, cell in enumerate(row))
    return HEADER + "\n".join(lines) + "\n"


def main() -> int:
    """Run the command and return the exit status: 1 if a test failed on a release."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    known = ", ".join(RELEASES)
    parser.add_argument("releases", nargs="*", metavar="release", help=f"default: all of {known}")
    arguments, options = parser.parse_known_args()
    if unknown := set(arguments.releases) - set(RELEASES):
        parser.error(f"no such release: {', '.join(sorted(unknown))}; there is {known}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    failed = []
    for release in arguments.releases or RELEASES:
        result = results[release] = run(release, options)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        TABLE.write_text(table(results))
        outcome = f"{result['title']}: pytest ended with {result['status']}"
        print(outcome, {part: dict(count) for part, count in result["counts"].items()}, flush=True)
        failed += [release] if result["status"] else []
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
