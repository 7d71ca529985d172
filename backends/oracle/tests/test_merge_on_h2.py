"""The SQL statements of the block, executed by H2 in Oracle mode.

H2 has no PL/SQL: ``merge`` replaces the rest of the block here, and a
procedure in test_block_on_mariadb.py.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections
from sequences_oracle.function import create

from sequences_core import Allocation
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE
from sequences_core.models import Counter
from sequences_core.testing.base import BLINK, PATIENCE
from sequences_core.testing.values import LOOKALIKES

Connect = Callable[[], Any]
Record = Callable[[Allocation], Any]

DUPLICATE = "23505"
"""H2's error code that corresponds to ORA-00001."""


@pytest.fixture(autouse=True)
def _table(connect: Connect, recorder: Any) -> None:
    """Create the table as Django's Oracle backend would."""
    with connections["recorded"].schema_editor(collect_sql=True, atomic=False) as editor:
        editor.create_model(Counter)
    with connect().cursor() as cursor:
        for statement in editor.collected_sql:
            cursor.execute(statement.rstrip(";"))


def statement(execution: Any, keyword: str) -> tuple[str, list[Any]]:
    """Return the block's first statement that starts so, with JDBC's question marks."""
    found = re.search(rf"\b{keyword}\b.*?(?=;|\bRETURNING\b|\bNOWAIT\b)", execution.text, re.S)
    assert found, execution.text
    text = found[0].replace("INTO :last", "")
    binds = [execution.binds[name] for name in re.findall(r":(\w+)", text)]
    return re.sub(r":\w+", "?", text), binds


def merge(connection: Any, execution: Any) -> int | None:
    """Execute the MERGE and then the SELECT of the block."""
    with connection.cursor() as cursor:
        cursor.execute(*statement(execution, "MERGE"))
        if not cursor.rowcount:
            return None
        cursor.execute(*statement(execution, "SELECT"))
        ((last,),) = cursor.fetchall()
    assert isinstance(last, int)
    return last


def test_first_use_and_increment(connect: Connect, record: Record) -> None:
    """The MERGE creates the counter at its initial value, and then adds one."""
    connection, execution = connect(), record(Allocation("s", initial_value=5))
    assert [merge(connection, execution) for _ in range(3)] == [5, 6, 7]
    assert merge(connection, record(Allocation("zero", initial_value=0))) == 0


def test_batch(connect: Connect, record: Record) -> None:
    """A batch increases the counter by its size, on first use and later."""
    connection, execution = connect(), record(Allocation("s", 10, initial_value=5))
    assert [merge(connection, execution) for _ in range(3)] == [14, 24, 34]
    assert merge(connection, record(Allocation("s"))) == 35


def test_loop(connect: Connect, record: Record) -> None:
    """A counter that would reach reset_value restarts, also one that is above it."""
    connection, execution = connect(), record(Allocation("s", 1, 3, 6))
    assert [merge(connection, execution) for _ in range(7)] == [3, 4, 5, 3, 4, 5, 3]
    merge(connection, record(Allocation("s", 100)))
    assert merge(connection, execution) == 3


def test_exhaustion(connect: Connect, record: Record) -> None:
    """A block that would exceed MAX_VALUE merges no row, without an error."""
    connection = connect()
    assert merge(connection, record(Allocation("s", initial_value=MAX_VALUE - 1))) == MAX_VALUE - 1
    assert merge(connection, record(Allocation("s", 2))) is None
    assert merge(connection, record(Allocation("s", MAX_VALUE))) is None
    assert merge(connection, record(Allocation("s"))) == MAX_VALUE
    assert merge(connection, record(Allocation("s"))) is None


def test_names(connect: Connect, record: Record) -> None:
    """Names compare byte for byte, and the longest ones fit."""
    connection = connect()
    longest = [*LOOKALIKES, "é" * MAX_NAME_LENGTH, "😀" * MAX_NAME_LENGTH]
    for expected in (1, 2):
        for name in dict.fromkeys(longest):
            assert merge(connection, record(Allocation(name))) == expected, name
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sequences_core_counter")
        assert {name for (name,) in cursor.fetchall()} == set(longest)


def test_function(connect: Connect) -> None:
    """The function's MERGE increases, loops and stops like the two of the blocks."""
    connection = connect()
    text = re.sub(r"\b(sequence_name|initial_value|reset_value)\b", r":\1", create())
    text = text.replace("INTO taken", "INTO :last")

    def take(name: str, initial: int = 1, reset: int | None = None) -> int | None:
        binds = {"sequence_name": name, "initial_value": initial, "reset_value": reset}
        return merge(connection, SimpleNamespace(text=text, binds=binds))

    assert [take("s", 5), take("s"), take("zero", 0)] == [5, 6, 0]
    assert [take("loop", 3, 6) for _ in range(5)] == [3, 4, 5, 3, 4]
    assert [take("end", MAX_VALUE - 1), take("end")] == [MAX_VALUE - 1, MAX_VALUE]
    assert take("end") is None
    assert take("end", 7, 9) == 7


def test_update(connect: Connect, record: Record) -> None:
    """The UPDATE increases only a counter that exists and isn't exhausted."""
    connection = connect()
    update = statement(record(Allocation("s", 2, initial_value=lambda: 1)), "UPDATE")
    with connection.cursor() as cursor:
        cursor.execute(*update)
        assert cursor.rowcount == 0
        merge(connection, record(Allocation("s", initial_value=MAX_VALUE - 3)))
        merge(connection, record(Allocation("other")))
        for expected in (1, 0):
            cursor.execute(*update)
            assert cursor.rowcount == expected
        cursor.execute("SELECT name, last FROM sequences_core_counter ORDER BY name")
        assert cursor.fetchall() == [("other", 1), ("s", MAX_VALUE - 1)]


def test_rollback(connect: Connect, record: Record) -> None:
    """A rollback undoes the MERGE, including a new counter."""
    connection, execution = connect(), record(Allocation("s"))
    assert merge(connection, execution) == 1
    connection.rollback()
    assert merge(connection, execution) == 1
    connection.commit()
    assert merge(connection, execution) == 2
    connection.rollback()
    assert merge(connection, execution) == 2


def test_lock(connect: Connect, record: Record) -> None:
    """The SELECT that limits the wait finds and locks the counter."""
    connection, other = connect(), connect()
    merge(connection, record(Allocation("s")))
    connection.commit()
    lock = statement(record(Allocation("s", timeout=0)), "SELECT")
    assert lock[0].endswith("FOR UPDATE ")
    with connection.cursor() as cursor, other.cursor() as waiting:
        cursor.execute(*lock)
        assert cursor.fetchall() == [(1,)]
        waiting.execute("SET LOCK_TIMEOUT 1")
        with pytest.raises(Exception, match="lock"):
            waiting.execute(*lock)


def duplicate(run: Callable[[], Any]) -> str:
    """Return H2's error about a duplicate key, or "" if there is none."""
    try:
        run()
    except Exception as error:
        if DUPLICATE not in str(error):
            raise
        return str(error)
    return ""


def test_second_first_taker(connect: Connect, record: Record) -> None:
    """The second first use waits, fails with a duplicate, and the same MERGE then finds the row.

    The block's handler executes the MERGE again.
    """
    first, second, execution = connect(), connect(), record(Allocation("s"))
    outcomes: list[str] = []
    assert merge(first, execution) == 1
    thread = threading.Thread(
        target=lambda: outcomes.append(duplicate(lambda: merge(second, execution)))
    )
    thread.start()
    thread.join(BLINK)
    assert thread.is_alive()
    first.commit()
    thread.join(PATIENCE)
    assert [bool(outcome) for outcome in outcomes] == [True]
    assert merge(second, execution) == 2


def test_first_takers_all_succeed(connect: Connect, record: Record) -> None:
    """Concurrent first uses get 1 to n, each once, with at most one duplicate each."""
    takers, execution = 8, record(Allocation("s"))
    barrier = threading.Barrier(takers)
    numbers: list[int] = []

    def take(connection: Any) -> None:
        barrier.wait(PATIENCE)
        taken: list[int] = []
        for _ in range(2):
            if not duplicate(lambda: taken.append(merge(connection, execution) or 0)):
                break
        numbers.extend(taken)
        connection.commit()

    threads = [threading.Thread(target=take, args=(connect(),)) for _ in range(takers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(numbers) == list(range(1, takers + 1))
