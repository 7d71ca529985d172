"""What the driver receives through Django's Oracle backend, and what it returns."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connections
from sequences_oracle.blocks import LOOPING_MERGE, MERGE, UPDATE, sql

from sequences_core import (
    Allocation,
    SequenceExhausted,
    get_next_value,
    get_next_values,
)
from sequences_core.arguments import MAX_TIMEOUT, MAX_VALUE
from sequences_core.models import Counter
from sequences_core.table import TABLE

Record = Callable[[Allocation], Any]

ALIAS = "recorded"

ALLOCATIONS = {
    "plain": Allocation("s"),
    "batch": Allocation("s", 10, 5),
    "loop": Allocation("s", 1, 3, 6),
    "callable": Allocation("s", 2, lambda: 1),
    "nowait": Allocation("s", timeout=0),
    "timeout": Allocation("s", 1, 3, 6, timeout=1.5),
    "callable, timeout": Allocation("s", 2, lambda: 1, timeout=1.5),
}

RESERVED = re.compile(
    "ACCESS|ADD|ALL|ALTER|AND|ANY|AS|ASC|AUDIT|BETWEEN|BY|CHAR|CHECK|CLUSTER|COLUMN|"
    "COLUMN_VALUE|COMMENT|COMPRESS|CONNECT|CREATE|CURRENT|DATE|DECIMAL|DEFAULT|DELETE|DESC|"
    "DISTINCT|DROP|ELSE|EXCLUSIVE|EXISTS|FILE|FLOAT|FOR|FROM|GRANT|GROUP|HAVING|IDENTIFIED|"
    "IMMEDIATE|IN|INCREMENT|INDEX|INITIAL|INSERT|INTEGER|INTERSECT|INTO|IS|LEVEL|LIKE|LOCK|"
    "LONG|MAXEXTENTS|MINUS|MLSLABEL|MODE|MODIFY|NESTED_TABLE_ID|NOAUDIT|NOCOMPRESS|NOT|"
    "NOWAIT|NULL|NUMBER|OF|OFFLINE|ON|ONLINE|OPTION|OR|ORDER|PCTFREE|PRIOR|PUBLIC|RAW|RENAME|"
    "RESOURCE|REVOKE|ROW|ROWID|ROWNUM|ROWS|SELECT|SESSION|SET|SHARE|SIZE|SMALLINT|START|"
    "SUCCESSFUL|SYNONYM|SYSDATE|TABLE|THEN|TO|TRIGGER|UID|UNION|UNIQUE|UPDATE|USER|VALIDATE|"
    "VALUES|VARCHAR|VARCHAR2|VIEW|WHENEVER|WHERE|WITH"
)
"""Reserved words, which can't be names (Oracle SQL Language Reference 19c, appendix E)."""


@pytest.fixture(params=list(ALLOCATIONS.values()), ids=list(ALLOCATIONS))
def execution(request: pytest.FixtureRequest, record: Record) -> Any:
    """Return the execution for each kind of allocation."""
    return record(request.param)


def normal(text: str) -> str:
    """Return the text with the driver's binds in place of Django's, and with single spaces."""
    return " ".join(re.sub(r"%\((\w+)\)s", r":\1", sql(text)).split())


@pytest.mark.parametrize("allocation", ALLOCATIONS.values(), ids=ALLOCATIONS)
def test_one_round_trip(allocation: Allocation, record: Record, recorder: Any) -> None:
    """Taking a block of numbers is exactly one execution."""
    record(allocation)
    assert len(recorder.executions) == 1
    assert recorder.ends == []


def test_text_is_one_anonymous_block(execution: Any) -> None:
    """The driver receives a whole PL/SQL block, although Django removes a final semicolon."""
    text = execution.text.strip().upper()
    assert text.startswith(("BEGIN", "DECLARE"))
    assert text.endswith("END;")
    assert len(re.findall(r"\bBEGIN\b", text)) == len(re.findall(r"\bEND;", text))
    assert "%" not in text.replace("SQL%ROWCOUNT", "")
    # There are no comments and literals, which could contain binds.
    assert not re.search(r"--|/\*|['\"]", text.replace(f'"{TABLE.upper()}"', ""))


def test_binds_are_those_of_the_text(execution: Any) -> None:
    """The names in the text and the binds are the same (ORA-01008, ORA-01036)."""
    assert set(re.findall(r":(\w+)", execution.text)) == set(execution.binds)


def test_names_are_not_reserved(execution: Any) -> None:
    """No bind (ORA-01745), unquoted column or alias is a reserved word."""
    names = [*execution.binds, "counter", "name", "last"]
    assert not [name for name in names if RESERVED.fullmatch(name.upper())]


def test_types_and_directions(execution: Any, recorder: Any) -> None:
    """The name is bound as text, numbers as numbers; only ``last`` is an OUT bind, an int."""
    binds = dict(execution.binds)
    assert binds.pop("last").kind is int
    assert type(binds.pop("name")) is str
    assert {type(value) for value in binds.values()} == {int}
    assert all(sizes in {((), ())} for sizes in recorder.input_sizes)


def test_values(record: Record) -> None:
    """The binds have the allocation's values."""

    def binds(allocation: Allocation) -> dict[str, Any]:
        sent = dict(record(allocation).binds)
        del sent["last"]
        return sent

    assert binds(Allocation("é", 10, 5)) == {
        "name": "é",
        "first_last": 14,
        "count": 10,
        "highest_before": MAX_VALUE - 10,
    }
    assert binds(Allocation("s", 1, 0, 6)) == {
        "name": "s",
        "first_last": 0,
        "last_before_reset": 5,
    }
    assert binds(Allocation("s", 3, lambda: 1)) == {
        "name": "s",
        "count": 3,
        "highest_before": MAX_VALUE - 3,
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Allocation("s"), Allocation("t", 7, 8)),
        (Allocation("s", 1, 0, 1), Allocation("s", 1, 5, 6)),
        (Allocation("s", timeout=0.5), Allocation("s", 1, 1, timeout=1)),
    ],
)
def test_text_is_the_same_for_all_values(
    one: Allocation, other: Allocation, record: Record
) -> None:
    """Equal values have separate binds, so the server parses only one text."""
    assert record(one).text == record(other).text


@pytest.mark.parametrize(
    ("allocation", "merge"), [("plain", MERGE), ("batch", MERGE), ("loop", LOOPING_MERGE)]
)
def test_block_around_the_merge(allocation: str, merge: str, record: Record) -> None:
    """After a duplicate the MERGE runs again; a second duplicate raises ORA-08177."""
    text = normal(record(ALLOCATIONS[allocation]).text)
    statement = normal(merge)
    assert f"BEGIN {statement}; EXCEPTION WHEN dup_val_on_index THEN {statement}; END;" in text
    assert text.endswith("EXCEPTION WHEN dup_val_on_index THEN RAISE cannot_serialize; END;")
    assert "PRAGMA EXCEPTION_INIT(cannot_serialize, -8177);" in text


def test_block_around_the_update(record: Record) -> None:
    """If no row was updated, the undefined variable of RETURNING is set to NULL."""
    assert normal(record(ALLOCATIONS["callable"]).text) == (
        f"BEGIN {normal(UPDATE)} RETURNING last INTO :last; "
        "IF sql%rowcount = 0 THEN :last := NULL; END IF; END;"
    )


@pytest.mark.parametrize("initial_value", [1, lambda: 1], ids=["MERGE", "UPDATE"])
@pytest.mark.parametrize(
    ("timeout", "clause"),
    [
        (0, "NOWAIT"),
        (0.0, "NOWAIT"),
        (0.001, "WAIT 1"),
        (1, "WAIT 1"),
        (1.001, "WAIT 2"),
        (MAX_TIMEOUT, f"WAIT {MAX_TIMEOUT}"),
    ],
)
def test_bound_on_the_wait(timeout: float, clause: str, initial_value: Any, record: Record) -> None:
    """With a timeout, a SELECT locks the counter first and waits whole seconds, rounded up."""
    text = normal(record(Allocation("s", 1, initial_value, timeout=timeout)).text)
    unbounded = normal(record(Allocation("s", 1, initial_value)).text)
    assert text == (
        f'BEGIN FOR locked IN (SELECT last FROM "{TABLE.upper()}" WHERE name = :name '
        f"FOR UPDATE {clause}) LOOP NULL; END LOOP; {unbounded} END;"
    )
    assert "FOR UPDATE" not in unbounded


def test_value_comes_back(recorder: Any) -> None:
    """The value of ``last`` is the highest number of the block taken."""
    recorder.answers = [7, 10, MAX_VALUE]
    assert get_next_value("s", using=ALIAS) == 7
    assert get_next_values(3, "s", using=ALIAS) == range(8, 11)
    assert get_next_value("s", using=ALIAS) == MAX_VALUE


def test_null_is_exhausted(recorder: Any) -> None:
    """If ``last`` is NULL, nothing was taken: it is exhausted, or a trigger skips rows."""
    counters = Counter.objects.using(ALIAS).filter(pk="s").values_list("last", flat=True)
    statement, _ = counters.query.get_compiler(ALIAS).as_sql()
    for last, error in ((MAX_VALUE, SequenceExhausted), (1, OperationalError)):
        recorder.answers = [None]
        recorder.rows[statement % ":arg0"] = (last,)
        with pytest.raises(error):
            get_next_value("s", using=ALIAS)


def test_callable_for_a_new_counter(recorder: Any) -> None:
    """An UPDATE and a query come first, then the callable, then a MERGE with its result."""
    recorder.answers = [None, 42]
    assert get_next_value("s", lambda: 42, using=ALIAS) == 42
    update, look, merge = recorder.executions
    assert "UPDATE" in update.text
    assert look.text.startswith("SELECT")
    assert "MERGE" in merge.text
    assert merge.binds["first_last"] == 42


def test_django_sees_the_block(recorder: Any) -> None:
    """connection.queries and execute_wrapper see the execution."""
    connection = connections[ALIAS]
    seen = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    recorder.answers = [1]
    connection.force_debug_cursor = True
    with connection.execute_wrapper(wrapper):
        get_next_value("invoices", using=ALIAS)
    assert len(seen) == len(connection.queries) == 1
    assert "counter.name = invoices" in connection.queries[0]["sql"]
