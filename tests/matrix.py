"""`python -m tests.matrix [release …]`: run kit, contrib and faults on each database release.

Firebird has no backend of its own and represents other databases: only the kit runs there.

matrix.json has the counts of each release, from which the documentation's table is generated. A
release is a value of DB, such as "postgresql@18", or SQLite with the Python that contains it, such
as "sqlite/3.14".
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

Results = dict[str, dict[str, dict[str, Any]]]
"""The results of each part, by release."""

HEADER = """\
.. Made by ``make matrix SERVERS=1`` from tests/matrix.json.

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
        command = [str(interpreter), "-m", "pytest", "-o", f"testpaths={part}"]
        ran = subprocess.run(
            [*command, f"--junitxml={report.name}"],
            cwd=ROOT,
            env={**os.environ, "DB": database},
            stdout=subprocess.PIPE,
            text=True,
        )
        if ran.returncode:
            print(ran.stdout)
        cases = list(ElementTree.parse(report.name).getroot().iter("testcase"))
    counts: Counter[str] = Counter()
    for case in cases:
        bad = {"failure", "error"} & {child.tag for child in case}
        counts["failed" if bad else "skipped" if len(case) else "passed"] += 1
    names = {name: re.search(pattern, ran.stdout, re.M) for name, pattern in NAMES.items()}
    found = {name: match[1] for name, match in names.items() if match}
    return {**found, "counts": counts, "status": ran.returncode}


def table(results: Results) -> str:
    """Return the documentation's table."""
    rows = [["Database", "Python", "Django", *PARTS.values()]]
    for parts in (results[one] for one in RELEASES if one in results):
        last = list(parts.values())[-1]
        rows.append([*(last[name] for name in NAMES), *(cell(parts.get(part)) for part in PARTS)])
    lines = (f"   {' ' if n else '*'} - {text}" for row in rows for n, text in enumerate(row))
    return HEADER + "\n".join(lines) + "\n"


def cell(result: dict[str, Any] | None) -> str:
    """Return the result of a part, such as "284 passed, 3 skipped"."""
    counts = result["counts"] if result else {}
    kinds = (kind for kind in ("passed", "skipped", "failed") if kind in counts)
    return ", ".join(f"{counts[kind]:,} {kind}" for kind in kinds) or "not run"


def main() -> int:
    """Run the command and return the exit status: 1 if a test failed on a release."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    known = ", ".join(RELEASES)
    parser.add_argument("releases", nargs="*", metavar="release", help=f"default: all of {known}")
    parser.add_argument("--only", choices=PARTS, help="run only this part of the tests")
    arguments = parser.parse_args()
    if unknown := set(arguments.releases) - set(RELEASES):
        parser.error(f"unknown release: {', '.join(sorted(unknown))} (choose from {known})")
    results: Results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    failed = False
    for release in arguments.releases or RELEASES:
        database = release.partition("/")[0]
        interpreter = environment(release)
        whole = ["backends"] if release == "firebird" else list(PARTS)
        for part in [arguments.only] if arguments.only else whole:
            result = run(interpreter, database, part)
            failed |= bool(result["status"])
            results.setdefault(release, {})[part] = result
            RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
            TABLE.write_text(table(results))
            print(f"{release}, {part}: {cell(result)}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
