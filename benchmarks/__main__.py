"""``python -m benchmarks``: measure, or write docs/performance.rst; see README.rst here.

Each database runs by itself, so that no other takes its processor time, and has a session of
pytest; the question Disk has a server, and so a session, of its own.
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
from tests.servers import ServerError, launch
from tests.servers.probe import describe
from tests.servers.slow_disk import SlowPostgreSQL

HERE = Path(__file__).parent
QUESTIONS = ("call", "contention", "growth", "bulk", "posting", "disk")


def main() -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure")
    run.add_argument("--quick", action="store_true", help="in minutes, with rough figures")
    run.add_argument("--only", type=questions, default=QUESTIONS, help="questions, by commas")
    run.add_argument("--db", default="", help="databases, by commas; default: all four")
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
    Results.new(path, scale).save()
    for database in databases:
        measure(path, database, arguments.only)
    return finish(Results(path))


def questions(text: str) -> tuple[str, ...]:
    """The questions in a list with commas."""
    names = tuple(text.replace(",", " ").split())
    if unknown := [name for name in names if name not in QUESTIONS]:
        raise argparse.ArgumentTypeError(
            f"no question is called {unknown[0]!r}; there is {', '.join(QUESTIONS)}"
        )
    return names or QUESTIONS


def measure(path: Path, database: str, asked: tuple[str, ...]) -> None:
    """Ask a database these questions; what goes wrong is a line of the results."""
    slow = [one for one in asked if one == "disk" and can_be_slowed(database)]
    for together in ([one for one in asked if one != "disk"], slow):
        if not together:
            continue
        try:
            with server(database, slow=together is slow) as environment:
                title = describe(environment[URL])
                print(f"\n{title}: {', '.join(together)}", flush=True)
                note(path, database, title=title)
                session(path, database, together, environment)
        except Exception as error:  # noqa: BLE001 # a driver's: the server can't be reached
            note(path, database, error=f"{type(error).__name__}: {error}".splitlines()[0])


def note(path: Path, database: str, **known: str) -> None:
    """Write down what is known of a database."""
    results = Results(path)
    results.databases.setdefault(database, {}).update(known)
    results.save()


def can_be_slowed(database: str) -> bool:
    """Only PostgreSQL's disk is, and only if the server is ours."""
    return database == "postgresql" and launch.variable(database) not in os.environ


def session(path: Path, database: str, asked: list[str], environment: dict[str, str]) -> None:
    """Run pytest on these questions; the calls are saved for ``pytest-benchmark compare``."""
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
    """A server of its own, with its default durability, or that of a URL in the environment.

    With ``slow`` it is a PostgreSQL whose disk can be slowed down.
    """
    try:
        if slow:
            with SlowPostgreSQL() as own:
                yield {URL: own.url, DISK: str(own.disk.folder)}
        else:
            url = launch.start([database], durable=True)[database]
            yield {URL: url + "-benchmarks" if database == "sqlite" else url}
    finally:
        launch.stop()


def finish(results: Results) -> int:
    """Show the tables, and draw the charts beside the results; 1 if one of ours failed."""
    console = Console()
    for table in (*page.tables(results), page.failures(results)):
        if table.rows:
            console.print(shown(table))
    charts.save(results)
    print(f"Written: {results.path.parent}")
    return int(results.ours_failed)


if __name__ == "__main__":
    sys.exit(main())
