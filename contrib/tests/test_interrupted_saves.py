"""A ``save()`` that ends with KeyboardInterrupt or another error that isn't an Exception."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, models, transaction
from sequences_contrib.fields import SequenceField

from sequences_core.models import Counter
from tests.numbered.blocks import letters

APPS = ["sequences_contrib", "tests.numbered"]


class Timeout(BaseException):
    """An error of a handler of signals, or of a scheduler, such as gevent's of this name."""


def interrupted(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
    """Run the statement, and raise the error if it stores a row."""
    result = execute(sql, *args)
    if sql.startswith(("INSERT", "UPDATE")) and "numbered_letter" in sql:
        raise Timeout
    return result


@pytest.mark.parametrize("option", [{}, {"timeout": 5}, {"reuse": "gaps"}, {"skip_used": True}])
@pytest.mark.parametrize("posting", [False, True])
def test_a_caught_interrupt_leaves_no_gap(option: Any, posting: bool, using: str) -> None:
    """The caller's transaction, or the savepoint of ``save()``, is rolled back."""
    fields = {
        "posted": models.BooleanField(default=False),
        "number": SequenceField("post", when="posted", **option),
    }
    with letters(using, **fields) as rows:
        rows.create(posted=True)
        row = rows.create() if posting else rows.model()
        row.posted = True
        with (
            transaction.atomic(using=using),
            pytest.raises(Timeout),
            connections[using].execute_wrapper(interrupted),
        ):
            row.save(using=using)
        assert row.number is None
        assert rows.filter(number__isnull=False).count() == 1
        assert Counter.objects.using(using).get(pk="post").last == 1
        row.save(using=using)
        assert row.number == 2
