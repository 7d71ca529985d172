"""The table of the releases that the tests were run on."""

from __future__ import annotations

import json

from tests.matrix import RELEASES, RESULTS, SESSIONS, TABLE, sessions_table, table

SAME = {"title": "PostgreSQL 18.4", "python": "3.11.7", "django": "6.1", "status": 1}


def test_the_page_has_the_tables_of_the_committed_results() -> None:
    """The tables are generated from the results, and all releases are known."""
    results = json.loads(RESULTS.read_text())
    assert TABLE.read_text() == table(results["releases"])
    assert SESSIONS.read_text() == sessions_table(results["sessions"])
    assert set(results["releases"]) <= set(RELEASES)


def test_a_row_says_what_passed_and_what_did_not() -> None:
    """A row has the counts of each part, and which part was not run."""
    results = {
        "backends": {**SAME, "counts": {"passed": 284, "skipped": 3}},
        "contrib": {**SAME, "counts": {"passed": 1007, "failed": 1}},
    }
    row = [line.lstrip(" *-") for line in table({"postgresql@18": results}).splitlines()[-6:]]
    counts = ["284 passed, 3 skipped", "1,007 passed, 1 failed", "not run"]
    assert row == ["PostgreSQL 18.4", "3.11.7", "6.1", *counts]


def test_a_session_has_a_row_of_the_table_with_each_database() -> None:
    """The rows have the order of their Pythons."""
    counts = {"passed": 2100, "skipped": 3}
    found = sessions_table({"3.12-6.0": {"sqlite": counts}, "3.11-lowest": {"mysql": counts}})
    cells = [line.lstrip(" *-") for line in found.splitlines()[-12:]]
    ran, not_run = "2,100 passed, 3 skipped", "not run"
    assert cells[:6] == ["3.11", "lowest", not_run, not_run, not_run, ran]
    assert cells[6:] == ["3.12", "6.0", ran, not_run, not_run, not_run]
