"""The figures of a cell, and the check that numbers are exact, without which no speed counts."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sequences_core.testing.history import Row, Series, Transaction, check

if TYPE_CHECKING:
    from benchmarks.contestants.base import Contestant
    from benchmarks.questions.writers import Outcome


@dataclass
class Times:
    """The durations of calls in seconds, by turn."""

    turns: list[list[float]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def result(self) -> dict[str, Any]:
        """Return the medians in µs, of all turns together and of each."""
        everything = [time for turn in self.turns for time in turn]
        medians = (statistics.median(turn) * 1e6 for turn in (everything, *self.turns))
        median, *turns = (round(one, 2) for one in medians)
        return {"median": median, "turns": turns, **self.details}


@dataclass
class Tally:
    """The rows of several writers, over all turns."""

    rates: list[float] = field(default_factory=list)
    """Committed rows per second, by turn."""
    writers: Counter[int] = field(default_factory=Counter)
    """Rows committed by each writer."""
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    fault: str | None = None
    """The first description of numbers that aren't exact."""

    def result(self) -> dict[str, Any]:
        """Return the figures, without a speed if the numbers are not exact."""
        committed = self.writers.total()
        found = {"committed": committed, "errors": dict(self.errors), "fault": self.fault}
        if self.fault or not committed:
            return found
        counts = self.writers.values()
        figures = {
            "rate": round(statistics.median(self.rates), 1),
            "turns": [round(rate, 1) for rate in self.rates],
            "fairness": round(min(counts) / max(counts), 3),
            "seconds": round(self.seconds, 1),
        }
        if len(self.waits) > 1:
            figures["p99"] = round(statistics.quantiles(self.waits, n=100)[-1] * 1e3, 3)
        return found | figures

    def add(self, seconds: float, outcomes: list[Outcome], contestant: Contestant) -> None:
        """Add a turn, and check the numbers that it stored."""
        committed: Counter[str] = Counter()
        for writer, outcome in enumerate(outcomes):
            committed[outcome.scope] += outcome.committed
            self.writers[writer] += outcome.committed
            self.waits += outcome.waits
            self.errors += outcome.errors
        self.seconds += seconds
        self.rates.append(committed.total() / seconds)
        if contestant.gapless:
            with contestant.active():
                fault = fault_in(committed, contestant.numbers(), contestant.last)
            self.fault = self.fault or fault


def fault_in(
    committed: Mapping[str, int],
    numbers: Iterable[tuple[str, int | None]],
    last: Callable[[str], int | None],
) -> str | None:
    """Return what is wrong if the numbers of a scope with n committed rows aren't 1..n, or None.

    ``numbers`` are the scopes and numbers of all rows; ``last`` returns the last number of a
    scope's counter, or None if there is no counter.
    """
    history = {
        scope: Transaction(scope, rows=count, outcome="committed")
        for scope, count in committed.items()
    }
    rows = [Row(scope, number, scope) for scope, number in numbers]
    lasts = {scope: last(scope) for scope, count in committed.items() if count}
    counters = {scope: committed[scope] if at is None else at for scope, at in lasts.items()}
    verdict = check(history, rows, counters, map(Series, committed))
    return None if verdict.exact else "; ".join(verdict.problems)
