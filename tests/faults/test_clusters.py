"""Clusters: one short round of those that start fast; ``make faults`` runs the others, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from typing import Any

import pytest
from django.db import DatabaseError, connection

from sequences_core import SequenceLocked, get_last_value, get_next_value, run_atomic
from sequences_core.table import TABLE
from tests.faults import clusters
from tests.faults.arena import Arena, Tally
from tests.faults.fleet import call
from tests.faults.tables import Place, go
from tests.servers.clusters import Galera, Group
from tests.servers.errors import wait_until
from tests.servers.launch import KINDS
from tests.servers.probe import connect, query

ONE_MORE = f"UPDATE {TABLE} SET last = last + 1 WHERE name = '{{}}'"


@pytest.fixture(scope="module")
def galera() -> Iterator[Arena]:
    """The arena of a Galera cluster."""
    if KINDS["mariadb"]().release:
        pytest.skip("a Galera cluster is of the machine's own release of MariaDB")
    with clusters.galera() as arena:
        yield arena


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("synchronous", [True, False])
def test_primary_killed(arena: Arena, synchronous: bool) -> None:
    """A synchronous standby continues without a loss; an asynchronous one has lost commits."""
    tally = Tally("primary killed", arena.name)
    with clusters.pair(synchronous=synchronous) as pair:
        clusters.standby_promoted(pair, tally)
    assert bool(tally.verdict.lost) is not synchronous
    assert tally.verdict.exact is synchronous


@pytest.mark.databases("mariadb")
def test_writers_on_all_nodes(arena: Arena, galera: Arena) -> None:
    """Retried transactions in a Galera cluster lead to the exact outcome."""
    tally = Tally("writers everywhere", "galera")
    clusters.writers_everywhere(galera, tally)
    assert tally.verdict.problems == []


@pytest.mark.databases("mariadb")
@pytest.mark.parametrize("during_the_call", [True, False])
def test_a_conflict_after_a_caught_timeout(
    arena: Arena, galera: Arena, during_the_call: bool
) -> None:
    """A transaction that another node undoes between two statements runs again.

    Only its next statement gets the error. If that were lost, COMMIT would succeed.
    """
    assert isinstance(galera.serving, Galera)
    here, there, _ = (node.url for node in galera.serving.nodes)
    outcome = call(conflict_after_a_timeout, galera.place(here), here, there, during_the_call)
    assert outcome == {"returned": 3, "last": 3, "attempts": 2}


def conflict_after_a_timeout(place: Place, here: str, there: str, during_the_call: bool) -> Any:
    """Take a number on one node, catch a timeout, then take the same number on another node."""

    attempts = 0

    def conflict() -> None:
        before = query(here, "SHOW STATUS LIKE 'wsrep_local_bf_aborts'")
        query(there, ONE_MORE.format("a"))
        wait_until(
            lambda: query(here, "SHOW STATUS LIKE 'wsrep_local_bf_aborts'") != before,
            "The node did not undo the transaction",
        )

    def conflict_at_error(execute: Callable[..., Any], *args: Any) -> Any:
        try:
            return execute(*args)
        except DatabaseError:
            conflict()
            raise

    def block() -> int:
        nonlocal attempts
        attempts += 1
        number = get_next_value("a")
        if attempts == 1:
            wrapper = connection.execute_wrapper(conflict_at_error)
            try:
                with wrapper if during_the_call else nullcontext():
                    get_next_value("b", nowait=True)
            except SequenceLocked:
                conflict()
            except DatabaseError:
                assert connection.needs_rollback
                raise
        return number

    go(place)
    for name in ("a", "b"):
        query(here, f"REPLACE INTO {TABLE} (name, last) VALUES ('{name}', 1)")
    with closing(connect(here)) as other, closing(other.cursor()) as cursor:
        cursor.execute(ONE_MORE.format("b"))
        returned = run_atomic(block)
    return {"returned": returned, "last": get_last_value("a"), "attempts": attempts}


@pytest.mark.databases("mysql")
def test_writers_on_all_members(arena: Arena) -> None:
    """The same is true for a MySQL group in multi-primary mode."""
    tally = Tally("writers everywhere", "group replication")
    with clusters.group(multi=True) as group:
        assert isinstance(group.serving, Group)
        # Otherwise members generate equal keys for different rows, which raises error 1062.
        steps = "SELECT @@auto_increment_increment, @@auto_increment_offset"
        assert [member.query(steps) for member in group.serving.nodes] == [
            [(7, number)] for number in (1, 2, 3)
        ]
        clusters.writers_everywhere(group, tally)
    assert tally.verdict.problems == []
