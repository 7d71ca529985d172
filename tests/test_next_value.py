"""NextValue takes numbers for what is stored, and is refused where it would only be read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import NotSupportedError, connections, models, transaction
from django.db.models import (
    Case,
    Exists,
    ExpressionWrapper,
    F,
    Max,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
    Window,
)
from django.db.models.functions import Abs, Cast, Coalesce, RowNumber
from django.test.utils import isolate_apps

from sequences_core import FunctionMissing, NextValue, get_last_value, get_next_value
from sequences_core.functions import forget_functions, has_function
from sequences_core.registry import get_allocator
from sequences_core.taking import database_errors
from tests.app.models import Invoice

APPS = ["tests.app"]

QuerySet = models.QuerySet[Invoice]

WRAPPED: dict[str, Callable[[], Any]] = {
    "plain": lambda: NextValue("s"),
    "case": lambda: Case(When(pk__gt=0, then=NextValue("s")), default=NextValue("s")),
    "coalesce": lambda: Coalesce(NextValue("s"), Value(0)),
    "arithmetic": lambda: NextValue("s") + 0,
    "cast": lambda: Cast(Abs(NextValue("s")), models.BigIntegerField()),
    "wrapper": lambda: ExpressionWrapper(NextValue("s"), models.BigIntegerField()),
}

READS: dict[str, Callable[[QuerySet, Any], object]] = {
    "filter": lambda rows, n: list(rows.filter(number=n)),
    "filter, greater": lambda rows, n: list(rows.filter(number__gt=n)),
    "filter, a Q": lambda rows, n: list(rows.filter(Q(number=n) | Q(pk=1))),
    "filter, a list": lambda rows, n: list(rows.filter(number__in=[n, 1])),
    "exclude": lambda rows, n: list(rows.exclude(number=n)),
    "annotate": lambda rows, n: list(rows.annotate(n=n)),
    "annotate, unevaluated": lambda rows, n: rows.annotate(n=n),
    "annotate and count": lambda rows, n: rows.annotate(n=n).count(),
    "annotate and update": lambda rows, n: rows.annotate(n=n).update(number=F("n")),
    "alias": lambda rows, n: list(rows.alias(n=n).filter(n__gt=1)),
    "aggregate": lambda rows, n: rows.aggregate(n=Max(n)),
    "order_by": lambda rows, n: list(rows.order_by(n)),
    "order_by, descending": lambda rows, n: list(rows.order_by(n.desc())),
    "values": lambda rows, n: list(rows.values(n=n)),
    "values_list": lambda rows, n: list(rows.values_list(n)),
    "distinct": lambda rows, n: list(rows.annotate(n=n).distinct()),
    "exists": lambda rows, n: rows.filter(number=n).exists(),
    "window": lambda rows, n: list(rows.annotate(n=Window(RowNumber(), order_by=n))),
    "condition": lambda rows, n: rows.update(number=Case(When(number=n, then=1), default=2)),
    "where of an update": lambda rows, n: rows.filter(number=n).update(number=1),
    "where of a delete": lambda rows, n: rows.filter(number=n).delete(),
    "subquery": lambda rows, n: rows.update(number=Subquery(rows.values(n=n)[:1])),
    "exists in a filter": lambda rows, n: list(
        rows.filter(Exists(rows.filter(pk=OuterRef("pk"), number=n)))
    ),
    "get_or_create": lambda rows, n: rows.get_or_create(number=n),
    "union": lambda rows, n: list(rows.values_list(n).union(rows.values_list("number"))),
}


@pytest.fixture
def rows(using: str) -> QuerySet:
    """Two rows of a database that has the function."""
    if not has_function(connections[using]):
        pytest.fail(f"{using} has no function")
    rows = Invoice.objects.using(using)
    rows.bulk_create([Invoice(number=-1), Invoice(number=-2)])
    return rows


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("read", READS)
def test_what_only_reads_is_refused(rows: QuerySet, read: str, wrapped: str) -> None:
    """NotSupportedError, before the statement is sent: no number is taken, no row is changed."""
    before = sorted(rows.values_list("number", flat=True))
    with pytest.raises(NotSupportedError, match="NextValue takes a number each time"):
        READS[read](rows, WRAPPED[wrapped]())
    assert get_last_value("s", using=rows.db) is None
    assert sorted(rows.values_list("number", flat=True)) == before


def numbers(rows: QuerySet) -> list[int]:
    return sorted(rows.filter(number__gt=0).values_list("number", flat=True))


@pytest.mark.parametrize("wrapped", [name for name in WRAPPED if name != "case"])
def test_what_is_inserted(rows: QuerySet, wrapped: str) -> None:
    """create(), save() and bulk_create() take a number for each row."""
    rows.create(number=WRAPPED[wrapped]())
    Invoice(number=WRAPPED[wrapped]()).save(using=rows.db)
    rows.bulk_create([Invoice(number=WRAPPED[wrapped]()) for _ in range(3)])
    assert numbers(rows) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_what_is_updated(rows: QuerySet, wrapped: str) -> None:
    """update(), bulk_update() and save() do, too, wherever in the expression NextValue is."""
    with transaction.atomic(using=rows.db):
        assert rows.update(number=WRAPPED[wrapped]()) == 2
        assert numbers(rows) == [1, 2]
        found = list(rows.order_by("number"))
        for row in found:
            row.number = WRAPPED[wrapped]()
        rows.bulk_update(found, ["number"])
        assert numbers(rows) == [3, 4]
        row = rows.get(number=4)
        row.number = WRAPPED[wrapped]()
        row.save(using=rows.db)
    assert numbers(rows) == [3, 5]
    assert get_last_value("s", using=rows.db) == 5


def test_a_conditional_update(rows: QuerySet) -> None:
    """Only rows whose number is updated take one."""
    first = rows.get(number=-1).pk
    rows.update(number=Case(When(pk=first, then=NextValue("s")), default=F("number")))
    assert sorted(rows.values_list("number", flat=True)) == [-2, 1]
    assert get_last_value("s", using=rows.db) == 1


@isolate_apps("tests.app")
def test_full_clean_takes_no_number(rows: QuerySet, caplog: pytest.LogCaptureFixture) -> None:
    """Validating a constraint by a query can't say whether it holds, and doesn't fail."""

    class Checked(models.Model):  # noqa: DJ008 - nobody reads it
        number = models.BigIntegerField()

        class Meta:
            app_label = "app"
            constraints = [models.CheckConstraint(condition=Q(number__gt=0), name="positive")]

    with caplog.at_level(logging.CRITICAL, "django.db.models"):
        Checked(number=NextValue("s")).validate_constraints()
    assert get_last_value("s", using=rows.db) is None


# Whether the function is there


def test_the_message_names_the_line_of_a_migration(using: str) -> None:
    """makemigrations sees no dependency in an expression, so the error says how to write it."""
    connection = connections[using]
    allocator = get_allocator(connection)
    if not allocator.supports_function or allocator.function_of_connection:
        return
    allocator.uninstall(connection)
    forget_functions()
    try:
        with pytest.raises(FunctionMissing) as caught:
            Invoice.objects.using(using).create(number=NextValue("s"))
    finally:
        allocator.install(connection)
        forget_functions()
    assert f"manage.py sequences install --database={using}" in str(caught.value)
    assert 'dependencies = [("sequences_core", "0001_initial")]' in str(caught.value)


class TestPostgreSQL:
    using = "postgresql"
    pytestmark = pytest.mark.django_db(
        transaction=True,
        databases=["postgresql"],
        available_apps=["sequences_core", "tests.app"],
    )

    @pytest.fixture(autouse=True)
    def _empty_schema(self) -> Iterator[None]:
        self.connection: Any = connections[self.using]
        with self.connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA tenant")
        yield
        with self.connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA tenant CASCADE")
        self.connection.close()
        forget_functions()

    def set_schema(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Set the schema as django-tenants does."""
        monkeypatch.setattr(self.connection, "schema_name", name, raising=False)
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET search_path = {name}")

    def test_the_answer_is_kept_for_each_schema(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whether the function exists is cached for each schema, so no query is needed."""
        for schema, there in [("public", True), ("tenant", False)] * 2:
            self.set_schema(schema, monkeypatch)
            assert has_function(self.connection) is there
        asked: list[Any] = []
        with self.connection.execute_wrapper(lambda execute, *args: asked.append(args)):
            for schema, there in [("public", True), ("tenant", False)]:
                self.connection.schema_name = schema
                assert has_function(self.connection) is there
        assert asked == []

    def test_a_schema_that_was_chosen_by_sql(self) -> None:
        """Nobody sees it; the error forgets what was known of the function, and says what to do."""
        assert has_function(self.connection)
        with self.connection.cursor() as cursor:
            cursor.execute("SET search_path = tenant")
        with (
            pytest.raises(FunctionMissing, match=r"manage\.py sequences install"),
            database_errors(self.connection, ours=False),
            self.connection.cursor() as cursor,
        ):
            cursor.execute("SELECT sequences_next_value('s', 1, NULL)")
        assert not has_function(self.connection)

    def test_the_messages_name_the_schema(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The messages name the schema in which the function is missing."""
        self.set_schema("tenant", monkeypatch)
        with pytest.raises(FunctionMissing, match="schema 'tenant' of database 'postgresql'"):
            Invoice.objects.using(self.using).create(number=NextValue("s"))


def test_numbers_by_both_ways(rows: QuerySet) -> None:
    """get_next_value goes on from what statements have taken."""
    rows.create(number=NextValue("s"))
    with transaction.atomic(using=rows.db):
        assert get_next_value("s", using=rows.db) == 2
