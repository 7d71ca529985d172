"""Isolation levels: what a snapshot or uncommitted rows would do to numbers."""

from __future__ import annotations

from contextlib import closing

import pytest
from django.core.checks import run_checks
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import Max

from sequences_core import get_next_value, get_next_values
from sequences_core.models import Counter
from sequences_core.testing.history import Row, Series, Transaction, check
from tests.faults import tables
from tests.faults.arena import Arena
from tests.faults.fleet import call
from tests.faults.isolation import isolated, knows_snapshots
from tests.faults.tables import Numbered, Place


@pytest.mark.databases("mariadb")
def test_1020_ends_the_transaction(arena: Arena) -> None:
    """The error "Record has changed since last read" has rolled back the whole transaction."""
    if not knows_snapshots(arena):
        pytest.skip("this release has no innodb_snapshot_isolation")
    place = isolated(arena, "repeatable read", snapshot=True)
    assert call(_see_1020, place) == (1020, True, {"mine": 1, "theirs": 2})


def _see_1020(place: Place) -> tuple[int, bool, dict[str, int]]:
    """Return the error, whether Django knows that the transaction has ended, and the rows left."""
    tables.empty(place)
    for name in ("mine", "theirs"):
        with transaction.atomic():
            get_next_value(name)
    code, known = 0, False
    with transaction.atomic():
        get_next_values(5, "mine")
        Counter.objects.count()  # this takes the snapshot
        with closing(connections["default"].copy()) as other, other.cursor() as cursor:
            cursor.execute(f"UPDATE {Counter._meta.db_table} SET last = 2 WHERE name = 'theirs'")
        try:
            get_next_value("theirs")
        except DatabaseError as error:
            code, known = error.args[0], connection.needs_rollback
        # This would commit, if the server had not rolled back.
        connection.needs_rollback = False
    return code, known, dict(Counter.objects.values_list("name", "last"))


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize(("level", "holes"), [("read uncommitted", 5), ("read committed", 0)])
def test_read_uncommitted_would_make_a_hole(arena: Arena, level: str, holes: int) -> None:
    """A counter that starts from uncommitted rows starts too high; a system check refuses that."""
    rows, counters, refused = call(_start_from_rows, isolated(arena, level))
    history = {"t": Transaction("t", rows=1, committing_at=0.0)}
    verdict = check(history, rows, counters, [Series("imported")])
    assert verdict.holes == holes
    assert refused is bool(holes)


def _start_from_rows(place: Place) -> tuple[list[Row], dict[str, int], bool]:
    """Take the first number while another transaction has five rows, which it rolls back."""
    tables.empty(place)
    refused = any(message.id == "sequences_core.E002" for message in run_checks())

    def after_the_rows() -> int:
        return (Numbered._base_manager.aggregate(last=Max("number"))["last"] or 0) + 1

    other = connections["default"].copy()
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {Numbered._meta.db_table} (counter, number, transaction) "
            f"VALUES ('imported', %s, 'other')",
            [[number] for number in range(1, 6)],
        )
    with transaction.atomic():
        number = get_next_value("imported", after_the_rows)
        Numbered._base_manager.create(counter="imported", number=number, transaction="t")
    other.rollback()
    other.close()
    return *tables.read([place]), refused
