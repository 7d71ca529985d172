"""A trigger that skips the row of a counter is an error, and not the end of the sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connections, transaction

from sequences_core import (
    SequenceExhausted,
    get_next_value,
    get_next_values,
    rename,
    set_last_value,
)
from sequences_core.allocator import FUNCTION
from sequences_core.models import Counter
from sequences_core.table import TABLE

# MySQL and MariaDB have no such triggers.
SKIPPING = {
    "postgresql": [
        "CREATE OR REPLACE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER skip BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION skip()",
    ],
    "sqlite": [
        "CREATE TRIGGER skip BEFORE {event} ON {table} BEGIN SELECT RAISE(IGNORE); END",
    ],
}
DROP = {"postgresql": "DROP TRIGGER skip ON {table}", "sqlite": "DROP TRIGGER skip"}

Call = Callable[[str], Any]


def run(using: str, *statements: str) -> None:
    with connections[using].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def skipping(using: str, event: str) -> Iterator[None]:
    """Let a trigger skip the rows of counters in the block."""
    vendor = connections[using].vendor
    run(using, *(each.format(event=event, table=TABLE) for each in SKIPPING[vendor]))
    try:
        yield
    finally:
        run(using, DROP[vendor].format(table=TABLE))


def by_function(using: str) -> None:
    run(using, f"SELECT {FUNCTION}('s', 1, NULL)")


UPDATES: list[Call] = [
    lambda using: get_next_value("s", using=using),
    lambda using: get_next_values(3, "s", lambda: 1, using=using),
    lambda using: get_next_value("s", timeout=1, using=using),
    lambda using: get_next_value("s", 1, 9, using=using),
    lambda using: set_last_value(9, "s", using=using),
    lambda using: set_last_value(1, "s", force=True, using=using),
    by_function,
]
INSERTS: list[Call] = [
    lambda using: get_next_value("new", using=using),
    lambda using: get_next_value("new", lambda: 1, using=using),
    lambda using: get_next_value("new", 1, 9, using=using),
    lambda using: set_last_value(9, "new", using=using),
    lambda using: rename("s", "new", using=using),
]


@pytest.mark.parametrize(
    ("event", "call"),
    [("UPDATE", call) for call in UPDATES] + [("INSERT", call) for call in INSERTS],
    ids=range(len(UPDATES + INSERTS)),
)
def test_what_was_not_stored_is_an_error(using: str, event: str, call: Call) -> None:
    """The message says so, except that of SQLite's function; nothing changes."""
    if connections[using].vendor not in SKIPPING:
        return
    set_last_value(3, "s", using=using)
    with skipping(using, event):
        with pytest.raises(DatabaseError) as caught, transaction.atomic(using=using):
            call(using)
        assert isinstance(caught.value, OperationalError)
        assert not isinstance(caught.value, SequenceExhausted)
        if call is not by_function:
            assert "trigger" in str(caught.value)
    assert dict(Counter.objects.using(using).values_list("name", "last")) == {"s": 3}


def test_a_policy_that_hides_the_counter(using: str) -> None:
    """PostgreSQL's UPDATE finds no row that it may change, so the sequence isn't exhausted."""
    if connections[using].vendor != "postgresql":
        return
    set_last_value(3, "s", using=using)
    with transaction.atomic(using=using):
        run(
            using,
            f"CREATE ROLE clerk; GRANT ALL ON {TABLE} TO clerk",
            f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY readers ON {TABLE} FOR SELECT USING (true)",
            "SET LOCAL ROLE clerk",
        )
        with pytest.raises(OperationalError, match="a policy"), transaction.atomic(using=using):
            get_next_value("s", lambda: 1, using=using)
        transaction.set_rollback(True, using=using)
