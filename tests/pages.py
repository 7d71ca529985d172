"""Tables of results, for the terminal and for generated sections of the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.table import Table as Shown
from rich.text import Text

END = ".. End of what is generated.\n"

TITLES = {
    "postgresql": "PostgreSQL",
    "mariadb": "MariaDB",
    "mysql": "MySQL",
    "sqlite": "SQLite",
    "oracle": "Oracle",
    "firebird": "Firebird",
}

STYLES = {"best": ("**", "bold green"), "bad": ("*", "red"), "": ("", "")}
"""The markup of a style in reStructuredText, and its name for rich."""


@dataclass(frozen=True)
class Entry:
    """One cell of a table."""

    text: str
    style: str = ""
    """best, bad, or empty."""


@dataclass
class Table:
    title: str
    columns: list[str]
    rows: list[list[Entry]] = field(default_factory=list)
    note: str = ""

    def add(self, *entries: str | Entry) -> None:
        self.rows.append([entry if isinstance(entry, Entry) else Entry(entry) for entry in entries])


def rst(table: Table) -> Iterator[str]:
    """Yield the table in reStructuredText, with the best entries in bold and the bad in italics."""
    yield f"\n.. list-table:: {table.title}"
    yield "   :header-rows: 1\n"
    for row in ([Entry(column) for column in table.columns], *table.rows):
        for number, entry in enumerate(row):
            mark = STYLES[entry.style][0] if entry.text else ""
            yield f"   {'*' if number == 0 else ' '} - {mark}{entry.text}{mark}".rstrip()
    yield ""
    if table.note:
        yield f"{table.note}\n"


def shown(table: Table) -> Shown:
    """Return the table for rich."""
    result = Shown(title=table.title, caption=table.note or None, title_justify="left")
    result.add_column(table.columns[0], min_width=20, overflow="fold")
    for column in table.columns[1:]:
        result.add_column(column, justify="right", overflow="fold")
    for row in table.rows:
        result.add_row(*(Text(entry.text, STYLES[entry.style][1]) for entry in row))
    return result


def spliced(text: str, mark: str, section: str) -> str:
    """Return the text with a new section between ``mark`` and the END that follows it.

    Raise ValueError if one of them is missing.
    """
    begin = text.index(mark)
    end = text.index(END, begin)
    return text[:begin] + mark + "\n" + section.strip("\n") + "\n\n" + text[end:]
