"""``python -m benchmarks``: measure; ``compare A B``; ``readme``: see README.rst here."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.report import compare, page, readme, terminal
from benchmarks.results import FOLDER, Results
from benchmarks.scale import SCALES
from benchmarks.suite import QUESTIONS, Suite
from tests.servers import ServerError
from tests.servers.launch import chosen


def main() -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    run = commands.add_parser("run", help="measure (the default)")
    run.add_argument("--quick", action="store_true", help="in minutes, with rough figures")
    run.add_argument("--only", type=questions, default=QUESTIONS, help="questions, by commas")
    run.add_argument("--db", default="", help="databases, by commas; default: all four")
    run.add_argument("--label", help="name of the folder in benchmarks/results/")
    run.add_argument("--resume", action="store_true", help="add to the results that are there")
    sides = commands.add_parser("compare", help="set two runs side by side")
    sides.add_argument("a", type=results_of)
    sides.add_argument("b", type=results_of)
    report = commands.add_parser("report", help="write the page and the charts of a run again")
    report.add_argument("results", type=results_of)
    commands.add_parser("readme", help="write docs/performance.rst")
    arguments = parser.parse_args(with_command(sys.argv[1:]))
    match arguments.command:
        case "compare":
            compare.show(arguments.a, arguments.b)
        case "report":
            finish(arguments.results)
        case "readme":
            readme.write()
        case _:
            return measure(arguments)
    return 0


def with_command(arguments: list[str]) -> list[str]:
    """Measuring needs no command's name."""
    named = arguments and (arguments[0] in {"run", "compare", "report", "readme", "-h", "--help"})
    return arguments if named else ["run", *arguments]


def measure(arguments: argparse.Namespace) -> int:
    """Run the suite; 1 if one of ours failed."""
    scale = SCALES["quick" if arguments.quick else "full"]
    path = FOLDER / (arguments.label or scale.name) / "results.json"
    try:
        databases = chosen(arguments.db)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 2
    results = Results(path, scale.name)
    if arguments.resume and path.exists():
        results = Results.load(path)
    try:
        with terminal.Progress() as progress:
            suite = Suite(results, scale, databases, arguments.only, progress.show)
            progress.begin(suite.seconds)
            suite.run()
    except KeyboardInterrupt:
        print(f"Interrupted. What was measured is in {path}; --resume goes on from there.")
        return 130
    finish(results)
    return int(results.ours_failed)


def finish(results: Results) -> None:
    """Show the tables, and write the charts and the page beside the results."""
    terminal.show(results)
    print(f"Written: {page.write(results)}")


def questions(text: str) -> tuple[str, ...]:
    """The questions in a list with commas."""
    names = tuple(text.replace(",", " ").split())
    if unknown := [name for name in names if name not in QUESTIONS]:
        raise argparse.ArgumentTypeError(
            f"no question is called {unknown[0]!r}; there is {', '.join(QUESTIONS)}"
        )
    return names or QUESTIONS


def results_of(text: str) -> Results:
    """The results in a file, or of a label."""
    path = Path(text) if Path(text).is_file() else FOLDER / text / "results.json"
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there are no results in {path}")
    return Results.load(path)


if __name__ == "__main__":
    sys.exit(main())
