"""Isolation levels: READ COMMITTED surfaces nothing, above it what surfaces can be run again."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from tests.faults.arena import Arena, Tally
from tests.faults.faults import Fault
from tests.faults.fleet import Fleet
from tests.faults.tables import Place
from tests.servers.probe import connect, setting

LEVELS = ("read committed", "repeatable read", "serializable")


def knows_snapshots(arena: Arena) -> bool:
    """Does this MariaDB have innodb_snapshot_isolation? The first release with it was 10.6.18."""
    with closing(connect(arena.url)) as connection, closing(connection.cursor()) as cursor:
        return setting(cursor, "innodb_snapshot_isolation") is not None


def isolated(arena: Arena, level: str, snapshot: bool = False) -> Place:
    """The database at an isolation level, and MariaDB with innodb_snapshot_isolation or not."""
    options: dict[str, Any] = {"isolation_level": level}
    if arena.kind == "postgresql":
        options["isolation_level"] = LEVELS.index(level) + 2  # psycopg's IsolationLevel
    if arena.name == "mariadb" and knows_snapshots(arena):
        options["init_command"] = f"SET SESSION innodb_snapshot_isolation = {snapshot:d}"
    return arena.place(options=options)


def at(level: str, *, snapshot: bool = False) -> Fault:
    """All that writers do, at this level; above the lowest, until a transaction is run again."""
    lowest = level == LEVELS[0]

    def fault(arena: Arena, tally: Tally) -> None:
        # At REPEATABLE READ an UPDATE of MySQL goes on from the last committed row, unasked.
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
