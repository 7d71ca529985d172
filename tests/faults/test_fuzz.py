"""Random arguments have the same outcome on every server, and an error changes no counter."""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connections, transaction
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sequences_core import (
    Sequence,
    delete,
    get_last_value,
    get_next_blocks,
    get_next_value,
    get_next_values,
    set_last_value,
)
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE
from sequences_core.models import Counter

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1000"))

SERVERS = [alias for alias in django_settings.DATABASES if alias != "default"]

pytestmark = pytest.mark.django_db(
    transaction=True, databases=SERVERS, available_apps=["sequences_core"]
)

LOOKALIKES = (
    *(
        "a",
        "A",
        "\u0430",
        "\uff41",
        "á",
        "a\u0301",
        "a\u200b",
        "a\u00ad",
        "ß",
        "ss",
        "ẞ",
        "\u0131",
        "i",
        "İ",
    ),
    *("'", "''", '"', "`", "\\", "%s", "%(name)s", ":name", "?", "$1", "{}", "--", "/*", ";"),
    *("' OR 1=1 --", "'); DROP TABLE sequences_core_counter; --", "\x1a", "\x7f", "\x08", "\t"),
    *("NULL", "0", "1e3", "\ufeff", "\ufffe", "\ufffd", "\u2028", "😀", "🏳️‍🌈", "\U0010ffff"),
)

NAMES = st.one_of(
    st.sampled_from(LOOKALIKES),
    st.text(st.characters(), max_size=20),
    st.text(st.sampled_from("a\0'\"\\% \u00a0é😀"), min_size=1, max_size=4),
    st.sampled_from("xé😀").flatmap(
        lambda letter: st.sampled_from(
            [letter * length for length in range(MAX_NAME_LENGTH - 1, MAX_NAME_LENGTH + 2)]
        )
    ),
    st.none() | st.integers() | st.binary(max_size=4) | st.booleans() | st.just(("a",)),
)

EDGES = (0, 1, 2, MAX_VALUE - 1, MAX_VALUE, MAX_VALUE + 1, 2**64 - 1, 2**64, -1, -MAX_VALUE - 2)

NUMBERS = st.one_of(
    st.integers(0, 5),
    st.sampled_from(EDGES),
    st.integers(),
    st.booleans() | st.none() | st.floats() | st.decimals() | st.text(max_size=3),
    st.sampled_from([Decimal(1), 1.0, "1", 1j, [1], b"1"]),
)

# Exclude short limits: MariaDB's limit includes the statement itself, which may be slow.
TIMEOUTS = st.one_of(
    st.none(),
    st.sampled_from([0, 1, 5.5, 10**9, -1, True, "1"]),
    st.floats().filter(lambda seconds: not 0 < seconds < 1),
)

Call = Callable[[str], Any]


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Return a strategy for calls of the public API on the server with a given alias."""
    name: Any = draw(NAMES)
    number: Any = draw(NUMBERS)
    initial: Any = draw(NUMBERS)
    wait: dict[str, Any] = {"nowait": draw(st.booleans()), "timeout": draw(TIMEOUTS)}
    if draw(st.booleans()):
        wait = {}
    computed: Any = (lambda: initial) if draw(st.booleans()) else initial
    options: list[Call] = [
        lambda using: get_next_value(name, computed, using=using, **wait),
        lambda using: get_next_value(name, initial, number, using=using, **wait),
        lambda using: get_next_values(number, name, computed, using=using, **wait),
        lambda using: get_next_blocks({"a": 1, name: number}, computed, using=using, **wait),
        lambda using: get_last_value(name, using=using),
        lambda using: set_last_value(number, name, using=using),
        lambda using: set_last_value(number, name, force=True, using=using),
        lambda using: delete(name, using=using),
        lambda using: next(Sequence(name, initial, number, using=using)),
    ]
    return draw(st.sampled_from(options))


def _outcome(call: Call, using: str) -> tuple[str, Any]:
    """Return the result of the call, or the type of its error."""
    before = _counters(using)
    try:
        with transaction.atomic(using=using):
            result = call(using)
    except Exception as error:  # noqa: BLE001 - whichever it is, all servers must raise it
        assert _counters(using) == before
        return "raised", type(error)
    return "returned", result


def _counters(using: str) -> dict[str, int]:
    return dict(Counter.objects.using(using).values_list("name", "last"))


@settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
@given(program=st.lists(calls(), min_size=1, max_size=4))
def test_the_same_outcome_everywhere(program: list[Call]) -> None:
    """Each call has the same result or type of error everywhere, and the tables stay equal."""
    for using in SERVERS:
        connections[using].ensure_connection()
        Counter.objects.using(using).all().delete()
    for call in program:
        outcomes = {using: _outcome(call, using) for using in SERVERS}
        assert len(set(map(repr, outcomes.values()))) == 1, outcomes
    tables = {using: _counters(using) for using in SERVERS}
    assert all(table == tables[SERVERS[0]] for table in tables.values()), tables


OF_ONE_KIND = ("postgresql", "mysql", "oracle", "sqlite")
"""Backends for one kind of database each: Hypothesis finds their names in the sources."""

SETTINGS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.text(max_size=10),
    st.integers() | st.booleans() | st.just([]) | st.just(object),
    st.sampled_from(["auto", "allow", "warn", "error", "orm", ".", "a.b", "os.path", "Orm"]),
).filter(lambda value: value not in OF_ONE_KIND)


@settings(max_examples=EXAMPLES // 5, deadline=None, database=None)
@given(mode=SETTINGS, backend=SETTINGS)
def test_any_settings_have_the_same_outcome(mode: Any, backend: Any) -> None:
    """Random SEQUENCES_AUTOCOMMIT and SEQUENCES_BACKEND have the same outcome everywhere."""

    def call(using: str) -> Any:
        with override_settings(SEQUENCES_AUTOCOMMIT=mode, SEQUENCES_BACKEND=backend):
            return get_next_value("s", using=using)

    for using in SERVERS:
        Counter.objects.using(using).all().delete()
    outcomes = {using: _outcome(call, using) for using in SERVERS}
    assert len(set(map(repr, outcomes.values()))) == 1, outcomes
