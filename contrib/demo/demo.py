"""Writers race, roll back and get killed; then count the numbers.

DB names the database: sqlite (the default), postgresql, mariadb or mysql. Its server is private
and throw-away, unless its URL is in the environment, such as POSTGRESQL_URL; there too the demo
works in a database of its own. The exit status is 0 if the numbers are gapless.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.db import connection, models
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
    parser.add_argument("--invoices", type=int, default=2000, help="to issue (default: 2000)")
    parser.add_argument("--kills", type=int, default=12, help="of writers (default: 12)")
    arguments = parser.parse_args()
    if arguments.invoices < 1 or arguments.kills < 0:
        parser.error("there is at least one invoice, and no less than no kill")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then too
    try:
        names = chosen(os.environ.get("DB") or "sqlite")
        if len(names) > 1:
            raise ServerError(f"The demo runs on one database, not on {' and '.join(names)}.")
        with database(names[0]) as title:
            return demo(title, arguments.invoices, arguments.kills)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    finally:
        stop()


@contextmanager
def database(name: str) -> Iterator[str]:
    """Set Django up on an empty database, which is removed afterwards."""
    os.environ["DATABASE_URL"] = url = start([name], durable=True)[name]
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()
    given = connection.settings_dict["NAME"]
    own = f"invoices_demo_{os.getpid()}"
    if connection.vendor == "sqlite":
        own = str(Path(given).with_name(own))
    connection.settings_dict["TEST"]["NAME"] = own
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield describe(url)
    finally:
        connection.creation.destroy_test_db(given, verbosity=0)


def demo(title: str, invoices: int, kills: int) -> int:
    """Put the same load on both tables, show what came of it, and return the exit status."""
    # Models can be imported only now.
    import report
    from invoices.models import Invoice, PlainInvoice
    from sequences_core import get_last_value
    from supervisor import WRITERS, Supervisor, Tally, WriterDied

    console = Console()
    progress = Progress(
        TextColumn("{task.description:20}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[tally].commits:,} commits"),
        TextColumn("{task.fields[tally].rollbacks:,} rollbacks"),
        TextColumn("[red]{task.fields[tally].kills:,} kills"),
        console=console,
    )

    def load(label: str, service: str) -> Tally:
        task = progress.add_task(label, total=invoices, tally=Tally())
        supervisor = Supervisor(
            service,
            invoices,
            kills,
            lambda tally: progress.update(task, completed=tally.commits, tally=tally),
        )
        return supervisor.run()

    def numbers(model: type[models.Model]) -> list[int]:
        return list(model._default_manager.order_by("number").values_list("number", flat=True))

    console.print(f"{WRITERS} writers issue {invoices:,} invoices on {title}.")
    try:
        with progress:
            tally = load("sequences_core", "issue_invoice")
            plain_tally = load("plain auto-increment", "issue_plain_invoice")
    except WriterDied as error:
        console.print(f"FAILED: {error}", style="bold red")
        return 1
    ours = report.Result(numbers(Invoice), tally, get_last_value("invoices"))
    plain = report.Result(numbers(PlainInvoice), plain_tally)
    note = report.SQLITE_NOTE if connection.vendor == "sqlite" else None
    console.print(report.table(title, ours, plain, note))
    failed = bool(report.problems(ours, invoices))
    style = "bold red" if failed else "bold green"
    console.print(report.verdict(ours, plain, invoices), style=style, soft_wrap=True)
    return int(failed)
