"""The run with faults that fail, and its report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress

from sequences_core.testing.history import Verdict
from tests.faults import report
from tests.faults.__main__ import MAX_FAILURES, run
from tests.faults.arena import Arena, Tally
from tests.faults.sites import Site
from tests.pages import END


def test_the_run_goes_on_after_an_exception() -> None:
    """A round that raises an exception is a problem; the site restarts, and the next fault runs."""
    entered = 0

    @contextmanager
    def enter() -> Iterator[Any]:
        nonlocal entered
        entered += 1
        yield entered

    def fine(arena: Arena, tally: Tally) -> None:
        tally.rounds += 1

    def broken(arena: Arena, tally: Tally) -> None:
        raise OSError("no disk")

    site = Site("here", "sqlite", enter, {"broken": broken, "fine": fine})
    with Progress(disable=True) as progress:
        first, second = run(site, ["broken", "fine"], 5, progress)
    assert (first.rounds, first.verdict.problem_count) == (0, MAX_FAILURES)
    assert "no disk" in first.verdict.problems[0]
    assert (second.rounds, second.verdict.exact) == (5, True)
    assert entered == MAX_FAILURES + 1


@pytest.fixture
def results() -> report.Results:
    """The results of two faults on one database."""
    kills = Tally("writers killed", "mysql", rounds=2, retries=3)
    kills.verdict = Verdict(committed=40, rolled_back=2, holes=1)
    kills.done.update({"writers killed": 1500, "writers killed in mid-transaction": 1400})
    naive, ordered = Tally("any order", "mysql", retries=5), Tally("one call", "mysql")
    naive.verdict.committed = ordered.verdict.committed = 50
    return report.Results([kills, naive, ordered], fuzzed=20_000)


def test_results_are_read_as_they_were_written(results: report.Results, tmp_path: Path) -> None:
    """The page is made from the results that the run wrote."""
    report.write(results, tmp_path)
    assert report.Results.load(tmp_path / "faults.json") == results
    assert "1,500 writers killed" in (tmp_path / "faults.rst").read_text()


def test_a_fault_that_is_run_again_takes_its_place(results: report.Results) -> None:
    """A repeated fault replaces its tally in the report of all."""
    again = Tally("any order", "mysql", rounds=20)
    results.add(again)
    assert results.tallies[1] is again
    assert len(results.tallies) == 3
    results.add(Tally("any order", "mariadb"))
    assert len(results.tallies) == 4


def test_figures_of_several_faults_are_added_up(results: report.Results) -> None:
    """The kills include kills in mid-transaction."""
    figures = report.figures(*results.tallies)
    assert figures["kills"] == 1500
    assert figures["transactions"] == 142
    assert figures["retries"] == 8
    assert (figures["holes"], figures["duplicates"], figures["lost"]) == (1, 0, 0)


def test_what_is_run_again_is_compared(results: report.Results) -> None:
    """A fault with conflicts is compared with the fault that avoids them."""
    shown = "\n".join(report.comparisons(results))
    assert "any order: 10.0" in shown
    assert "one call: 0.0" in shown


def test_page_is_made_from_the_committed_results() -> None:
    """The table in docs/faults.rst matches the committed results."""
    text = report.PAGE.read_text()
    if report.COMMITTED.exists():
        assert text == report.updated(text, report.Results.load(report.COMMITTED))
    else:
        assert report.BEGIN + "\n" + END in text
