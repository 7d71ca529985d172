"""The checker detects every kind of wrong final table, and accepts right ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sequences_core.testing.history import (
    Recorder,
    Row,
    Series,
    Take,
    Transaction,
    Verdict,
    check,
    transactions,
)

SERIES = (Series("a"), Series("loop", 3, 5))


@dataclass
class Outcome:
    """The histories and the table of three commits and one rollback, without a fault."""

    history: dict[str, Transaction]
    rows: list[Row]
    counters: dict[str, int]

    def verdict(self) -> Verdict:
        """Return the verdict of the checker."""
        return check(self.history, self.rows, self.counters, SERIES)


def _good() -> Outcome:
    history = {
        "t1": Transaction("t1", [Take("a", 1, 2, 1.0), Take("loop", 3, 1, 1.1)], 3, 2.0),
        "t2": Transaction("t2", [Take("a", 3, 1, 2.5), Take("loop", 4, 1, 2.6)], 2, 3.0),
        "t3": Transaction("t3", [Take("a", 4, 1, 3.5), Take("loop", 3, 1, 3.6)], 2, 4.0),
        "t4": Transaction("t4", [Take("a", 5, 1, 4.5)]),
    }
    for name in ("t1", "t2", "t3"):
        history[name].outcome = "committed"
    rows = [
        Row(take.counter, number, transaction.name)
        for transaction in history.values()
        for take in transaction.takes
        for number in range(take.first, take.first + take.count)
        if transaction.outcome
    ]
    return Outcome(history, rows, {"a": 4, "loop": 3})


def test_the_right_outcome_is_exact() -> None:
    """A series that restarts, a rollback, and a block of two are accepted."""
    verdict = _good().verdict()
    assert verdict.problems == []
    assert (verdict.committed, verdict.rolled_back, verdict.numbers) == (3, 1, 7)


@pytest.mark.parametrize("there", [True, False])
def test_an_unknown_outcome_may_be_either(there: bool) -> None:
    """A transaction whose COMMIT was cut has all rows or none; later numbers fit the outcome."""
    outcome = _good()
    outcome.history["t3"].outcome = None
    if not there:
        outcome.rows = [row for row in outcome.rows if row.transaction != "t3"]
        outcome.counters = {"a": 3, "loop": 4}
    verdict = outcome.verdict()
    assert verdict.problems == []
    assert (verdict.unknown_whole, verdict.unknown_absent) == (there, not there)


def _hole(outcome: Outcome) -> None:
    outcome.rows = [row._replace(number=9) if row.number == 4 else row for row in outcome.rows]


def _duplicate(outcome: Outcome) -> None:
    outcome.rows.append(outcome.rows[0])


def _lost(outcome: Outcome) -> None:
    outcome.rows = [row for row in outcome.rows if row.transaction != "t3"]


def _torn(outcome: Outcome) -> None:
    outcome.history["t3"].outcome = None
    outcome.rows = [row for row in outcome.rows if row != ("a", 4, "t3")]
    outcome.counters["a"] = 3


def _risen(outcome: Outcome) -> None:
    outcome.rows.append(Row("a", 5, "t4"))
    outcome.counters["a"] = 5


def _numberless(outcome: Outcome) -> None:
    outcome.rows[0] = outcome.rows[0]._replace(number=None)


def _stranger(outcome: Outcome) -> None:
    outcome.rows.append(Row("a", 5, "nobody"))
    outcome.counters["a"] = 5


def _unknown_counter(outcome: Outcome) -> None:
    outcome.counters["b"] = 1


def _counter_behind(outcome: Outcome) -> None:
    outcome.counters["a"] = 3


def _counter_ahead(outcome: Outcome) -> None:
    outcome.counters["a"] = 5


def _loop_off(outcome: Outcome) -> None:
    outcome.counters["loop"] = 4


def _disorder(outcome: Outcome) -> None:
    outcome.history["t2"].takes[0] = Take("a", 3, 1, 1.5)


def _loop_disorder(outcome: Outcome) -> None:
    outcome.history["t2"].takes[1] = Take("loop", 4, 1, 3.7)


def _taken_differently(outcome: Outcome) -> None:
    outcome.history["t2"].takes[0] = Take("a", 4, 1, 2.5)
    outcome.history["t3"].takes[0] = Take("a", 3, 1, 3.5)


@pytest.mark.parametrize(
    ("spoil", "count"),
    [
        (_hole, "holes"),
        (_duplicate, "duplicates"),
        (_lost, "lost"),
        (_torn, "lost"),
        (_risen, "risen"),
        (_numberless, "holes"),
        (_stranger, "problem_count"),
        (_unknown_counter, "problem_count"),
        (_counter_behind, "problem_count"),
        (_counter_ahead, "holes"),
        (_loop_off, "problem_count"),
        (_disorder, "disorders"),
        (_loop_disorder, "disorders"),
        (_taken_differently, "lost"),
    ],
)
def test_each_wrong_outcome_is_seen(spoil: Callable[[Outcome], None], count: str) -> None:
    """Each fault is counted as its kind."""
    outcome = _good()
    spoil(outcome)
    verdict = outcome.verdict()
    assert not verdict.exact
    assert getattr(verdict, count) > 0


def test_a_history_survives_its_client(tmp_path: Path) -> None:
    """Recorded events are read back; an incomplete line is no event."""
    path = tmp_path / "history"
    history = Recorder(path)
    history("t1", "begin")
    history("t1", "taken", "a", 1, 1)
    history("t1", "taken", "a", 2, 3)
    history("t1", "undone", 1)
    history("t1", "committing", 1)
    with path.open("a") as file:
        file.write('[1.0, "t1", "commi')
    (transaction,) = transactions([path]).values()
    assert [(take.first, take.count) for take in transaction.takes] == [(1, 1)]
    assert transaction.ended == "unknown"
