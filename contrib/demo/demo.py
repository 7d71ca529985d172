"""Issue invoices from concurrent processes, roll some back, kill some processes; check the numbers.

SequenceField is compared with MAX + 1, COUNT + 1 and, on servers, auto-increment.

The variable DB selects the database: sqlite (the default), postgresql, mariadb or mysql. The demo
starts a temporary server, unless a variable such as POSTGRESQL_URL contains the URL of one. In both
cases, it creates its own database. The exit status is 0 if SequenceField's numbers are gapless.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import django
from django.db import connection, connections
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tests.servers import ServerError, start, stop
from tests.servers.launch import chosen
from tests.servers.probe import describe


def main() -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--invoices", type=int, default=1000, help="requests for each method (default: 1000)"
    )
    parser.add_argument("--kills", type=int, default=12, help="writers to kill (default: 12)")
    parser.add_argument(
        "--serve", action="store_true", help="serve the data in Django's admin afterwards"
    )
    arguments = parser.parse_args()
    if arguments.invoices < 1 or arguments.kills < 0:
        parser.error("--invoices must be at least 1, and --kills must not be negative")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM also cleans up
    try:
        names = chosen(os.environ.get("DB") or "sqlite")
        if len(names) > 1:
            raise ServerError(f"The demo runs on one database, not on {' and '.join(names)}.")
        settings = "served_settings" if arguments.serve else "settings"
        with database(names[0], settings) as title:
            status = demo(title, arguments.invoices, arguments.kills)
            if arguments.serve and not status:
                from serving import serve

                serve()
            return status
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    finally:
        stop()


@contextmanager
def database(name: str, settings: str) -> Iterator[str]:
    """Set up Django with empty databases, which are removed afterwards."""
    os.environ["DATABASE_URL"] = url = start([name], durable=True)[name]
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    django.setup()
    with ExitStack() as stack:
        for each in connections.all():
            given = each.settings_dict["NAME"]
            own = f"invoices_demo_{os.getpid()}"
            if each.vendor == "sqlite":
                own = str(Path(given).with_name(f"{own}_{each.alias}"))
            each.settings_dict["TEST"]["NAME"] = own
            each.creation.create_test_db(verbosity=0, autoclobber=True)
            stack.callback(each.creation.destroy_test_db, given, verbosity=0)
        yield describe(url)


def demo(title: str, invoices: int, kills: int) -> int:
    """Run the same load with each method, show the results, and return the exit status."""
    # Models can be imported only after django.setup().
    import documents
    import report
    from invoices.models import AutoInvoice, CountInvoice, Invoice, MaxInvoice
    from invoices.services import TODAY
    from supervisor import WRITERS, Supervisor, Tally, WriterDied

    console = Console()
    progress = Progress(
        TextColumn("{task.description:20}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[tally].commits:,} issued"),
        TextColumn("[yellow]{task.fields[refused]:,} refused"),
        TextColumn("{task.fields[tally].rollbacks:,} rolled back"),
        TextColumn("[red]{task.fields[tally].kills:,} killed"),
        console=console,
    )

    def load(way: str) -> Tally:
        task = progress.add_task(way, total=invoices, tally=Tally(), refused=0)

        def show(tally: Tally) -> None:
            refused = tally.refused.total()
            progress.update(task, completed=tally.answered, tally=tally, refused=refused)

        return Supervisor(way, invoices, kills, show).run()

    ways: dict[str, Any] = {
        "SequenceField": Invoice,
        "MAX + 1": MaxInvoice,
        "COUNT + 1": CountInvoice,
    }
    if connection.vendor != "sqlite":
        ways["auto-increment"] = AutoInvoice
    console.print(
        f"{WRITERS} processes request {invoices:,} invoices on {title}. One transaction in five is "
        f"rolled back after it has taken its number, and {kills} processes are killed."
    )
    try:
        with progress:
            tallies = {way: load(way) for way in ways}
    except WriterDied as error:
        console.print(f"FAILED: {error}", style="bold red")
        return 1
    results = []
    for way, model in ways.items():
        alias = "default" if model is Invoice else TODAY
        numbers = model.objects.using(alias).order_by("number").values_list("number", flat=True)
        results.append(report.Result(way, list(numbers), tallies[way]))
    note = report.SQLITE_NOTE if connection.vendor == "sqlite" else None
    console.print(report.table(title, results, note))
    for result in results:
        gapless = not report.problems(result, invoices)
        style = "bold green" if gapless else "red"
        console.print(report.verdict(result, invoices), style=style, soft_wrap=True)
    failed = bool(report.problems(results[0], invoices)) or not documents.show(console)
    if failed:
        console.print("FAILED", style="bold red")
    return int(failed)
