"""Number posted invoices, and stop in the middle of the first transaction.

`python -m tests.books.worker ALIAS DATABASE` says "holding" when rows are numbered and not
committed; it is to be killed then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")


def main(alias: str, database: str) -> None:
    django.setup()
    from django.db import connections
    from sequences_contrib.posting import assign_numbers

    from tests.books.models import Invoice

    connection = connections[alias]
    connection.settings_dict["NAME"] = database

    def hold(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        result = execute(sql, *args)
        if sql.lstrip().startswith(("UPDATE", "WITH")) and "books_invoice" in sql:
            print("holding", flush=True)
            sys.stdin.read()
        return result

    with connection.execute_wrapper(hold):
        assign_numbers(Invoice.objects.using(alias), order_by=("issued_on", "pk"))


if __name__ == "__main__":
    main(*sys.argv[1:])
