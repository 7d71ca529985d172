"""`python -m tests.faults [--rounds N] [fault …]`: the long run, with a report."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import tests.faults.preload  # noqa: F401 - sets Django up, which the others need
from tests.faults import faults, galera, group_replication, pooled, report, standby, storage
from tests.faults.arena import Arena, Tally
from tests.servers.launch import DEFAULT, chosen

Round = Callable[[Tally], None]

SERVERS = ("postgresql", "mariadb", "mysql")

ON_DATABASES: dict[str, tuple[faults.Fault, tuple[str, ...]]] = {
    "writers killed": (faults.writers_killed, DEFAULT),
    "first use": (faults.first_use, DEFAULT),
    "one call": (faults.one_call, DEFAULT),
    "made read-only": (storage.made_read_only, DEFAULT),
    "disk full": (storage.disk_full, ("sqlite",)),
    "server killed": (faults.server_killed, SERVERS),
    "connections cut": (faults.connections_cut, SERVERS),
    "server frozen": (faults.server_frozen, SERVERS),
    "writer frozen": (faults.writer_frozen, SERVERS),
    "any order": (faults.any_order, SERVERS),
    "pool killed": (pooled.pool_killed, ("postgresql",)),
}


@contextmanager
def on_database(name: str) -> Iterator[dict[str, Round]]:
    """The faults of one database, which runs meanwhile."""
    with Arena(name) as arena:
        yield {
            fault: partial(function, arena)
            for fault, (function, names) in ON_DATABASES.items()
            if name in names
        }


@contextmanager
def on_galera() -> Iterator[dict[str, Round]]:
    """Galera's faults."""
    with galera.galera() as (arena, cluster):
        yield {
            "writers on all nodes": lambda tally: galera.writers_everywhere(arena, tally, cluster),
            "writers on one node": lambda tally: galera.writers_on_one_node(arena, tally, cluster),
            "node killed": lambda tally: galera.node_killed(arena, tally, cluster),
        }


@contextmanager
def on_group(multi: bool) -> Iterator[dict[str, Round]]:
    """Group Replication's faults, with one primary or several."""
    replication = group_replication
    with replication.group(multi=multi) as (arena, group):
        if multi:
            yield {
                "writers on all members": lambda tally: replication.writers_everywhere(
                    arena, tally, group
                ),
                "writers on one member": lambda tally: replication.writers_on_one_member(
                    arena, tally, group
                ),
            }
        else:
            yield {"primary killed": lambda tally: replication.primary_killed(arena, tally, group)}


@contextmanager
def on_standby() -> Iterator[dict[str, Round]]:
    """PostgreSQL with a standby, which each round starts anew."""
    yield {
        "primary killed, synchronous": partial(standby.primary_killed, synchronous=True),
        report.EXPECTED_LOSS: partial(standby.primary_killed, synchronous=False),
    }


def places(names: tuple[str, ...]) -> dict[str, Callable[[], object]]:
    """Where faults are tried, by what the report calls it."""
    found: dict[str, Callable[[], object]] = {name: partial(on_database, name) for name in names}
    if "postgresql" in names:
        found["PostgreSQL, standby"] = on_standby
    if "mariadb" in names:
        found["Galera"] = on_galera
    if "mysql" in names:
        found["Group Replication"] = partial(on_group, multi=False)
        found["Group Replication, multi-primary"] = partial(on_group, multi=True)
    return found


def main() -> int:
    """Run the command and return the exit status: 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="of each fault; default: 20")
    parser.add_argument("faults", nargs="*", metavar="fault", help="default: all")
    arguments = parser.parse_args()
    tallies: list[Tally] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        for place, enter in places(chosen(os.environ.get("DB"))).items():
            with enter() as found:  # type: ignore[attr-defined]
                for fault, run in found.items():
                    if arguments.faults and fault not in arguments.faults:
                        continue
                    tallies.append(tally := Tally(fault, place))
                    task = progress.add_task(f"{place}: {fault}", total=arguments.rounds)
                    for _ in range(arguments.rounds):
                        run(tally)
                        progress.advance(task)
                    if not arguments.faults:
                        report.write(tallies)
    print(report.table(tallies))
    broken = [
        tally
        for tally in tallies
        if not tally.verdict.exact and tally.fault != report.EXPECTED_LOSS
    ]
    for tally in broken:
        for problem in tally.verdict.problems:
            print(f"{tally.database}, {tally.fault}: {problem}", file=sys.stderr)
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
