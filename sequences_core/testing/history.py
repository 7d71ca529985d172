"""Record what clients do, and check the tables afterwards for gaps, duplicates and lost rows.

Each client writes its own history, with a line before and after each relevant event::

    history = Recorder(path)
    history("t1", "begin")                      # "t1" is stored with each row that it inserts
    history("t1", "taken", "invoices", 7, 2)    # the counter, the first number, how many
    history("t1", "undone", 0)                  # rolled back to a savepoint: 0 takes are left
    history("t1", "committing", 2)              # before COMMIT is sent; the number of its rows
    history("t1", "committed")                  # or "rolled back"

A client may end or be killed at any time. If "committing" isn't in the history, the tables must
have nothing of the transaction. If nothing follows "committing", the outcome is unknown: the
tables must have all of the transaction or nothing. :func:`check` compares the histories with the
tables.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

Outcome = Literal["committed", "rolled back", "unknown"]

MOST_PROBLEMS = 20
"""The maximum number of problems that a verdict describes. It counts all of them."""


@dataclass(frozen=True)
class Series:
    """The numbers that the sequence ``name`` should give: from ``initial`` to before ``reset``."""

    name: str
    initial: int = 1
    reset: int | None = None

    def number(self, position: int) -> int:
        """Return the number at ``position``, which begins at 0."""
        if self.reset is not None:
            position %= self.reset - self.initial
        return self.initial + position


class Row(NamedTuple):
    """A row of the final table: the sequence, the number and the transaction that inserted it."""

    counter: str
    number: int | None
    transaction: str


@dataclass(frozen=True)
class Take:
    """A block of numbers that a client took, and the time (``time.monotonic``, in seconds)."""

    counter: str
    first: int
    count: int
    at: float


@dataclass
class Transaction:
    """One transaction, as recorded by its client."""

    name: str
    takes: list[Take] = field(default_factory=list)
    rows: int = 0
    committing_at: float | None = None
    outcome: Outcome | None = None

    @property
    def ended(self) -> Outcome:
        """Return the outcome, also if the client was killed before it recorded one."""
        if self.outcome:
            return self.outcome
        return "rolled back" if self.committing_at is None else "unknown"

    def numbers(self) -> Counter[tuple[str, int | None]]:
        """Return the numbers that it had taken, without those that were rolled back."""
        return Counter(
            (take.counter, number)
            for take in self.takes
            for number in range(take.first, take.first + take.count)
        )


class Recorder:
    """A history that survives SIGKILL, because each event is written without a buffer."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def __call__(self, transaction: str, event: str, *details: Any) -> None:
        """Write one event."""
        line = json.dumps([time.monotonic(), transaction, event, *details])
        os.write(self._file, line.encode() + b"\n")


def events(path: Path) -> Iterator[list[Any]]:
    """Yield the events of one history: time, transaction, event, details."""
    with path.open() as lines:
        for line in lines:
            if line.endswith("\n"):  # the last line may be incomplete if the client was killed
                yield json.loads(line)


def transactions(paths: Iterable[Path]) -> dict[str, Transaction]:
    """Read the histories of all clients."""
    found: dict[str, Transaction] = {}
    for path in paths:
        for at, name, event, *details in events(path):
            if event == "begin":
                found[name] = Transaction(name)
            elif event == "taken":
                counter, first, count = details
                found[name].takes.append(Take(counter, first, count, at))
            elif event == "undone":
                del found[name].takes[details[0] :]
            elif event == "committing":
                found[name].committing_at = at
                found[name].rows = details[0]
            elif event in {"committed", "rolled back"}:
                found[name].outcome = event
    return found


@dataclass
class Verdict:
    """The result of :func:`check`; ``exact`` is true if there are no problems."""

    committed: int = 0
    rolled_back: int = 0
    unknown_whole: int = 0
    unknown_absent: int = 0
    numbers: int = 0
    """The number of rows in the final table."""
    holes: int = 0
    """The number of gaps."""
    duplicates: int = 0
    lost: int = 0
    """Transactions that were committed, but whose rows are missing or incomplete."""
    risen: int = 0
    """Transactions that were rolled back or never committed, but whose rows exist."""
    disorders: int = 0
    """Numbers that were taken before the transaction with the previous number committed."""
    problem_count: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Return whether there are no problems."""
        return not self.problem_count

    @property
    def transactions(self) -> int:
        """Return the number of transactions with any outcome."""
        return self.committed + self.rolled_back + self.unknown_whole + self.unknown_absent

    def object(self, problem: str) -> None:
        """Add a problem."""
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


def check(
    history: Mapping[str, Transaction],
    rows: Iterable[Row],
    counters: Mapping[str, int],
    series: Iterable[Series],
) -> Verdict:
    """Check that the committed rows have the numbers 1..n, each once, in the order of commits.

    ``rows`` and ``counters`` are the final tables, read after all clients' sessions have ended.
    The times in the histories must come from one machine's clock.
    """
    verdict = Verdict()
    by_transaction: dict[str, Counter[tuple[str, int | None]]] = defaultdict(Counter)
    by_counter: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_transaction[row.transaction][row.counter, row.number] += 1
        by_counter[row.counter].append(row)
        verdict.numbers += 1
    for name in by_transaction.keys() - history.keys():
        verdict.object(f"rows of {name}, which is in no history")
    for transaction in history.values():
        _check_transaction(verdict, transaction, by_transaction[transaction.name])
    expected = {one.name: one for one in series}
    for name in by_counter.keys() | counters.keys():
        if name in expected:
            _check_numbers(verdict, expected[name], by_counter[name], counters.get(name))
        else:
            verdict.object(f"numbers of {name!r}, which no client takes")
    there = {name for name, numbers in by_transaction.items() if numbers}
    for one in expected.values():
        takes = [
            (take, transaction)
            for transaction in history.values()
            if transaction.name in there
            for take in transaction.takes
            if take.counter == one.name
        ]
        # Numbers of a loop can be ordered only by time, so this needs a record of each of them.
        told = sum(take.count for take, _ in takes)
        if one.reset is None or told == len(by_counter[one.name]):
            _check_order(verdict, one, takes)
    return verdict


def _check_transaction(
    verdict: Verdict, transaction: Transaction, found: Counter[tuple[str, int | None]]
) -> None:
    """Check that all rows exist if the transaction committed, and none if it didn't."""
    outcome, name, total = transaction.ended, transaction.name, found.total()
    if outcome == "rolled back":
        verdict.rolled_back += 1
        if total:
            verdict.risen += 1
            verdict.object(f"{name} did not commit, but its rows exist: {_shown(found)}")
        return
    # If the number was taken in-statement, a client that is killed may not have recorded it.
    whole = total == transaction.rows and found == (transaction.numbers() or found)
    if outcome == "committed":
        verdict.committed += 1
    elif whole:
        verdict.unknown_whole += 1
    else:
        verdict.unknown_absent += 1
    if not whole and (outcome == "committed" or total):
        verdict.lost += 1
        verdict.object(
            f"{name}, {outcome}, has {transaction.rows} rows, {_shown(transaction.numbers())}; "
            f"in the table are {total}, {_shown(found)}"
        )


def _check_numbers(verdict: Verdict, series: Series, rows: list[Row], last: int | None) -> None:
    """Check that there are no gaps or duplicates, and that the counter has the last number."""
    numbers = Counter(row.number for row in rows if row.number is not None)
    if missing := len(rows) - numbers.total():
        verdict.object(f"{missing} rows without a number of {series.name!r}")
    if series.reset is None:
        # The counter's last number tells how many numbers there should be.
        top = max([*numbers, last or 0])
        total = max(0, top - series.initial + 1)
    else:
        total = numbers.total()
    wanted = Counter(series.number(position) for position in range(total))
    holes, surplus = wanted - numbers, numbers - wanted
    verdict.holes += holes.total()
    verdict.duplicates += surplus.total()
    if holes:
        verdict.object(f"{series.name!r} has gaps: {_some(sorted(holes))}")
    if surplus:
        verdict.object(f"{series.name!r} has duplicates: {_some(surplus)}")
    if last != (series.number(total - 1) if total else None):
        verdict.object(f"the counter {series.name!r} is at {last}, after {total} numbers")


def _check_order(verdict: Verdict, series: Series, takes: list[tuple[Take, Transaction]]) -> None:
    """Check that each number was taken after the COMMIT of the previous one was sent."""
    takes.sort(key=lambda pair: pair[0].at if series.reset else pair[0].first)
    for (before, one), (after, other) in itertools.pairwise(takes):
        if one is other:
            in_order = before.at <= after.at
        else:
            in_order = one.committing_at is not None and one.committing_at < after.at
        if series.reset is not None:
            in_order &= after.first == (
                series.initial if before.first + 1 == series.reset else before.first + 1
            )
        if not in_order:
            verdict.disorders += 1
            verdict.object(
                f"{series.name!r}: {after.first} of {other.name} was taken before {before.first} "
                f"of {one.name} was committed"
            )


def _shown(numbers: Counter[tuple[str, int | None]]) -> str:
    return _some(f"{name!r} {number}" for name, number in numbers.elements())


def _some(things: Iterable[Any]) -> str:
    listed = [str(thing) for thing in things]
    return ", ".join(listed[:8]) + (f", … ({len(listed)} in all)" if len(listed) > 8 else "")
