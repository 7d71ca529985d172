"""Calls that touch one model lock its counters in one order, whatever they are."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, models, transaction
from django.test.utils import CaptureQueriesContext, isolate_apps
from sequences_contrib.fields import SequenceField

from sequences_core import NextValue, get_last_value, get_next_value
from sequences_core.testing.base import Elsewhere
from tests.numbered.blocks import letters, model_with, tables, together
from tests.numbered.models import Company, Project

APPS = ["tests.numbered"]

SIDES = {"source": models.CharField(max_length=9), "target": models.CharField(max_length=9)}


def taken(using: str, save: Callable[[], object]) -> list[str]:
    """Return the names of the counters in the order in which a call locks them."""
    names = ["zz", "aa", "account.a", "account.b", "account.c"]
    with CaptureQueriesContext(connections[using]) as queries:
        save()
    found = []
    for query in queries:
        if not query["sql"].lstrip().startswith("SELECT") or "FOR UPDATE" in query["sql"]:
            found += [name for name in names if f"'{name}'" in query["sql"]]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize(
    "options",
    [{}, {"timeout": 20}, pytest.param({"initial_value": lambda row: 1}, id="callable")],
    ids=str,
)
def test_two_fields_of_one_row(options: dict[str, Any], using: str) -> None:
    """A row of two counters locks them by name, not by column or by how the number is taken."""
    with letters(using, z=SequenceField("zz"), a=SequenceField("aa", **options)) as rows:
        for save in (
            rows.create,
            lambda: rows.bulk_create([rows.model(), rows.model()]),
            lambda: rows.create(z=20),
            lambda: rows.bulk_create([rows.model(z=30), rows.model(a=40)]),
        ):
            assert taken(using, save) == ["aa", "zz"]
        assert (get_last_value("aa", using=using), get_last_value("zz", using=using)) == (41, 31)


def test_rows_with_and_without_primary_keys(using: str) -> None:
    """A bulk of both, which is two statements, locks the counters of both before the first."""
    kinds = models.CharField(max_length=9)
    with letters(using, kind=kinds, number=SequenceField("account", scope="kind")) as rows:
        rows.bulk_create([rows.model(kind=kind) for kind in "abc"])
        some = [rows.model(pk=10**6, kind="c"), rows.model(kind="a"), rows.model(kind="b")]
        assert taken(using, lambda: rows.bulk_create(some)) == [
            "account.a",
            "account.b",
            "account.c",
        ]
        assert [row.number for row in some] == [2, 2, 2]


@pytest.mark.parametrize("where", ["value", "default"])
def test_another_value_that_takes_a_number(where: str, using: str) -> None:
    """A row whose INSERT also evaluates a NextValue locks the field's counter before that."""
    connection: Any = connections[using]
    if connection.vendor == "sqlite" or (where == "default" and connection.vendor != "postgresql"):
        pytest.skip("the whole database is locked, or no column has such a default")
    taking = NextValue("aa")
    ref = models.BigIntegerField(db_default=taking)
    values = {} if where == "default" else {"ref": taking}
    if where == "value":
        ref = models.BigIntegerField()
    with letters(using, ref=ref, number=SequenceField("zz")) as rows:
        saves: list[Callable[[], Any]] = [
            lambda: rows.create(**values),
            lambda: rows.create(number=50, **values),
            lambda: rows.bulk_create([rows.model(**values)]),
        ]
        for save in saves:
            save()
            with transaction.atomic(using=using):
                get_next_value("zz", using=using)
                waiting = Elsewhere(save, using)
                waiting.start()
                assert waiting.is_waiting()
                get_next_value("aa", timeout=1, using=using)
            waiting.result()


def test_one_sequence_for_two_fields(using: str) -> None:
    """Two fields of one sequence take from the counters of a row in the order of the names."""
    sides = {name: field.clone() for name, field in SIDES.items()}
    with letters(
        using,
        out=SequenceField("account", scope="source"),
        into=SequenceField("account", scope="target"),
        **sides,
    ) as rows:
        for source, target in ("ba", "ab", "bb"):
            expected = [f"account.{name}" for name in sorted({source, target})]
            save = functools.partial(rows.create, source=source, target=target)
            assert taken(using, save) == expected
        row = rows.latest("pk")
        assert {row.out, row.into} == {3, 4}


@pytest.mark.parametrize("seed", range(3))
def test_no_deadlock_between_calls_of_one_model(seed: int, using: str) -> None:
    """Threads that save rows of one model in every way end, and have numbered exactly."""
    sides = {name: field.clone() for name, field in SIDES.items()}
    with letters(
        using,
        out=SequenceField("account", scope="source"),
        into=SequenceField("account", scope="target"),
        own=SequenceField("aa", timeout=60),
        last=SequenceField("zz", unique=True),
        **sides,
    ) as rows:
        # The database's own keys go on above those that the test chooses.
        rows.create(pk=10**8, source="a", target="b")

        def worker(number: int) -> Callable[[], None]:
            chance = random.Random(seed * 100 + number)

            def row(**values: Any) -> Any:
                return rows.model(
                    source=chance.choice("abc"), target=chance.choice("abc"), **values
                )

            def work() -> None:
                for i in range(12):
                    match chance.randrange(4):
                        case 0:
                            row().save(using=using)
                        case 1:
                            rows.bulk_create([row(), row(pk=10**6 * (number + 1) + i), row()])
                        case 2:
                            row(own=1).save(using=using)
                        case _:
                            with transaction.atomic(using=using):
                                rows.bulk_create([row(), row(own=2)], batch_size=1)

            return work

        together([worker(number) for number in range(4)], using)
        count = rows.count()
        assert sorted(rows.values_list("last", flat=True)) == list(range(1, count + 1))
        for name in "abc":
            given = [*rows.filter(source=name).values_list("out", flat=True)]
            given += rows.filter(target=name).values_list("into", flat=True)
            assert sorted(given) == list(range(1, len(given) + 1))


@pytest.mark.parametrize("levels", [1, 2])
def test_reuse_locks_no_row_of_a_parent_model(levels: int, using: str) -> None:
    """The scope may be of a parent, whose rows others save without the child's counter."""
    meta = type("Meta", (), {"app_label": "numbered"})
    common = {"__module__": __name__, "Meta": meta}
    with isolate_apps("tests.numbered"):
        models_ = [model_with(kind=models.CharField(max_length=9))]
        if levels == 2:
            models_.append(type("Middle", (models_[0],), dict(common)))
        number = SequenceField("s", scope="kind", reuse="gaps")
        models_.append(type("Child", (models_[-1],), {**common, "own": number}))
    with tables(using, *models_):
        rows = models_[-1].objects.using(using)
        rows.create(kind="b")
        created = [rows.create(kind="a") for _ in range(3)]
        created[1].delete()
        with CaptureQueriesContext(connections[using]) as queries:
            assert rows.create(kind="a").own == 2
        for query in queries:
            if "FOR UPDATE" in query["sql"]:  # which locks no row of a subquery
                assert "JOIN" not in query["sql"].partition("(SELECT")[0]
        assert rows.create(kind="b").own == 2


def test_reuse_locks_no_row_of_a_parent(using: str) -> None:
    """A row of a scope's parent that somebody else holds doesn't keep numbers from being reused."""
    company = Company.objects.using(using).create(name="c")
    project = Project.objects.using(using).create(code="p", company=company)
    with letters(
        using,
        project=models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+"),
        number=SequenceField("s", scope="project__company", reuse="gaps"),
    ) as rows:
        created = [rows.create(project=project) for _ in range(3)]
        created[1].delete()
        statements = []

        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            statements.append(sql)
            return execute(sql, params, many, context)

        with connections[using].execute_wrapper(note):
            assert rows.create(project_id=project.pk).number == 2
        for sql in statements:
            if "FOR UPDATE" in sql:
                assert "JOIN" not in sql
