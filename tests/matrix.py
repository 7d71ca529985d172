"""`python -m tests.matrix [release …]`: run kit, contrib and faults on each database release.

Firebird has no backend of its own and represents other databases: only the kit runs there. A
release is a value of DB, such as "postgresql@18", or SQLite with the Python that contains it, such
as "sqlite/3.14".

`python -m tests.matrix --sessions` adds the reports that the sessions of nox have left.

matrix.json has the counts of both, from which the tables of the documentation are generated.
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

from tests.pythons import PYTHONS, python
from tests.servers.launch import KINDS

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("matrix.json")
TABLE = ROOT / "docs" / "matrix.inc"
SESSIONS = ROOT / "docs" / "pythons.inc"
REPORTS = ROOT / ".nox" / "reports"
DATABASES = {
    "sqlite": "SQLite",
    "postgresql": "PostgreSQL",
    "mariadb": "MariaDB",
    "mysql": "MySQL",
}

RELEASES = (
    *(f"{name}@{release}" for name, kind in KINDS.items() for release in kind.releases),
    "mysql",
    "sqlite",
    *(f"sqlite/{version}" for version in PYTHONS),
    "firebird",
)

FIREBIRD = ["django-firebird==5.0.*", "django==5.2.*"]

PARTS = {"backends": "Kit", "contrib": "Field and documents", "tests/faults": "Faults"}
"""The folders of the tests, and their columns in the table."""

NAMES = {
    "title": r"^databases: (.*)",
    "python": r"^platform .* Python (\S+),",
    "django": r"^django: version: (\S+),",
}
"""The names of the databases in pytest's header."""

Releases = dict[str, dict[str, dict[str, Any]]]
"""The results of each part of the tests, by release."""

Sessions = dict[str, dict[str, dict[str, int]]]
"""The counts of each database, by the versions of a session, such as "3.12-6.0"."""

HEADER = """\
.. Made by ``make {command}`` from tests/matrix.json.

.. list-table::
   :header-rows: 1

"""


def environment(release: str) -> Path:
    """Return the interpreter for a release, which may need an environment of its own.

    SQLite releases need another Python. Firebird needs a Django engine, which supports one release
    of Django, and an older python-dateutil than that of the constraints.
    """
    database, _, version = release.partition("/")
    if not version and database != "firebird":
        return Path(sys.executable)
    folder = ROOT / ".nox" / f"matrix-{version or database}"
    interpreter = folder / "bin" / "python"
    uv = str(Path(sys.executable).with_name("uv"))
    if not interpreter.exists():
        base = python(version) if version else sys.executable
        subprocess.run([uv, "venv", "--quiet", "--python", base, folder], check=True)
    backends = sorted(file.parent for file in ROOT.glob("backends/*/pyproject.toml"))
    editable = [part for one in (ROOT, ROOT / "contrib", *backends) for part in ("-e", str(one))]
    install = [uv, "pip", "install", "--quiet", "--python", str(interpreter)]
    own = ["--constraint", "constraints.txt"] if version else FIREBIRD
    command = [*install, "--group", "test", "psycopg[binary]", "oracledb", *own, *editable]
    subprocess.run(command, check=True, cwd=ROOT)
    return interpreter


def run(interpreter: Path, database: str, part: str) -> dict[str, Any]:
    """Run a part of the tests; return the tested database, the exit status, and the counts."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        # Not as arguments: naming files also selects the slow ones.
        command = [str(interpreter), "-m", "pytest", "-n", "auto", "--dist", "loadfile"]
        ran = subprocess.run(
            [*command, "-o", f"testpaths={part}", f"--junitxml={report.name}"],
            cwd=ROOT,
            env={**os.environ, "DB": database},
            stdout=subprocess.PIPE,
            text=True,
        )
        if ran.returncode:
            print(ran.stdout)
        counts = counted(Path(report.name))
    names = {name: re.search(pattern, ran.stdout, re.M) for name, pattern in NAMES.items()}
    found = {name: match[1] for name, match in names.items() if match}
    return {**found, "counts": counts, "status": ran.returncode}


def counted(report: Path) -> Counter[str]:
    """Return how many tests of a JUnit report passed, failed and were skipped."""
    counts: Counter[str] = Counter()
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        tags = {child.tag for child in case}
        bad = {"failure", "error"} & tags
        counts["failed" if bad else "skipped" if "skipped" in tags else "passed"] += 1
    return counts


def table(results: Releases) -> str:
    """Return the documentation's table of the releases."""
    rows = [["Database", "Python", "Django", *PARTS.values()]]
    for parts in (results[one] for one in RELEASES if one in results):
        last = list(parts.values())[-1]
        cells = (cell(parts[part]["counts"] if part in parts else {}) for part in PARTS)
        rows.append([*(last[name] for name in NAMES), *cells])
    return lines("matrix SERVERS=1", rows)


def sessions_table(results: Sessions) -> str:
    """Return the documentation's table of the sessions, in the order of their versions."""
    rows = [["Python", "Django", *DATABASES.values()]]
    for versions in sorted(results):
        cells = (cell(results[versions].get(database, {})) for database in DATABASES)
        rows.append([*versions.split("-"), *cells])
    return lines("matrix", rows)


def lines(command: str, rows: list[list[str]]) -> str:
    cells = (f"   {' ' if n else '*'} - {text}" for row in rows for n, text in enumerate(row))
    return HEADER.format(command=command) + "\n".join(cells) + "\n"


def cell(counts: dict[str, int]) -> str:
    """Return counts as text, such as "284 passed, 3 skipped"."""
    kinds = (kind for kind in ("passed", "skipped", "failed") if kind in counts)
    return ", ".join(f"{counts[kind]:,} {kind}" for kind in kinds) or "not run"


def main() -> int:
    """Run the command and return the exit status: 1 if a test failed on a release."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    known = ", ".join(RELEASES)
    parser.add_argument("releases", nargs="*", metavar="release", help=f"default: all of {known}")
    parser.add_argument("--only", choices=PARTS, help="run only this part of the tests")
    parser.add_argument("--sessions", action="store_true", help="add the reports of nox's sessions")
    arguments = parser.parse_args()
    if unknown := set(arguments.releases) - set(RELEASES):
        parser.error(f"unknown release: {', '.join(sorted(unknown))} (choose from {known})")
    results = json.loads(RESULTS.read_text())
    if arguments.sessions:
        for report in REPORTS.glob("*.xml"):
            versions, _, database = report.stem.rpartition("-")
            results["sessions"].setdefault(versions, {})[database] = counted(report)
        save(results)
        return 0
    failed = False
    for release in arguments.releases or RELEASES:
        database = release.partition("/")[0]
        interpreter = environment(release)
        whole = ["backends"] if release == "firebird" else list(PARTS)
        for part in [arguments.only] if arguments.only else whole:
            result = run(interpreter, database, part)
            failed |= bool(result["status"])
            results["releases"].setdefault(release, {})[part] = result
            save(results)
            print(f"{release}, {part}: {cell(result['counts'])}", flush=True)
    return failed


def save(results: dict[str, Any]) -> None:
    """Write the results and both tables."""
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    TABLE.write_text(table(results["releases"]))
    SESSIONS.write_text(sessions_table(results["sessions"]))


if __name__ == "__main__":
    sys.exit(main())
