"""The terminal: progress while measuring, tables after."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table as Shown
from rich.text import Text

from benchmarks.report.questions import tables
from benchmarks.report.tables import Table
from benchmarks.results import Results

STYLES = {"best": "bold green", "bad": "red", "": ""}


class Progress:
    """A bar with the current cell and the time left; a line per question where no one looks."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self.bar = Bar(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}"),
            console=self.console,
        )
        self.started = time.monotonic()
        self.seconds = 0.0
        self.question = ""

    def begin(self, seconds: float) -> None:
        """Tell how long it may take."""
        self.seconds = seconds
        self.task = self.bar.add_task("starting", total=seconds, left="")
        if self.console.is_terminal:
            self.bar.start()

    def show(self, what: str, done: float) -> None:
        """Show what is measured now, when so many seconds' worth of the work is done."""
        question = ":".join(what.split(":")[:2])
        if not self.console.is_terminal and question != self.question:
            self.console.print(question)
        self.question = question
        self.bar.update(self.task, description=what, completed=done, left=self._left(done))

    def _left(self, done: float) -> str:
        elapsed = time.monotonic() - self.started
        # The estimates are rough: believe what the run has shown so far, the more it has shown.
        pace = (elapsed + 20) / (done + 20)
        left = max(0.0, (self.seconds - done) * pace)
        return f"about {left // 60:.0f} min {left % 60:02.0f} s left"

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()


def show(results: Results, console: Console | None = None) -> None:
    """Print all tables."""
    console = console or Console()
    for table in tables(results):
        console.print(shown(table))


def shown(table: Table) -> Any:
    """The table for rich."""
    result = Shown(title=table.title, caption=table.note or None, title_justify="left")
    for number, column in enumerate(table.columns):
        if number == 0:
            result.add_column(column, min_width=20, overflow="fold")
        else:
            result.add_column(column, justify="right", overflow="fold")
    for row in table.rows:
        result.add_row(*(Text(entry.text, STYLES[entry.style]) for entry in row))
    return result
