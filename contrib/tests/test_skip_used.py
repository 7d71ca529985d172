"""Counters that are behind their rows: what an error says of them, and what skips the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections, models, transaction
from django.test.utils import CaptureQueriesContext
from sequences_contrib.fields import SequenceField

from sequences_core import delete, get_last_value, set_last_value
from tests.numbered.blocks import MODES, atomic_if, letters, together
from tests.numbered.models import Invoice, Plain

APPS = ["tests.numbered"]


@pytest.fixture
def rows(using: str) -> Iterator[Any]:
    """Rows of two kinds, whose counters skip the numbers that rows have."""
    kind = models.CharField(max_length=9, default="a")
    number = SequenceField("skipping", unique_with="kind", skip_used=True)
    with letters(using, kind=kind, number=number) as found:
        yield found


def numbers(rows: Any, kind: str = "a") -> list[int]:
    return list(rows.filter(kind=kind).order_by("number").values_list("number", flat=True))


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
@pytest.mark.parametrize("harm", ["deleted", "lowered", "overtaken"])
def test_a_counter_behind_its_rows_heals(
    harm: str, in_transaction: bool, using: str, rows: Any
) -> None:
    """Rows above the counter are skipped, the counter follows, and other scopes don't matter."""
    rows.bulk_create([rows.model() for _ in range(5)])
    rows.bulk_create([rows.model(kind="b") for _ in range(9)])
    if harm == "deleted":
        delete("skipping.a", using=using)
    elif harm == "lowered":
        set_last_value(2, "skipping.a", force=True, using=using)
    else:
        rows.filter(number=5, kind="a").update(number=6)
        set_last_value(4, "skipping.a", force=True, using=using)
    with atomic_if(in_transaction, using):
        created = [rows.create().number, *(row.number for row in rows.bulk_create(more(rows, 2)))]
    assert created == ([5, 7, 8] if harm == "overtaken" else [6, 7, 8])
    assert get_last_value("skipping.a", using=using) == 8
    assert numbers(rows) == list(range(1, 9))
    assert rows.create(kind="b").number == 10


def more(rows: Any, n: int) -> list[Any]:
    return [rows.model() for _ in range(n)]


def test_numbers_between_the_rows_are_given(using: str, rows: Any) -> None:
    """Only numbers that rows have above the counter are skipped; the gaps between them are used."""
    for number in (2, 4, 5, 9):
        rows.create(number=number)
    rows.filter(number=2).delete()
    set_last_value(3, "skipping.a", force=True, using=using)
    assert [row.number for row in rows.bulk_create(more(rows, 5))] == [6, 7, 8, 10, 11]
    explicit = [rows.model(number=20), *more(rows, 1)]
    assert [row.number for row in rows.bulk_create(explicit)] == [20, 21]


def test_one_look_when_nothing_is_amiss(using: str, rows: Any) -> None:
    """A counter that is right costs a query more by the index; one with a lock, too, on InnoDB."""
    rows.create()
    with CaptureQueriesContext(connections[using]) as queries, transaction.atomic(using=using):
        rows.create()
    looks = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert ["FOR UPDATE" in sql for sql in looks] == (
        [False, True] if connections[using].vendor == "mysql" else [False]
    )


def test_concurrent_savers_of_a_counter_that_is_behind(using: str, rows: Any) -> None:
    """Savers that find the counter behind get the free numbers, each once."""
    rows.bulk_create(more(rows, 20))
    rows.filter(number__in=[8, 15]).delete()
    set_last_value(3, "skipping.a", force=True, using=using)

    def work() -> None:
        for _ in range(5):
            rows.create()

    together([work] * 6, using)
    assert numbers(rows) == list(range(1, 49))
    assert get_last_value("skipping.a", using=using) == 48


def test_a_function_of_the_instance_decides(using: str) -> None:
    """skip_used may be asked for each row."""

    def imported(row: Any) -> bool:
        return bool(row.note)

    with letters(
        using,
        note=models.CharField(max_length=9, default=""),
        number=SequenceField("s", unique=True, skip_used=imported),
    ) as rows:
        rows.bulk_create(more(rows, 3))
        delete("s", using=using)
        with pytest.raises(IntegrityError):
            rows.create()
        assert rows.create(note="x").number == 4
        assert rows.create().number == 5


def behind(using: str) -> None:
    Invoice.objects.using(using).bulk_create([Invoice() for _ in range(5)])
    set_last_value(2, "invoices", force=True, using=using)


SAVES: dict[str, Callable[[str], object]] = {
    "create": lambda using: Invoice.objects.using(using).create(),
    "bulk_create": lambda using: Invoice.objects.using(using).bulk_create([Invoice()]),
}


@pytest.mark.parametrize("in_transaction", MODES.values(), ids=MODES)
@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_the_error_names_counter_rows_and_remedy(
    save: Callable[[str], object], in_transaction: bool, using: str
) -> None:
    """The IntegrityError of a counter that is behind says so, and its remedy works."""
    behind(using)
    with pytest.raises(IntegrityError) as caught, atomic_if(in_transaction, using):
        save(using)
    (note,) = caught.value.__notes__
    assert "'invoices'" in note
    assert "numbered.Invoice.number" in note
    assert "skip_used=True" in note
    assert f"sequences sync numbered.Invoice.number --apply --database={using}" in note
    if not in_transaction:  # PostgreSQL answers no query in a transaction that an error broke
        assert "is at 2, behind the highest number 5" in note
    remedy = note.split("manage.py ")[1].split(",")[0]
    call_command(*remedy.split(), stdout=StringIO())
    assert Invoice.objects.using(using).create().number == 6


def test_an_error_of_something_else_has_no_note(using: str) -> None:
    """If the counter is not behind, an IntegrityError has no note."""
    with pytest.raises(IntegrityError) as caught:
        Plain.objects.using(using).bulk_create([Plain(code="a"), Plain(code="a")])
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize(
    "options",
    [{"reset_value": 4}, {"reuse": "gaps"}, {"reuse": "last"}, {"skip_used": True}],
    ids=str,
)
def test_rows_above_a_counter_that_heals_are_no_fault(options: dict[str, Any], using: str) -> None:
    """There is no note if the next save raises the counter by itself."""
    fields = {"code": models.CharField(max_length=9, null=True, unique=True)}
    with letters(using, **fields, number=SequenceField("healing", **options)) as rows:
        for code in (None, None, None, "taken"):
            rows.create(code=code)
        if "reset_value" not in options:
            rows.filter(number=3).update(number=30)
        with pytest.raises(IntegrityError) as caught:
            rows.create(code="taken")
        assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("others", [0, 5])
def test_the_note_on_a_scope_by_a_function(others: int, using: str) -> None:
    """Rows of other counters don't count, though no query tells them from those of this one."""

    def kind(row: Any) -> str:
        return str(row.kind)

    fields: dict[str, Any] = {
        "kind": models.CharField(max_length=9),
        "number": SequenceField("k", scope=kind),
    }
    with letters(using, **fields, code=models.IntegerField(null=True, unique=True)) as rows:
        for _ in range(others):
            rows.create(kind="other")
        for code in (1, 2, 3):
            rows.create(kind="a", code=code)
        with pytest.raises(IntegrityError) as caught:
            rows.create(kind="a", code=1)
        assert not hasattr(caught.value, "__notes__")
        set_last_value(1, "k.a", force=True, using=using)
        with pytest.raises(IntegrityError) as caught:
            rows.create(kind="a", code=1)
        (note,) = caught.value.__notes__
        assert "'k.a' is at 1, behind the highest number 3" in note
        assert "skip_used" not in note  # which such a scope can't have


def test_a_function_decides_for_each_row_of_a_bulk(using: str) -> None:
    """If the function is true for one row, no row of the bulk gets a used number."""
    fields = {"note": models.CharField(max_length=9, default="")}
    number = SequenceField("s", unique=True, skip_used=lambda row: bool(row.note))
    with letters(using, **fields, number=number) as rows:
        rows.bulk_create(more(rows, 3))
        delete("s", using=using)
        created = rows.bulk_create([rows.model(), rows.model(note="x")])
        assert [row.number for row in created] == [4, 5]


def test_a_function_that_raises_stop_iteration(using: str) -> None:
    """It is an error like any other, and not the end of the rows."""

    def ended(row: models.Model) -> bool:
        return bool(next(iter([])))

    with letters(using, number=SequenceField("s", unique=True, skip_used=ended)) as rows:
        with pytest.raises(StopIteration):
            rows.create()
        assert not rows.exists()


@pytest.mark.parametrize(
    "options",
    [
        {"reuse": "gaps"},
        {"reset_value": 5},
        {"scope": lambda row: 1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_that_do_not_go_together(options: dict[str, Any]) -> None:
    """skip_used needs a scope made of fields, and a sequence that only grows."""
    with pytest.raises(ValueError, match="skip"):
        SequenceField(skip_used=True, **options)
    wrong: Any = "yes"
    with pytest.raises(TypeError, match="skip_used"):
        SequenceField(skip_used=wrong)


def test_a_free_number_beside_a_duplicate(using: str) -> None:
    """Without a unique constraint, a duplicate doesn't hide a free number."""
    with letters(using, number=SequenceField("s", skip_used=True)) as rows:
        rows.bulk_create([rows.model(number=number) for number in (1, 2, 2, 4)])
        set_last_value(1, "s", force=True, using=using)
        assert [rows.create().number for _ in range(2)] == [3, 5]
