"""Before ``migrate``, the register has no table: each error names the command that creates it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from sequences_contrib.afterwards import void
from sequences_contrib.audit import audit
from sequences_contrib.models import Void
from sequences_contrib.upkeep import prune, sync
from sequences_contrib.voids import record_void

from sequences_core import TableMissing
from sequences_core.examination import examine_database
from tests.numbered.models import Invoice, Project, Ticket
from tests.numbered.pages import APPS as APPS
from tests.numbered.pages import PAGES, client_with
from tests.numbered.pages import to_using as to_using

TABLE, HIDDEN = Void._meta.db_table, "sequences_contrib_hidden"


@pytest.fixture
def remedy(using: str) -> Iterator[str]:
    """Hide the table, and return the end of the message."""
    Invoice.objects.bulk_create([Invoice() for _ in range(3)])
    Ticket.objects.create(project=Project.objects.create()).delete()
    for old, new in ((TABLE, HIDDEN), (HIDDEN, TABLE)):
        with connections[using].schema_editor() as editor:
            editor.alter_db_table(Void, old, new)
        if new == HIDDEN:
            yield f"{TABLE}: run manage.py migrate sequences_contrib --database={using}"


CALLS: dict[str, Callable[[], object]] = {
    "record_void": lambda: record_void("invoices", 1, row_kept=True),
    "void": lambda: void(Invoice.objects.get(number=2), reason="spoilt"),
    "void and delete": lambda: void(Invoice.objects.get(number=2), reason="spoilt", delete=True),
    "audit": lambda: audit(Invoice),
    "audit of all models": lambda: audit(),
    "sync": lambda: sync(Invoice, apply=True),
    "prune": lambda: prune(Ticket, apply=True),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_functions(using: str, remedy: str, call: Callable[[], object]) -> None:
    """The error is the same in a transaction, and nothing was changed."""
    with pytest.raises(TableMissing, match=remedy):
        call()
    with pytest.raises(TableMissing, match=remedy), transaction.atomic(using=using):
        call()
    assert Invoice.objects.count() == 3


def test_commands(using: str, remedy: str) -> None:
    """The subcommands and the doctor show the message."""
    for arguments in (["audit"], ["audit", "numbered.Invoice"], ["sync"], ["prune"]):
        with pytest.raises(CommandError, match=remedy):
            call_command("sequences", *arguments, database=using, stdout=StringIO())
    hints = [str(found.hint).lower() for found in examine_database(using).findings]
    assert remedy.partition(": ")[2] in hints


def test_pages(using: str, remedy: str) -> None:
    """The audit page and the pages of the register show it instead of an error of the server."""
    permissions = ("numbered.view_invoice", "sequences_contrib.view_void")
    client: Any = client_with(using, *permissions, raise_request_exception=False)
    register = "/admin/sequences_contrib/void/"
    pages = (register, f"{register}1/change/", f"{register}1/history/")
    for page in (f"{PAGES}numbered.Invoice.number/", *pages):
        answer = client.get(page)
        assert remedy in answer.content.decode(), page
        assert answer.status_code == (500 if page.startswith(PAGES) else 200)
