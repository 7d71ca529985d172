"""Reuse of deleted rows' numbers, and behaviour that users of other packages rely on."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from django.db import IntegrityError, connections, models, transaction
from django.db.backends.utils import CursorWrapper
from django.test.utils import isolate_apps
from sequences_contrib.fields import SequenceField
from sequences_contrib.periods import Year

from sequences_core import SequenceExhausted, get_last_value, set_last_value
from sequences_core.arguments import MAX_VALUE
from sequences_core.testing.base import Elsewhere
from tests.numbered.blocks import letters, model_with, rolled_back, tables, together
from tests.numbered.models import Company, Invoice, Project, Seat, Ticket
from tests.snapshots import finds_what_it_does_not_see

APPS = ["tests.numbered"]


def seat(using: str, room: str = "r", **values: Any) -> Seat:
    return Seat.objects.using(using).create(room=room, **values)


def test_gaps_are_filled_from_below(using: str) -> None:
    """With reuse="gaps", the lowest free number comes first, and then the next new one."""
    assert [seat(using).number for _ in range(5)] == [0, 1, 2, 3, 4]
    Seat.objects.using(using).filter(number__in=[0, 2, 3]).delete()
    assert [seat(using).number for _ in range(4)] == [0, 2, 3, 5]
    assert get_last_value("numbered_seat.number.r", using=using) == 5
    Seat.objects.using(using).all().delete()
    assert seat(using).number == 0


@pytest.mark.parametrize("option", [{"reuse": "last"}, {"skip_used": True}], ids=str)
def test_no_free_number_is_left(option: dict[str, Any], using: str) -> None:
    """If only a row, and not the counter, has the highest number of all, no number follows it."""
    with letters(using, number=SequenceField("s", unique=True, **option)) as rows:
        rows.create()
        rows.update(number=MAX_VALUE)
        last = 1 if "reuse" in option else MAX_VALUE - 1
        set_last_value(last, "s", using=using)
        with pytest.raises(SequenceExhausted, match="would pass"):
            rows.create()
        assert get_last_value("s", using=using) == last


def test_gaps_belong_to_a_scope(using: str) -> None:
    """A gap in one scope doesn't affect other scopes."""
    for room in "aab":
        seat(using, room)
    Seat.objects.using(using).filter(room="a", number=0).delete()
    assert seat(using, "b").number == 1
    assert seat(using, "a").number == 0


@pytest.mark.parametrize(("reuse", "expected"), [("gaps", 2), ("last", 4)])
def test_without_a_scope(reuse: str, expected: int, using: str) -> None:
    """Without a scope, the numbers of all rows are considered."""
    with letters(using, number=SequenceField(unique=True, reuse=reuse)) as rows:
        created = [rows.create() for _ in range(3)]
        created[1].delete()
        assert rows.create().number == expected
        highest = rows.latest("number")
        highest.delete()
        assert rows.create().number == highest.number


def test_gaps_belong_to_what_a_path_leads_to(using: str) -> None:
    """A scope may be a path: a gap is free for all rows from which it leads to the same."""
    a, b = (Company.objects.using(using).create(name=name) for name in "ab")
    p, q, r = (Project.objects.using(using).create(company=each) for each in (a, a, b))
    with letters(
        using,
        project=models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+"),
        number=SequenceField(scope="project__company", reuse="gaps"),
    ) as rows:
        assert [rows.create(project=each).number for each in (p, q, r, p, r)] == [1, 2, 1, 3, 2]
        rows.filter(project=p, number=1).delete()
        assert [rows.create(project_id=each.pk).number for each in (r, q, q)] == [3, 1, 4]


def test_gaps_below_an_explicit_number(using: str) -> None:
    """Numbers that an explicit value jumped over are free."""
    seat(using)
    seat(using, number=4, label=9)
    assert [seat(using).number for _ in range(4)] == [1, 2, 3, 5]


class Visible(models.Manager[Any]):
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(hidden=False)


def test_rows_that_a_manager_leaves_out_have_their_numbers(using: str) -> None:
    """The numbers of a table's rows are used, also of those that no manager of the model shows."""
    meta = type("Meta", (), {"app_label": "numbered", "base_manager_name": "objects"})
    with isolate_apps("tests.numbered"):
        model: Any = type(
            "Letter",
            (models.Model,),
            {
                "__module__": __name__,
                "Meta": meta,
                "hidden": models.BooleanField(default=False),
                "number": SequenceField("hiding", reuse="gaps", unique=True),
                "objects": Visible(),
            },
        )
    with tables(using, model):
        rows = model.objects.using(using)
        assert rows.create(hidden=True).number == 1
        assert rows.create().number == 2


def test_rows_that_came_without_the_counter(using: str) -> None:
    """Rows loaded from a fixture are considered, even if there is no counter yet."""
    seats = [Seat(room="r", number=number, label=number + 1) for number in (0, 1, 3)]
    for each in seats:
        each.save_base(raw=True, using=using, force_insert=True)
    assert get_last_value("numbered_seat.number.r", using=using) is None
    created = [seat(using) for _ in range(3)]
    assert [each.number for each in created] == [2, 4, 5]
    assert [each.label for each in created] == [5, 6, 7]


def test_last_goes_on_from_the_highest_left(using: str) -> None:
    """With reuse="last", only numbers deleted at the end are assigned again."""
    seats = [seat(using) for _ in range(4)]
    assert [each.label for each in seats] == [1, 2, 3, 4]
    Seat.objects.using(using).filter(label__in=[2, 4]).delete()
    assert seat(using).label == 4
    Seat.objects.using(using).all().delete()
    assert seat(using).label == 1


def test_rollback_leaves_the_gap(using: str) -> None:
    """A gap filled by a transaction that rolls back is open again."""
    seats = [seat(using) for _ in range(3)]
    seats[1].delete()
    with rolled_back(using):
        assert seat(using).number == 1
    assert seat(using).number == 1


def test_a_gap_that_is_not_committed_is_none(using: str) -> None:
    """A row that another transaction has deleted, but not committed, is still there."""
    seats = [seat(using) for _ in range(2)]
    other = Elsewhere(lambda: seat(using).number, using)
    with transaction.atomic(using=using):
        seats[0].delete()
        other.start()
        if connections[using].vendor == "sqlite":  # the lock is the whole database's
            assert other.is_waiting()
        else:
            assert other.result() == 2
    if connections[using].vendor == "sqlite":
        assert other.result() == 0
    else:
        assert seat(using).number == 0


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_number_that_is_just_stored_into_a_gap(end: str, using: str) -> None:
    """A save waits for the transaction that stores an explicit number, and then knows of it."""
    seats = [seat(using) for _ in range(3)]
    seats[1].delete()
    other = Elsewhere(lambda: seat(using).number, using)
    with transaction.atomic(using=using):
        seat(using, number=1, label=9)
        other.start()
        assert other.is_waiting()
        if end == "rollback":
            transaction.set_rollback(True, using=using)
    assert other.result() == (3 if end == "commit" else 1)


def test_rows_that_are_deleted_during_the_search(using: str) -> None:
    """The search continues if the rows that it has found are deleted before its next query."""
    for _ in range(4):
        seat(using)
    seats = Seat.objects.using(using)
    seats.filter(number=1).delete()
    deleted: list[bool] = []

    def delete_first(execute: Any, sql: str, *arguments: Any) -> Any:
        if "EXISTS" in sql and not deleted:
            deleted.append(True)
            seats.all().delete()
        return execute(sql, *arguments)

    with connections[using].execute_wrapper(delete_first):
        assert seat(using).number == 0
    assert deleted


@pytest.mark.parametrize(
    "option", [{"reuse": "gaps"}, {"reuse": "last"}, {"skip_used": True}], ids=str
)
def test_a_row_of_another_counter_that_is_not_committed(option: Any, using: str) -> None:
    """No save waits for it, although the search by the index of the number finds it."""
    if not connections[using].features.has_select_for_update:
        pytest.skip("the whole database is locked")
    mysql = connections[using].vendor == "mysql"
    if mysql and not connections[using].features.has_select_for_update_skip_locked:
        pytest.skip("a locking read waits on MariaDB before 10.6")
    kind = models.CharField(max_length=9)
    number: Any = SequenceField("s", scope="kind", db_index=True, **option)
    with letters(using, kind=kind, number=number) as rows:
        other = Elsewhere(lambda: rows.create(kind="a").number, using)
        with transaction.atomic(using=using):
            assert rows.create(kind="b").number == 1
            other.start()
            assert other.result() == 1


def test_all_counters_are_locked_before_rows_are_read(using: str) -> None:
    """The locking reads of InnoDB may lock rows that others wait for with a counter locked."""
    if connections[using].vendor != "mysql":
        pytest.skip("only MySQL and MariaDB read rows with a lock")
    meta = type("Meta", (), {"app_label": "numbered"})
    with isolate_apps("tests.numbered"):
        parent = model_with(zz=SequenceField("zz", reuse="gaps"), yy=SequenceField("yy"))
        fields: dict[str, Any] = {"aa": SequenceField("aa")}
        fields["bb"] = SequenceField("bb", when="posted")
        fields["posted"] = models.BooleanField(default=True)
        child: Any = type("Child", (parent,), {"__module__": __name__, "Meta": meta, **fields})
    with tables(using, parent, child):
        statements: list[str] = []

        def record(execute: Any, sql: str, params: Any, *arguments: Any) -> Any:
            statements.append(f"{sql} {params}")
            return execute(sql, params, *arguments)

        with connections[using].execute_wrapper(record):
            child.objects.using(using).create()
        first = next(i for i, text in enumerate(statements) if "FROM `numbered_letter`" in text)
        names = [
            name for text in statements[:first] for name in re.findall("'(aa|bb|yy|zz)'", text)
        ]
        assert list(dict.fromkeys(names)) == ["yy", "zz", "aa", "bb"]


def test_a_counter_that_is_behind_the_rows(using: str) -> None:
    """Numbers that rows have are not given again, wherever the counter was set to."""
    seats = [seat(using) for _ in range(4)]
    seats[2].delete()
    for field, last in (("number", 0), ("label", 1)):
        set_last_value(last, f"numbered_seat.{field}.r", force=True, using=using)
    created = [seat(using) for _ in range(2)]
    assert [(each.number, each.label) for each in created] == [(2, 5), (4, 6)]
    assert get_last_value("numbered_seat.number.r", using=using) == 4
    assert get_last_value("numbered_seat.label.r", using=using) == 6


def test_numbers_that_an_old_snapshot_does_not_show(using: str) -> None:
    """At REPEATABLE READ a number that was committed after the snapshot is not given again."""
    if not finds_what_it_does_not_see(connections[using]):
        return  # the others report a conflict, or have no such level
    seats = [seat(using) for _ in range(4)]
    seats[1].delete()
    seats[3].delete()
    with connections[using].cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    with transaction.atomic(using=using):
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM numbered_seat")
        others: list[Seat] = []
        together([lambda: others.extend(seat(using) for _ in range(2))], using)
        assert [(other.number, other.label) for other in others] == [(1, 4), (3, 5)]
        late = seat(using)
        assert (late.number, late.label) == (4, 6)


def test_150_at_once_fill_the_gaps(using: str) -> None:
    """150 concurrent creates with gaps give 150 different numbers, the gaps first."""
    gaps = list(range(0, 60, 2))
    Seat.objects.using(using).bulk_create([Seat(room="r") for _ in range(60)])
    Seat.objects.using(using).filter(number__in=gaps).delete()
    workers, each = 10, 15
    numbers: list[list[int]] = [[] for _ in range(workers)]

    def worker(taken: list[int]) -> Callable[[], None]:
        def work() -> None:
            taken.extend(seat(using).number for _ in range(each))

        return work

    together([worker(taken) for taken in numbers], using)
    created = sorted(number for taken in numbers for number in taken)
    assert created == sorted([*gaps, *range(60, 60 + workers * each - len(gaps))])
    stored = Seat.objects.using(using).order_by("number").values_list("number", flat=True)
    assert list(stored) == list(range(180))


EXPLAIN = {
    "postgresql": "EXPLAIN",
    "mysql": "EXPLAIN FORMAT=TRADITIONAL",
    "sqlite": "EXPLAIN QUERY PLAN",
}


def is_search(vendor: str, plan: list[dict[str, Any]]) -> bool:
    """Does the plan go into tables by an index only, and sort nothing?"""
    if vendor == "mysql":
        return all(
            not step["table"] or (step["key"] and "filesort" not in (step["Extra"] or ""))
            for step in plan
        )
    text = "\n".join(str(step) for step in plan)
    if vendor == "sqlite":
        return "SCAN numbered_seat" not in text and "TEMP B-TREE" not in text
    return "Index" in text and "Seq Scan" not in text and "Sort" not in text


def test_the_search_uses_the_index(using: str) -> None:
    """The search for a free number walks the index of its scope, and never sorts the table."""
    rows = 2000
    connection = connections[using]
    Seat.objects.using(using).bulk_create(
        [Seat(room=room, number=i, label=i + 1) for room in "ab" for i in range(rows)]
    )
    Seat.objects.using(using).filter(room="a", number=1500).delete()
    plans: list[list[dict[str, Any]]] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT") and "numbered_seat" in sql:
            with CursorWrapper(connection.create_cursor(), connection) as cursor:
                cursor.execute(f"{EXPLAIN[connection.vendor]} {sql}", params)
                names = [column[0] for column in cursor.description]
                plans.append([dict(zip(names, row, strict=True)) for row in cursor.fetchall()])
        return execute(sql, params, many, context)

    with connection.cursor() as cursor:
        table = "TABLE" if connection.vendor == "mysql" else ""
        cursor.execute(f"ANALYZE {table} numbered_seat")
    with transaction.atomic(using=using), connection.execute_wrapper(explain):
        assert [seat(using, "a").number for _ in range(2)] == [1500, rows]
    # Of two saves, each of two numbers; MySQL and MariaDB read the numbers found with a lock, too.
    assert len(plans) == (16 if connection.vendor == "mysql" else 12)
    for plan in plans:
        # PostgreSQL reads a table that is half of it in order, to count it.
        counts = connection.vendor == "postgresql" and "Aggregate" in str(plan[0])
        assert counts or is_search(connection.vendor, plan), plan


def test_scope_and_constraint_at_once(using: str) -> None:
    """unique_with numbers each combination by itself, and the database keeps it unique."""
    project = Project.objects.using(using).create(code="p")
    Ticket.objects.using(using).create(project=project)
    with pytest.raises(IntegrityError):
        Ticket.objects.using(using).create(project=project, number=1)
    seat(using)
    with pytest.raises(IntegrityError):
        seat(using, number=0)


def test_a_scope_of_two_fields_and_the_constraint(using: str) -> None:
    """Each combination starts at the initial value, and later saves change nothing."""
    p, q = (Project.objects.using(using).create(code=code) for code in "pq")
    with letters(
        using,
        project=models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+"),
        name=models.CharField(max_length=9),
        number=SequenceField(unique_with=("project", "name"), initial_value=100),
    ) as rows:
        created = [rows.create(project=each, name=name) for each in (p, q) for name in "ab"]
        created.append(rows.create(project=p, name="a"))
        for row in created:
            row.save()
            row.refresh_from_db()
        assert [row.number for row in created] == [100, 100, 100, 100, 101]
        with pytest.raises(IntegrityError):
            rows.create(project=p, name="a", number=101)
        rows.create(project=p, name="b", number=101)


def test_delete_the_last_and_go_on(using: str) -> None:
    """Without reuse, the number of a deleted row stays missing."""
    invoices = [Invoice.objects.using(using).create() for _ in range(3)]
    invoices[2].delete()
    assert Invoice.objects.using(using).create().number == 4


def test_a_gap_beside_a_duplicate(using: str) -> None:
    """Without a unique constraint, a duplicate doesn't hide a gap."""
    with letters(using, number=SequenceField("s", reuse="gaps")) as rows:
        rows.bulk_create([rows.model(number=number) for number in (1, 2, 2, 4)])
        assert [rows.create().number for _ in range(2)] == [3, 5]


def test_a_gap_beside_a_duplicate_of_a_period(using: str) -> None:
    """Dates of one year have one counter, so a constraint with the date doesn't exclude them."""
    with letters(
        using,
        day=models.DateField(default=date(2026, 1, 1)),
        number=SequenceField("s", scope=Year("day"), reuse="gaps"),
    ) as rows:
        rows.model._meta.unique_together = (("day", "number"),)
        days = [date(2026, 1, day) for day in (1, 2, 3, 4)]
        numbers = zip(days, (1, 2, 2, 4), strict=True)
        rows.bulk_create([rows.model(day=day, number=number) for day, number in numbers])
        assert [rows.create().number for _ in range(2)] == [3, 5]
