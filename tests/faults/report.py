"""What was done and what came of it: for machines as JSON, for people as reStructuredText."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.faults.arena import Tally

RESULTS = Path(__file__).with_name("results")

COLUMNS = ("rounds", "transactions", "kills", "retries", "holes", "duplicates", "lost")

EXPECTED_LOSS = "primary killed, asynchronous"
"""The one fault that is there to show a loss."""


def row(tally: Tally) -> dict[str, int]:
    """The figures of one fault on one database, by column."""
    verdict = tally.verdict
    killed = sum(
        count
        for name, count in tally.done.items()
        if name.endswith("killed")  # not "… killed in mid-transaction", which are among them
    )
    figures = (tally.rounds, verdict.transactions, killed, tally.retries)
    return dict(
        zip(COLUMNS, (*figures, verdict.holes, verdict.duplicates, verdict.lost), strict=True)
    )


def write(tallies: Sequence[Tally], folder: Path = RESULTS) -> None:
    """Write faults.json and faults.rst."""
    folder.mkdir(exist_ok=True)
    records = [
        {**asdict(tally), "seconds": round(tally.seconds, 1), "exact": tally.verdict.exact}
        for tally in tallies
    ]
    (folder / "faults.json").write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n")
    (folder / "faults.rst").write_text(table(tallies))


def table(tallies: Sequence[Tally]) -> str:
    """One line per fault and database, and the totals of what was done."""
    done: dict[str, int] = {}
    lines = [".. list-table::", "   :header-rows: 1", ""]
    lines += _line(["fault", "database", *COLUMNS])
    for tally in tallies:
        lines += _line([tally.fault, tally.database, *map(str, row(tally).values())])
        for name, count in tally.done.items():
            done[name] = done.get(name, 0) + count
    totals = ", ".join(f"{count} {name}" for name, count in sorted(done.items()))
    return "\n".join([*lines, "", f"In all: {totals}.", ""])


def _line(cells: Sequence[str]) -> list[str]:
    first, *others = cells
    return [f"   * - {first}", *(f"     - {cell}" for cell in others)]
