"""The examples in docs/doctor.rst show the doctor's output."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

from django.db import connections, transaction

from sequences_core import get_allocator, get_next_value
from sequences_core.models import Counter
from sequences_core.operations import install
from sequences_core.testing.threads import Elsewhere, end

from .reading import execute, only, printed, taken, until_warned

PAGE = Path(__file__).parents[2] / "docs" / "doctor.rst"


def on_page(name: str) -> str:
    """Return the block with that name, which ends at the next line without indentation."""
    block = PAGE.read_text().partition(f":name: {name}\n")[2]
    lines = dedent(re.split(r"\n(?=\S)", block, maxsplit=1)[0])
    return general(lines)


def general(text: str) -> str:
    """Replace the parts of the text that differ between servers and runs."""
    text = text.replace("private_postgresql", "default").replace("fsync off", "fsync on")
    return re.sub(r"\d+(\.\d+)?", "N", text).strip()


def test_the_page_shows_what_is_printed(alias: str) -> None:
    """The page shows a sound database, and one without its function and with a blocked counter."""
    only(alias, "postgresql")
    connection = connections[alias]
    for _ in range(2):
        taken(alias)
    execute(alias, "SELECT pg_stat_force_next_flush()", "SELECT 1")
    assert general(printed("--database", alias)) == on_page("sound")
    get_allocator(connection).uninstall(connection)
    execute(alias, f"ALTER TABLE {Counter._meta.db_table} SET (fillfactor = 50)")
    try:
        waiting = Elsewhere(lambda: taken(alias), alias)
        with transaction.atomic(using=alias):
            get_next_value("invoices", using=alias)
            waiting.start()
            looking = Elsewhere(lambda: [until_warned(alias), printed("--database", alias)], alias)
            looking.start()
            _, text = looking.result()
        end([waiting])
    finally:
        install(connection)
    assert general(text) == on_page("unsound")
