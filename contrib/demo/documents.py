"""Invoices that are numbered when they are posted, per year, and then audited."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from io import StringIO
from multiprocessing.connection import Connection
from typing import Any

from django.core.management import CommandError, call_command
from django.db import connection
from rich.console import Console
from sequences_contrib.afterwards import void
from sequences_contrib.posting import assign_numbers

import writer  # noqa: F401 # sets up Django in the process that is killed
from invoices.models import PostedInvoice
from supervisor import new_process

DRAFTS = 300
ORDER = ("issued_on", "pk")


def show(console: Console) -> bool:
    """Show how documents are numbered; return whether the audit found nothing."""
    start = date(2025, 7, 1)
    days = [start + timedelta(days=number) for number in range(DRAFTS)]
    random.shuffle(days)
    PostedInvoice.objects.bulk_create(
        PostedInvoice(customer="Ada", amount=Decimal(10), issued_on=day) for day in days
    )
    console.print(f"\n{DRAFTS} drafts of two years are posted, in random order of their dates.")
    PostedInvoice.objects.update(posted=True)
    ours, theirs = new_process(number_and_hold, str(connection.settings_dict["NAME"]))
    ours.recv()
    theirs.kill()
    theirs.join()
    console.print("A worker numbers them, but is killed before it commits. Another one repeats it:")
    assigned = assign_numbers(PostedInvoice.objects.all(), order_by=ORDER)
    texts = list(PostedInvoice.objects.order_by(*ORDER).values_list("text", flat=True))
    for year in ("2025", "2026"):
        of_year = [text for text in texts if text and text.startswith(f"INV-{year}")]
        console.print(f"  {of_year[0]}, {of_year[1]}, … {of_year[-1]}", highlight=False)
    void(PostedInvoice.objects.get(text="INV-2026-0007"), reason="written twice", delete=True)
    console.print("INV-2026-0007 is deleted and recorded as void. manage.py sequences audit:")
    out = StringIO()
    try:
        for model in ("invoices.Invoice", "invoices.PostedInvoice"):
            call_command("sequences", "audit", model, stdout=out)
    except CommandError as error:
        console.print(f"FAILED: {out.getvalue()}{error}", style="bold red")
        return False
    console.print(out.getvalue().rstrip(), highlight=False)
    return assigned.rows == DRAFTS


def number_and_hold(pipe: Connection, database: str) -> None:
    """Number the drafts, but stop within the transaction until the process is killed."""
    connection.settings_dict["NAME"] = database

    def hold(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        result = execute(sql, *args)
        if "UPDATE" in sql and "postedinvoice" in sql:
            pipe.send("holding")
            pipe.recv()
        return result

    with connection.execute_wrapper(hold):
        assign_numbers(PostedInvoice.objects.all(), order_by=ORDER)
