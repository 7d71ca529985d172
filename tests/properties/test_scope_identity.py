"""Equal in the column, equal in the counter; different in the column, different in the counter.

The database itself is asked which rows are equal: those must have the numbers 1 to n, whatever
Python holds of the values that were stored, and in whatever way they were stored.
"""

from __future__ import annotations

import itertools
from collections import Counter as Multiset
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core import checks
from django.db import connections, models, transaction
from django.test.utils import isolate_apps
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sequences_contrib.fields import SequenceField

from sequences_core.models import Counter
from tests.numbered.blocks import tables
from tests.properties.columns import COLUMNS, REFUSED, Column

APPS: list[str] = []

examples = settings(
    max_examples=15,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)

Model = type[models.Model]


def make(name: str, **fields: Any) -> Any:
    meta = type("Meta", (), {"app_label": "properties"})
    return type(name, (models.Model,), {"__module__": __name__, "Meta": meta, **fields})


def errors(model: Any, using: str) -> list[checks.CheckMessage]:
    """Return the errors of our checks for a model."""
    found = model.check(databases=[using])
    return [
        message
        for message in found
        if message.level >= checks.ERROR and str(message.id).startswith("sequences")
    ]


@contextmanager
def collation(using: str) -> Iterator[None]:
    """Make the collation that one of the columns has."""
    if connections[using].vendor != "postgresql":
        yield
        return
    with connections[using].cursor() as cursor:
        cursor.execute(
            "CREATE COLLATION properties_ci "
            "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
    try:
        yield
    finally:
        with connections[using].cursor() as cursor:
            cursor.execute("DROP COLLATION properties_ci")


def empty(using: str, *models_: Any) -> None:
    for model in (*models_, Counter):
        model._default_manager.using(using).all().delete()


def groups(model: Any, using: str) -> dict[int, list[int]]:
    """Return the numbers of the rows whose values the database holds to be equal."""
    quote = connections[using].ops.quote_name
    table, value, key = quote(model._meta.db_table), quote("v"), quote("id")
    if model._meta.get_field("v").is_relation:
        value = quote("v_id")
    found: dict[int, list[int]] = {}
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT MIN(b.{key}), a.number FROM {table} a JOIN {table} b "
            f"ON a.{value} = b.{value} GROUP BY a.{key}, a.number"
        )
        for first, number in cursor.fetchall():
            found.setdefault(first, []).append(number)
    return found


def assert_exact(rows: Any) -> None:
    """Assert that rows with equal values in the database have the numbers 1 to n."""
    for numbers in groups(rows.model, rows.db).values():
        found = list(rows.order_by("pk").values_list("v", "number"))
        counters = list(Counter.objects.using(rows.db).values_list("name", "last"))
        assert sorted(numbers) == list(range(1, len(numbers) + 1)), (found, counters)


# Ways to store a value. Each returns what is stored, not saved yet, or saves it.


def create(rows: Any, value: Any) -> None:
    rows.create(v=value)


def save(rows: Any, value: Any) -> None:
    instance = rows.model()
    instance.v = value
    instance.save(using=rows.db)


def in_transaction(rows: Any, value: Any) -> None:
    with transaction.atomic(using=rows.db):
        rows.create(v=value)


def update_or_create(rows: Any, value: Any) -> None:
    rows.update_or_create(pk=next(keys), defaults={"v": value})


def get_or_create(rows: Any, value: Any) -> None:
    rows.get_or_create(pk=next(keys), defaults={"v": value})


def read_back(rows: Any, value: Any) -> None:
    """Store it, and once more what the ORM reads of it."""
    row = rows.create(v=value)
    rows.create(v=rows.get(pk=row.pk).v)


def read_by_sql(rows: Any, value: Any) -> None:
    """Store it, and once more what the driver returns of it."""
    row = rows.create(v=value)
    quote = connections[rows.db].ops.quote_name
    with connections[rows.db].cursor() as cursor:
        table = quote(rows.model._meta.db_table)
        cursor.execute(f"SELECT v FROM {table} WHERE id = %s", [row.pk])
        (found,) = cursor.fetchone()
    try:
        with transaction.atomic(using=rows.db):
            rows.create(v=found)
    except Exception:  # noqa: BLE001 - a driver's form of it need be none that Django takes
        fails(rows, found)


def bulk(rows: Any, *values: Any) -> None:
    rows.bulk_create([rows.model(v=value) for value in values])


def bulk_saved_before(rows: Any, *values: Any) -> None:
    """The same objects stand for several rows, as they do in a loop over choices."""
    rows.bulk_create([rows.model(v=value) for value in (*values, *values)])


keys = itertools.count(-1, -1)  # which no auto-increment comes to

ONE_BY_ONE = [
    create,
    save,
    in_transaction,
    update_or_create,
    get_or_create,
    read_back,
    read_by_sql,
]
TOGETHER = [bulk, bulk_saved_before]


def fails(rows: Any, *values: Any) -> None:
    """Assert that a model without numbers can't store the values either."""
    plain = rows.model.plain._default_manager.using(rows.db)
    try:
        with transaction.atomic(using=rows.db):
            plain.bulk_create([plain.model(v=value) for value in values])
            for value in values:
                plain.create(v=value)
            transaction.set_rollback(True, using=rows.db)
    except Exception:  # noqa: BLE001 - any error will do
        return
    raise AssertionError(f"only the number makes it impossible to store {values!r}")


def run(rows: Any, way: Callable[..., None], *values: Any) -> None:
    try:
        with transaction.atomic(using=rows.db):
            way(rows, *values)
    except Exception:  # noqa: BLE001 - must be one of the plain model, too
        fails(rows, *values)
        return


def steps(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Ways to store values, each with what it stores."""
    return st.lists(
        st.tuples(st.sampled_from(ONE_BY_ONE), st.tuples(values))
        | st.tuples(st.sampled_from(TOGETHER), st.lists(values, min_size=2, max_size=5)),
        min_size=2,
        max_size=4,
    )


@contextmanager
def numbered_by(column: Column, using: str) -> Iterator[Any]:
    """The rows of a model with the column as the scope, for which there is a plain model, too."""
    options: dict[str, Any] = {"unique_with": "v"} if column.unique else {"scope": "v"}
    with isolate_apps("tests.numbered"):
        model = make("Letter", v=column.make(using), number=SequenceField("s", **options))
        model.plain = make("Plain", v=column.make(using))
    with collation(using):
        refused = errors(model, using)
        assert column.refusable or not refused
        if refused:
            yield None
            return
        with tables(using, model, model.plain):
            yield model._default_manager.using(using)


@pytest.mark.parametrize("name", COLUMNS)
def test_counters_are_what_the_column_says(name: str, using: str) -> None:
    """For each type of column: rows that the database holds equal are numbered 1 to n."""
    column = COLUMNS[name]
    if column.only not in {"", connections[using].vendor}:
        return
    with numbered_by(column, using) as rows:
        if rows is None:
            return

        @examples
        @given(steps(column.strategy))
        def check(steps: Any) -> None:
            empty(using, rows.model)
            for way, values in steps:
                run(rows, way, *values)
            assert_exact(rows)

        check()


@pytest.mark.parametrize("name", COLUMNS)
def test_every_value(name: str, using: str) -> None:
    """Each value of a column alone, then all of them in one bulk, and then as they were read."""
    column = COLUMNS[name]
    if column.only not in {"", connections[using].vendor}:
        return
    with numbered_by(column, using) as rows:
        if rows is None:
            return
        empty(using, rows.model)
        values = [value for value in column.values if can_be_stored(rows, value)]
        for value in values:
            rows.create(v=value)
        assert_exact(rows)
        for _, alike in itertools.groupby(values, type):  # psycopg takes no mixed lists
            rows.bulk_create([rows.model(v=value) for value in alike])
        assert_exact(rows)
        for value in list(rows.values_list("v", flat=True)):
            rows.create(v=value)
        assert_exact(rows)


def can_be_stored(rows: Any, value: Any) -> bool:
    try:
        fails(rows, value)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("option", ["scope", "unique_with"])
def test_what_has_no_one_form_is_refused(name: str, option: str, using: str) -> None:
    """A check says so before there are rows, for the field itself and at the end of a path."""
    with isolate_apps("tests.numbered"):
        options: dict[str, Any] = {option: "v"}
        direct = make("Direct", v=REFUSED[name](), number=SequenceField("s", **options))
        parent = make("Parent", v=REFUSED[name]())
        by_path = make(
            "ByPath",
            parent=models.ForeignKey(parent, models.CASCADE),
            number=SequenceField("p", scope="parent__v"),
        )
    assert errors(direct, using)
    assert errors(by_path, using)


@pytest.mark.parametrize("target", ["key", "to_field", "one to one of a key"])
@pytest.mark.parametrize("kind", ["integer", "char", "decimal", "uuid"])
def test_foreign_keys(target: str, kind: str, using: str) -> None:
    """By instance, by the value of its key in any form, and by an instance that wasn't read."""
    column = COLUMNS[kind]
    with isolate_apps("tests.numbered"):
        code: Any = column.make(using)
        code._unique = True
        if target != "to_field":
            code.primary_key = True
        project = make("Project", code=code)
        options: dict[str, Any] = {"to_field": "code"} if target == "to_field" else {}
        parent = project
        if target.startswith("one to one"):
            parent = make(
                "Detail", project=models.OneToOneField(project, models.CASCADE, primary_key=True)
            )
        model = make(
            "Letter",
            v=models.ForeignKey(parent, models.CASCADE, **options),
            number=SequenceField("s", unique_with="v"),
        )
    assert not errors(model, using)
    made = {project: None, parent: None, model: None}
    with tables(using, *made):
        rows = model._default_manager.using(using)

        @examples
        @given(
            st.lists(st.tuples(column.strategy, st.sampled_from(["id", "set", "object", "bulk"])))
        )
        def check(steps: Any) -> None:
            empty(using, *reversed(made))
            for value, way in steps:
                try:
                    with transaction.atomic(using=using):
                        found = project._default_manager.using(using).filter(code=value).first()
                        # The instance keeps the value as it was given: nothing reads it back.
                        related = found or project(code=value)
                        related.code = value
                        if found is None:
                            related.save(using=using, force_insert=True)
                        if parent is not project:
                            detail = parent(project=related)
                            if found is None:
                                detail.save(using=using, force_insert=True)
                            related = detail
                except Exception:  # noqa: BLE001 - no such value, which is not the field's matter
                    continue
                match way:
                    case "id":
                        rows.create(v_id=value)
                    case "set":
                        letter = model()
                        letter.v_id = value
                        letter.save(using=using)
                    case "object":
                        rows.create(v=related)
                    case _:
                        rows.bulk_create([model(v=related), model(v_id=value)])
            assert_exact(rows)

        check()


@pytest.mark.parametrize("kind", ["integer", "char"])
def test_paths(kind: str, using: str) -> None:
    """A path leads to what the related row says in the database, whatever is cached of it."""
    with isolate_apps("tests.numbered"):
        project = make("Project", kind=COLUMNS[kind].make(using))
        model = make(
            "Letter",
            project=models.ForeignKey(project, models.CASCADE),
            number=SequenceField("s", scope="project__kind"),
        )
    values = st.sampled_from(COLUMNS[kind].values)
    ways = st.sampled_from(
        ["id", "fresh", "stale", "as given", "deferred", "two in bulk", "bulk of both", "updated"]
    )
    with tables(using, project, model):
        projects = project._default_manager.using(using)
        rows = model._default_manager.using(using)

        @examples
        @given(st.lists(st.tuples(values, values, ways), min_size=2, max_size=6))
        def check(steps: Any) -> None:
            empty(using, model, project)
            taken: Multiset[Any] = Multiset()
            for value, other, way in steps:
                try:
                    with transaction.atomic(using=using):
                        given_ = projects.create(kind=value)
                        second = projects.create(kind=other)
                except Exception:  # noqa: BLE001 - a value that this column doesn't take
                    continue
                fresh = projects.get(pk=given_.pk)
                letters = []
                match way:
                    case "id":
                        letters = [rows.create(project_id=given_.pk)]
                    case "fresh":
                        letters = [rows.create(project=fresh)]
                    case "stale":
                        fresh.kind = other
                        letters = [rows.create(project=fresh)]
                    case "as given":
                        letters = [rows.create(project=given_)]
                    case "deferred":
                        letters = [rows.create(project=projects.only("pk").get(pk=given_.pk))]
                    case "updated":
                        projects.filter(pk=given_.pk).update(kind=second.kind)
                        letters = [rows.create(project=fresh)]
                    case "two in bulk":
                        fresh.kind = other
                        letters = [model(project=fresh), model(project_id=fresh.pk)]
                        rows.bulk_create(letters)
                    case _:
                        letters = [model(project=given_), model(project=second)]
                        rows.bulk_create(letters)
                for letter in letters:
                    stored = projects.values_list("kind", flat=True).get(pk=letter.project_id)
                    taken[stored] += 1
                    assert letter.number == taken[stored], (way, stored)

        check()
