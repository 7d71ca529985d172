"""SEQUENCES_EARLY_RELEASE: its values, and what ``manage.py check`` says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from sequences_core import get_allocator, get_last_value, get_next_value
from sequences_core.checks import check_early_release
from tests.numbered.models import Invoice

APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.admin",
    "tests.numbered",
]

WRONG = [
    "True",
    1,
    None,
    [],
    {"nowhere": True},
    {"default": True, 3: False},
    {"default": 1},
    {"default": None},
]


def messages() -> dict[str | None, CheckMessage]:
    """Return the messages of the system checks about the setting, by id."""
    found = run_checks(databases=[])
    return {m.id: m for m in found if m.id in {"sequences_core.E001", "sequences_core.I001"}}


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_wrong_value_is_an_error_before_the_database_is_touched(
    using: str, settings: Any, wrong: object
) -> None:
    """ImproperlyConfigured where a number would be taken, and a check that says the same."""
    settings.SEQUENCES_EARLY_RELEASE = wrong
    connection = connections[using]
    takes: list[Callable[[], Any]] = [
        lambda: get_next_value("s", using=using),
        lambda: Invoice.objects.using(using).create(),
        lambda: Invoice.objects.using(using).bulk_create([Invoice()]),
    ]
    for take in takes:
        transactions = transaction.atomic(using=using), transaction.atomic(using=using)
        refused = pytest.raises(ImproperlyConfigured, match="SEQUENCES_EARLY_RELEASE = ")
        captured = CaptureQueriesContext(connection)
        with transactions[0], captured as queries, refused, transactions[1]:
            take()
        assert not [sql for sql in map(str, queries.captured_queries) if "SAVEPOINT" not in sql]
    error = messages()["sequences_core.E001"]
    assert "SEQUENCES_EARLY_RELEASE = " in error.msg
    assert list(check_early_release(None, databases=[using])) == []
    settings.SEQUENCES_EARLY_RELEASE = False
    assert get_last_value("s", using=using) is None


@pytest.mark.parametrize("good", [True, False, {}, {"default": False}])
def test_a_right_value_is_no_error(using: str, settings: Any, good: object) -> None:
    """Numbers are taken, with a word of the check where the backend can't release early."""
    settings.SEQUENCES_EARLY_RELEASE = good
    with transaction.atomic(using=using):
        assert get_next_value("s", using=using) == 1
    assert Invoice.objects.using(using).create().number == 1
    found = messages()
    assert "sequences_core.E001" not in found
    can = get_allocator(connections[using]).can_release_early
    if good is True and not can:
        assert "sequences_core.I001" in found
    if good is not True:
        assert found == {}


def test_the_info_names_the_database(using: str, settings: Any) -> None:
    """There is one message for each database that is named but doesn't support it."""
    settings.SEQUENCES_EARLY_RELEASE = {using: True}
    allocator = get_allocator(connections[using])
    found = messages()
    if allocator.can_release_early:
        assert found == {}
    else:
        info = found["sequences_core.I001"]
        assert repr(using) in info.msg
        assert type(allocator).__name__ in info.msg
        assert not info.is_serious()
