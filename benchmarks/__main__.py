"""``python -m benchmarks``: run the benchmarks, or write docs/performance.rst; see README.rst here.

Only one database server runs at a time, and pytest has a session for each. The question Disk needs
a special server and therefore a session of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks.report import charts, page
from benchmarks.results import FOLDER, Results
from benchmarks.scale import DATABASE, DISK, RESULT, SCALE, URL
from tests.pages import shown
from tests.servers import ServerError, launch, stop
from tests.servers.probe import describe
from tests.servers.slow_disk import SlowPostgreSQL

HERE = Path(__file__).parent
QUESTIONS = ("call", "contention", "growth", "bulk", "posting", "disk")


def main() -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run the benchmarks")
    run.add_argument("--quick", action="store_true", help="measure rough figures in minutes")
    run.add_argument("--only", nargs="*", choices=QUESTIONS, help="questions; default: all")
    run.add_argument("--db", default="", help="comma-separated databases; default: all four")
    run.add_argument("--label", help="name of the folder in benchmarks/results/")
    commands.add_parser("page", help="write docs/performance.rst and its charts")
    arguments = parser.parse_args()
    if arguments.command == "page":
        page.write()
        return 0
    scale = "quick" if arguments.quick else "full"
    path = FOLDER / (arguments.label or scale) / "results.json"
    try:
        databases = launch.chosen(arguments.db)
    except ServerError as error:
        parser.error(str(error))
    if "firebird" in databases:
        parser.error("The suite can't measure Firebird.")
    Results.new(path, scale).save()
    asked = arguments.only or QUESTIONS
    for database in databases:
        measure(path, database, [one for one in asked if one != "disk"])
        if "disk" in asked and can_be_slowed(database):
            measure(path, database, ["disk"])
    return finish(Results(path))


def can_be_slowed(database: str) -> bool:
    """Return whether the suite starts this server and can slow its disk down."""
    return database == "postgresql" and launch.variable(database) not in os.environ


def measure(path: Path, database: str, asked: list[str]) -> None:
    """Answer these questions on a database; record an error in the results."""
    if not asked:
        return
    try:
        with server(database, slow=asked == ["disk"]) as environment:
            title = describe(environment[URL])
            print(f"\n{title}: {', '.join(asked)}", flush=True)
            note(path, database, title=title)
            session(path, database, asked, environment)
    except Exception as error:  # noqa: BLE001 # a driver's: the server can't be reached
        note(path, database, error=f"{type(error).__name__}: {error}".splitlines()[0])


def note(path: Path, database: str, **known: str) -> None:
    """Add facts about a database to the results."""
    results = Results(path)
    results.databases.setdefault(database, {}).update(known)
    results.save()


def session(path: Path, database: str, asked: list[str], environment: dict[str, str]) -> None:
    """Run pytest on these questions, and save the times for ``pytest-benchmark compare``."""
    environment[SCALE] = str(Results(path).data["scale"])
    environment |= {"DJANGO_SETTINGS_MODULE": "benchmarks.settings", RESULT: str(path)}
    environment[DATABASE] = database
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", HERE / "pytest.ini", "--rootdir", HERE),
            f"--benchmark-storage=file://{path.parent}/calls",
            *([] if {"contention", "disk"}.issuperset(asked) else [f"--benchmark-save={database}"]),
            *(HERE / "questions" / f"{question}.py" for question in asked),
        ],
        cwd=HERE.parent,
        env={**os.environ, **environment},
    )
    if done.returncode:
        raise RuntimeError(f"pytest ended with exit code {done.returncode}")


@contextmanager
def server(database: str, *, slow: bool) -> Iterator[dict[str, str]]:
    """Start a server with its default durability, unless the environment has its URL.

    With ``slow``, start a PostgreSQL server whose disk can be slowed down.
    """
    if slow:
        with SlowPostgreSQL() as own:
            yield {URL: own.url, DISK: str(own.disk.folder)}
        return
    try:
        url = launch.start([database], durable=True)[database]
        yield {URL: url + "-benchmarks" if database == "sqlite" else url}
    finally:
        stop()


def finish(results: Results) -> int:
    """Print the tables and save the charts; return the exit status."""
    console = Console()
    for table in (*page.tables(results), page.failures(results)):
        if table.rows:
            console.print(shown(table))
    charts.save(results)
    print(f"Written: {results.path.parent}")
    return int(results.ours_failed)


if __name__ == "__main__":
    sys.exit(main())
