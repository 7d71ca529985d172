"""A year of two companies: documents are posted, moved, made void, lost and found."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from sequences_contrib.afterwards import renumber, void
from sequences_contrib.audit import audit
from sequences_contrib.models import Void
from sequences_contrib.posting import assign_numbers

from sequences_core import set_last_value
from tests.books.models import Company, Invoice, Project, Ticket
from tests.numbered.blocks import PATIENCE, together

ROOT = Path(__file__).parents[1]
ORDER = ("issued_on", "pk")
APPS = ["sequences_core", "sequences_contrib", "tests.books"]

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__", available_apps=APPS)


class Books:
    """The actions of the people in the story, on one database."""

    def __init__(self, using: str) -> None:
        self.using = using
        self.invoices = Invoice.objects.using(using)
        self.ann = Company.objects.using(using).create(code="ANN")
        self.bob = Company.objects.using(using).create(code="BOB")

    def draft(self, company: Company, *days: date, **values: Any) -> list[Invoice]:
        """Write invoices, which have no numbers yet."""
        return [self.invoices.create(company=company, issued_on=day, **values) for day in days]

    def post(self, **chosen: Any) -> None:
        """Post drafts by an UPDATE of their own, so that they wait for their numbers."""
        self.invoices.filter(number=None, **chosen).update(posted=True)

    def texts(self, company: Company) -> list[str | None]:
        """The texts of a company's numbered invoices, in the order of their dates."""
        rows = self.invoices.filter(company=company).exclude(number=None)
        return list(rows.order_by(*ORDER).values_list("text", flat=True))

    def command(self, *arguments: str) -> str:
        out = StringIO()
        call_command("sequences", *arguments, "--database", self.using, stdout=out)
        return out.getvalue()

    def sql(self, statement: str) -> None:
        with connections[self.using].cursor() as cursor:
            cursor.execute(statement)

    @contextmanager
    def worker_in_mid_transaction(self) -> Iterator[subprocess.Popen[str]]:
        """A process that has numbered a batch and not committed."""
        database = str(connections[self.using].settings_dict["NAME"])
        with subprocess.Popen(
            [sys.executable, "-m", "tests.books.worker", self.using, database],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as worker:
            try:
                assert worker.stdout
                assert worker.stdout.readline() == "holding\n"
                yield worker
            finally:
                worker.kill()
                worker.wait(PATIENCE)


def test_a_year_of_two_companies(using: str) -> None:
    """From drafts to an audit that explains everything."""
    books = Books(using)

    # In March and April both companies write drafts, in no order. A fiscal year begins on 1 April.
    books.draft(books.ann, date(2026, 4, 20), date(2026, 3, 31), date(2026, 4, 1))
    books.draft(books.bob, *[date(2026, 5, day) for day in range(30, 0, -1)])
    assert books.invoices.exclude(number=None).count() == 0

    # They are posted. One worker is killed in mid-transaction, when it has numbered some.
    books.post()
    with books.worker_in_mid_transaction() as worker:
        worker.kill()
        worker.wait(PATIENCE)

    # Two others finish what it has left: nothing is missing and nothing is there twice.
    def work() -> None:
        assign_numbers(Invoice.objects.using(using), order_by=ORDER, locked="wait", batch_size=7)

    together([work, work], using)
    assert books.texts(books.ann) == [
        "ANN-INV-2025-26-0001",
        "ANN-INV-2026-27-0001",
        "ANN-INV-2026-27-0002",
    ]
    assert books.texts(books.bob) == [f"BOB-INV-2026-27-{n:04d}" for n in range(1, 31)]

    # A credit note is dated back into the year that has ended, and counts there.
    (late,) = books.draft(books.ann, date(2026, 3, 30))
    late.posted = True
    late.save()
    assert late.text == "ANN-INV-2025-26-0002"

    # A ticket is moved to another project: a number of that one, and the old one is void.
    web, app = (Project.objects.using(using).create(name=name) for name in ("web", "app"))
    tickets = [Ticket.objects.using(using).create(project=web) for _ in range(3)]
    moved = tickets[1]
    moved.project = app
    assert renumber(moved, reason="belongs to the app", user="ann")
    assert (moved.project, moved.number) == (app, 1)

    # An invoice is deleted, and its number accounted for.
    deleted = books.invoices.get(text="BOB-INV-2026-27-0007")
    void(deleted, reason="written twice", user="bob", delete=True)

    # The accountant finds nothing to ask.
    explained = {
        (found.counter, missing.first, missing.explained)
        for model in (Invoice, Ticket)
        for found in audit(model, using=using)
        for missing in found.missing
    }
    registered = set(Void.objects.using(using).values_list("counter", "number"))
    assert explained == {(counter, number, "void") for counter, number in registered}
    assert len(registered) == 2
    books.command("audit", "books.Invoice")
    books.command("audit", "books.Ticket")

    # Somebody deletes a row by SQL: the audit fails, and names the number.
    books.sql("DELETE FROM books_invoice WHERE text = 'BOB-INV-2026-27-0012'")
    with pytest.raises(CommandError, match="1 counter with unexplained findings"):
        books.command("audit", "books.Invoice")
    (hole,) = [missing for found in audit(Invoice, using=using) for missing in found.unexplained]
    assert (hole.first, hole.last) == (12, 12)

    # A restore from an old backup puts a counter behind its rows. The audit says so, sync raises
    # it, and numbering goes on.
    (counter,) = [found.counter for found in audit(Invoice, using=using) if found.rows == 28]
    set_last_value(10, counter, force=True, using=using)
    (behind,) = [found for found in audit(Invoice, using=using) if found.behind]
    assert (behind.counter, behind.behind) == (counter, 20)
    assert f"{counter}: 10 -> 30" in books.command("sync", "books.Invoice")
    books.command("sync", "books.Invoice", "--apply")
    (new,) = books.draft(books.bob, date(2027, 3, 31), posted=True)
    assert books.invoices.get(pk=new.pk).text == "BOB-INV-2026-27-0031"
