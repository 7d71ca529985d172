"""The table of the releases that the tests were run on."""

from __future__ import annotations

import json

from tests.matrix import RELEASES, RESULTS, TABLE, table

SAME = {"title": "PostgreSQL 18.4", "python": "3.11.7", "django": "6.1", "status": 1}


def test_the_page_has_the_table_of_the_committed_results() -> None:
    """The table is generated from the results, and all releases are known."""
    results = json.loads(RESULTS.read_text())
    assert TABLE.read_text() == table(results)
    assert set(results) <= set(RELEASES)


def test_a_row_says_what_passed_and_what_did_not() -> None:
    """A row has the counts of each part, and which part was not run."""
    results = {
        "backends": {**SAME, "counts": {"passed": 284, "skipped": 3}},
        "contrib": {**SAME, "counts": {"passed": 1007, "failed": 1}},
    }
    row = [line.lstrip(" *-") for line in table({"postgresql@18": results}).splitlines()[-6:]]
    counts = ["284 passed, 3 skipped", "1,007 passed, 1 failed", "not run"]
    assert row == ["PostgreSQL 18.4", "3.11.7", "6.1", *counts]
