"""Manual transaction management, by ``set_autocommit(False)`` or ``AUTOCOMMIT`` of a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import IntegrityError, connections, models
from sequences_contrib.afterwards import renumber, void
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.texts import FormattedNumberField

from sequences_core import get_last_value
from tests.numbered.blocks import letters

APPS = ["tests.numbered", "sequences_contrib"]


@contextmanager
def without_autocommit(using: str) -> Iterator[Any]:
    connection = connections[using]
    connection.set_autocommit(False)
    try:
        yield connection
    finally:
        connection.rollback()
        connection.set_autocommit(True)


FIELDS: dict[str, Callable[[], dict[str, Any]]] = {
    "in-statement": lambda: {"number": SequenceField("letters")},
    "before the INSERT": lambda: {"number": SequenceField("letters", maximum=100)},
    "reuse": lambda: {"number": SequenceField("letters", reuse="gaps")},
    "text": lambda: {
        "number": SequenceField("letters"),
        "text": FormattedNumberField(NumberFormat("A-{number:03d}"), max_length=30),
    },
}

FAILURES: dict[str, Callable[[Any], Any]] = {
    "in the database": lambda rows: rows.create(code="a"),
    "in Python": lambda rows: rows.create(code="b", amount="many"),
    "in bulk": lambda rows: rows.bulk_create([rows.model(code="b"), rows.model(code="a")]),
}


@pytest.mark.parametrize("fails", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
def test_a_failed_save_consumes_no_number(fields: Any, fails: Any, using: str) -> None:
    """The caller may catch the error and commit the transaction."""
    code, amount = models.CharField(max_length=9, unique=True), models.IntegerField(default=0)
    with letters(using, code=code, amount=amount, **fields()) as rows:
        rows.create(code="a")
        with without_autocommit(using) as connection:
            with pytest.raises((IntegrityError, ValueError)):
                fails(rows)
            assert rows.create(code="c").number == 2
            connection.commit()
        assert sorted(rows.values_list("code", "number")) == [("a", 1), ("c", 2)]


CHANGES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "create": lambda rows, row, draft: rows.create(kind="a"),
    "explicit": lambda rows, row, draft: rows.create(kind="a", page=50),
    "bulk_create": lambda rows, row, draft: rows.bulk_create([rows.model(kind="a")]),
    "posting": lambda rows, row, draft: draft.save(),
    "renumber": lambda rows, row, draft: renumber(row, "number"),
    "void": lambda rows, row, draft: void(row, "number", reason="", delete=True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_rollback_undoes_it(change: Any, using: str) -> None:
    """On SQLite, the release of a savepoint commits, unless a transaction is open before."""
    fields: dict[str, Any] = {
        "kind": models.CharField(max_length=9),
        "posted": models.BooleanField(default=True),
        "number": SequenceField("letters", scope="kind", when="posted"),
        "page": SequenceField("pages", maximum=100),
    }
    with letters(using, **fields) as rows:
        row, draft = rows.create(kind="a"), rows.create(kind="a", posted=False)
        before = list(rows.order_by("pk").values())
        row.kind, draft.posted = "b", True
        with without_autocommit(using) as connection:
            change(rows, row, draft)
            connection.rollback()
            assert list(rows.order_by("pk").values()) == before
            assert get_last_value("letters.a", using=using) == 1
            assert get_last_value("letters.b", using=using) is None
            assert get_last_value("pages", using=using) == 2


def test_posting(using: str) -> None:
    """A row that was posted in a transaction that is rolled back gets a number when it is saved."""
    fields: dict[str, Any] = {
        "posted": models.BooleanField(default=False),
        "number": SequenceField("letters", when="posted", unique=True),
    }
    with letters(using, **fields) as rows, without_autocommit(using) as connection:
        row = rows.create()
        connection.commit()
        row.posted = True
        for end in (connection.rollback, connection.commit):
            row.save()
            assert row.number == 1
            end()
        assert rows.get().number == 1
