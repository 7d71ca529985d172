"""What clients did, and whether the tables they left keep the promise: a recorder and a checker.

Each client writes its own history, a line per event, before and after everything that matters::

    history = Recorder(path)
    history("t1", "begin")                      # "t1" is stored with each row that it inserts
    history("t1", "taken", "invoices", 7, 2)    # the counter, the first number, how many
    history("t1", "undone", 0)                  # rolled back to a savepoint: 0 takes are left
    history("t1", "committing", 2)              # about to send COMMIT; how many rows it has
    history("t1", "committed")                  # or "rolled back"

A client may end, or be ended, anywhere. Without "committing" nothing of a transaction can be in
the tables; without a word after it the outcome is unknown: all of it is there, or nothing.
:func:`check` compares the histories with the tables.
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
"""How many problems a verdict spells out; it counts all of them."""


@dataclass(frozen=True)
class Series:
    """The numbers that the counter ``name`` should give: from ``initial``, before ``reset``."""

    name: str
    initial: int = 1
    reset: int | None = None

    def number(self, position: int) -> int:
        """The number at ``position``, which counts from 0."""
        if self.reset is not None:
            position %= self.reset - self.initial
        return self.initial + position


class Row(NamedTuple):
    """A row of the final table: which number of which counter, inserted by which transaction."""

    counter: str
    number: int | None
    transaction: str


@dataclass(frozen=True)
class Take:
    """A block of numbers that a client was given, and when (``time.monotonic``, in seconds)."""

    counter: str
    first: int
    count: int
    at: float


@dataclass
class Transaction:
    """What a client says of one transaction."""

    name: str
    takes: list[Take] = field(default_factory=list)
    rows: int = 0
    committing_at: float | None = None
    outcome: Outcome | None = None

    @property
    def ended(self) -> Outcome:
        """The outcome, also where the client did not live to tell."""
        if self.outcome:
            return self.outcome
        return "rolled back" if self.committing_at is None else "unknown"

    def numbers(self) -> Counter[tuple[str, int | None]]:
        """The numbers that it held when it committed."""
        return Counter(
            (take.counter, number)
            for take in self.takes
            for number in range(take.first, take.first + take.count)
        )


class Recorder:
    """A history that survives its client's SIGKILL: each event is handed to the system at once."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def __call__(self, transaction: str, event: str, *details: Any) -> None:
        """Write one event."""
        line = json.dumps([time.monotonic(), transaction, event, *details])
        os.write(self._file, line.encode() + b"\n")


def events(path: Path) -> Iterator[list[Any]]:
    """The events of one history: time, transaction, event, details."""
    with path.open() as lines:
        for line in lines:
            if line.endswith("\n"):  # else the last one, cut short with its client
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
    """What :func:`check` found; ``exact`` if the promise was kept."""

    committed: int = 0
    rolled_back: int = 0
    unknown_whole: int = 0
    unknown_absent: int = 0
    numbers: int = 0
    """Rows in the final table."""
    holes: int = 0
    duplicates: int = 0
    lost: int = 0
    """Transactions that were committed, and are not there, or not whole."""
    risen: int = 0
    """Transactions that were rolled back, or never committed, and are there."""
    disorders: int = 0
    """Numbers that were taken before the transaction with the number before them committed."""
    problem_count: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Is there nothing to object to?"""
        return not self.problem_count

    @property
    def transactions(self) -> int:
        """How many there were, however they ended."""
        return self.committed + self.rolled_back + self.unknown_whole + self.unknown_absent

    def object(self, problem: str) -> None:
        """Note a problem."""
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


def check(
    history: Mapping[str, Transaction],
    rows: Iterable[Row],
    counters: Mapping[str, int],
    series: Iterable[Series],
) -> Verdict:
    """Decide whether every committed row has its one number, 1..n, in the order of the commits.

    ``rows`` and ``counters`` are the final tables, read when no client's session is left. The
    times in the histories must come from one machine's clock.
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
        # Numbers that come again can be put in order by time alone, so all must have been told.
        told = sum(take.count for take, _ in takes)
        if one.reset is None or told == len(by_counter[one.name]):
            _check_order(verdict, one, takes)
    return verdict


def _check_transaction(
    verdict: Verdict, transaction: Transaction, found: Counter[tuple[str, int | None]]
) -> None:
    """Is all of it there if it committed, and nothing if it did not?"""
    outcome, name, total = transaction.ended, transaction.name, found.total()
    if outcome == "rolled back":
        verdict.rolled_back += 1
        if total:
            verdict.risen += 1
            verdict.object(f"{name} did not commit, and its rows are there: {_shown(found)}")
        return
    # Where the number was taken inside the INSERT, a client that is cut off never hears of it.
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
    """Is each number there once, without a hole, and does the counter stand at the last one?"""
    numbers = Counter(row.number for row in rows if row.number is not None)
    if missing := len(rows) - numbers.total():
        verdict.object(f"{missing} rows without a number of {series.name!r}")
    if series.reset is None:
        # How far the counter got is how many numbers there should be.
        top = max([*numbers, last or 0])
        total = max(0, top - series.initial + 1)
    else:
        total = numbers.total()
    wanted = Counter(series.number(position) for position in range(total))
    holes, surplus = wanted - numbers, numbers - wanted
    verdict.holes += holes.total()
    verdict.duplicates += surplus.total()
    if holes:
        verdict.object(f"{series.name!r} has holes: {_some(sorted(holes))}")
    if surplus:
        verdict.object(f"{series.name!r} has numbers too often: {_some(surplus)}")
    if last != (series.number(total - 1) if total else None):
        verdict.object(f"the counter {series.name!r} is at {last}, after {total} numbers")


def _check_order(verdict: Verdict, series: Series, takes: list[tuple[Take, Transaction]]) -> None:
    """Was each number taken only after the commit of the one before it had begun?"""
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
