"""Isolation levels: READ COMMITTED has no errors; the errors of higher levels can be retried."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from tests.faults.arena import Arena, Tally
from tests.faults.faults import Fault
from tests.faults.fleet import Fleet
from tests.faults.tables import Place
from tests.servers.probe import connect
from tests.snapshots import setting

LEVELS = ("read committed", "repeatable read", "serializable")


def knows_snapshots(arena: Arena) -> bool:
    """Return whether MariaDB has innodb_snapshot_isolation, which 10.6.18 introduced."""
    with closing(connect(arena.url)) as connection, closing(connection.cursor()) as cursor:
        return setting(cursor, "innodb_snapshot_isolation") is not None


def isolated(arena: Arena, level: str, snapshot: bool = False) -> Place:
    """Return the database at an isolation level, on MariaDB with or without snapshot isolation."""
    options: dict[str, Any] = {"isolation_level": level}
    if arena.kind == "postgresql":
        options["isolation_level"] = LEVELS.index(level) + 2  # psycopg's IsolationLevel
    if arena.name == "mariadb" and knows_snapshots(arena):
        options["init_command"] = f"SET SESSION innodb_snapshot_isolation = {snapshot:d}"
    return arena.place(options=options)


def at(level: str, *, snapshot: bool = False) -> Fault:
    """Run all writers at this level; above the lowest one, they retry transactions."""
    lowest = level == LEVELS[0]

    def fault(arena: Arena, tally: Tally) -> None:
        # At REPEATABLE READ, an UPDATE of MySQL uses the last committed row, without an error.
        certain = level == LEVELS[2] or (not lowest and arena.kind == "postgresql")

        def act(fleet: Fleet) -> None:
            fleet.wait_for_commits(40)
            if certain:
                fleet.wait_for_a_retry()

        arena.round(
            tally,
            act,
            isolated(arena, level, snapshot),
            attempts=500,
            surfacing="nothing" if lowest else "conflicts",
        )

    return fault
