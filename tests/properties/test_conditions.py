"""``save()`` and ``assign_numbers()`` number the same rows, whatever ``when`` compares.

``save()`` evaluates the condition in Python and ``assign_numbers()`` in SQL.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections, models
from django.db.models import Q
from django.test.utils import isolate_apps
from hypothesis import given, note
from hypothesis import strategies as st
from sequences_contrib import conditions
from sequences_contrib.fields import SequenceField
from sequences_contrib.posting import assign_numbers

from tests.numbered.blocks import tables
from tests.properties.columns import COLUMNS, TEXTS, Column
from tests.properties.test_scope_identity import collation, empty, errors, examples, make

APPS: list[str] = []


def text(name: str, only: str, values: list[Any] = TEXTS) -> Column:
    """A column of text with a collation of one vendor."""
    return Column(
        lambda using: models.CharField(max_length=40, db_collation=name), values, only=only
    )


LATIN = ["a", "A", "a ", " a", "\u00e1", "\u00c1", "7", "a%", "\u00df", "ss"]

CONDITIONS = COLUMNS | {
    "char, without spaces": text("RTRIM", "sqlite"),
    "char, padded": text("utf8mb4_bin", "mysql"),
    "char, without accents": text("utf8mb4_unicode_ci", "mysql"),
    "char, of three bytes": text("utf8mb3_general_ci", "mysql", LATIN),
    "char, of one byte": text("latin1_swedish_ci", "mysql", LATIN),
}


def leaves(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Q]:
    """Return conditions that compare one column once."""
    several = st.lists(values | st.none(), max_size=3)
    return st.one_of(
        (values | st.none()).map(lambda value: Q(v=value)),
        several.map(lambda chosen: Q(v__in=chosen)),
        st.booleans().map(lambda null: Q(v__isnull=null)),
        st.booleans().map(lambda value: Q(b=value)),
    )


def trees(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Q]:
    """Return conditions that combine such comparisons in any way."""
    return st.recursive(
        leaves(values),
        lambda children: st.one_of(
            children.map(lambda one: ~one),
            st.tuples(children, children).map(lambda pair: pair[0] & pair[1]),
            st.tuples(children, children).map(lambda pair: pair[0] | pair[1]),
        ),
        max_leaves=4,
    )


def usable(rows: Any, values: list[Any]) -> list[Any]:
    """Return the values that the column can store.

    MariaDB has some invalid UUIDs, and compares them only in a SELECT.
    """
    found: list[Any] = []
    for value in values:
        try:
            rows.create(v=value, b=False)
        except Exception:  # noqa: BLE001 # of the field, the driver, or the database
            continue
        found.append(value)
    return found


def store(rows: Any, values: list[tuple[Any, bool]]) -> None:
    for value, flag in values:
        try:
            rows.create(v=value, b=flag)
        except Exception as error:  # noqa: BLE001 # of the field, the driver, or the database
            note(f"{value!r} can't be stored: {error}")


def numbered(rows: Any) -> set[int]:
    return set(rows.filter(number__isnull=False).values_list("pk", flat=True))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", CONDITIONS)
def test_python_and_sql_agree(kind: str, using: str) -> None:
    """A row is due when it is saved if and only if it is due in SQL."""
    column = CONDITIONS[kind]
    if column.only not in ("", connections[using].vendor):
        pytest.skip("a column of another database")
    with isolate_apps("tests.properties"), collation(using):
        field: Any = column.make(using)
        field.null = True
        number = SequenceField("s", when=Q(v=None), unique=True)
        model = make("Posted", v=field, b=models.BooleanField(), number=number)
        if any(message.id == "sequences_contrib.E034" for message in errors(model, using)):
            pytest.skip("refused by a check")
        with tables(using, model):
            check(model.objects.using(using), column)


def check(rows: Any, column: Column) -> None:
    values = st.sampled_from(usable(rows, column.values))
    field = rows.model._meta.get_field("number")

    @examples
    @given(
        trees(values),
        st.lists(st.tuples(column.strategy | st.none(), st.booleans()), min_size=1, max_size=6),
    )
    def agree(when: Q, stored: list[tuple[Any, bool]]) -> None:
        conditions.check(when)
        empty(rows.db, rows.model)
        field.when = when
        for cached in ("condition_fields", "depends_on", "unsettled"):
            vars(field).pop(cached, None)
        store(rows, stored)
        created = numbered(rows)
        rows.update(number=None)
        for row in rows.all():
            row.save()
        assert numbered(rows) == created
        rows.update(number=None)
        done = assign_numbers(rows.all())
        assert numbered(rows) == created, (when, list(rows.values_list("pk", "v", "b")))
        assert (done.rows, done.skipped) == (len(created), 0)

    agree()
