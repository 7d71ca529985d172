"""What comes out when many save at once."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import IntegrityError, connections, models, transaction
from django.test.utils import CaptureQueriesContext, isolate_apps
from sequences_contrib.afterwards import renumber
from sequences_contrib.fields import SequenceField
from sequences_contrib.protection import ProtectNumbered

from sequences_core import SequenceLocked, get_last_value
from tests.numbered.blocks import PATIENCE, letters, rolled_back, tables, together
from tests.numbered.models import Invoice, Plain, Project, Ticket

APPS = ["tests.numbered", "sequences_contrib"]


@pytest.mark.parametrize("start", ["first use", "counter"])
def test_outcome_is_exact(start: str, using: str) -> None:
    """Eight writers that commit, fail and roll back, in every way to save, leave 1..n."""
    if start == "counter":
        Plain.objects.using(using).create(code="first")
    rows = Plain.objects.using(using)

    def writer(seed: int) -> Callable[[], None]:
        chance = random.Random(seed)

        def fail() -> None:
            with pytest.raises(IntegrityError):
                rows.create(code="taken")

        def fail_in_savepoint() -> None:
            with pytest.raises(IntegrityError), transaction.atomic(using=using):
                rows.create(code="taken")

        def work() -> None:
            for i in range(15):
                code = f"{seed}-{i}"
                match chance.randrange(5):
                    case 0:
                        rows.create(code=code)
                    case 1:
                        with transaction.atomic(using=using):
                            rows.create(code=code)
                            with rolled_back(using):
                                rows.create(code=code + "b")
                            Plain(code=code + "c").save(using=using)
                    case 2:
                        with rolled_back(using):
                            rows.create(code=code)
                    case 3:
                        fail()
                        with transaction.atomic(using=using):
                            rows.create(code=code)
                            fail_in_savepoint()
                    case _:
                        rows.bulk_create([Plain(code=f"{code}{part}") for part in "xyz"])

        return work

    # Outside the counter: a row that the writers run into.
    rows.bulk_create([Plain(code="taken", number=0)])
    before = get_last_value("numbered_plain.number", using=using)
    assert before == (1 if start == "counter" else None)
    together([writer(seed) for seed in range(8)], using)
    numbers = sorted(rows.exclude(number=0).values_list("number", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))
    assert get_last_value("numbered_plain.number", using=using) == len(numbers)


def test_first_rows_of_many_scopes(using: str) -> None:
    """First rows of several scopes, saved at once, are numbered from 1 in each."""
    projects = [Project.objects.using(using).create(code=str(i)) for i in range(5)]

    def work() -> None:
        for project in projects:
            Ticket.objects.using(using).create(project=project)

    together([work] * 8, using)
    for project in projects:
        numbers = project.ticket_set.using(using).order_by("number")
        assert list(numbers.values_list("number", flat=True)) == list(range(1, 9))


def test_a_save_waits_for_the_one_before(using: str) -> None:
    """While a transaction holds the counter, another save waits; then it goes on from there."""
    numbers: list[int] = []

    def save() -> None:
        try:
            numbers.append(Invoice.objects.using(using).create().number)
        finally:
            connections[using].close()

    Invoice.objects.using(using).create()
    other = threading.Thread(target=save)
    with transaction.atomic(using=using):
        assert Invoice.objects.using(using).create().number == 2
        other.start()
        other.join(0.3)
        assert other.is_alive()
    other.join(PATIENCE)
    assert numbers == [3]


@pytest.mark.parametrize("values", [{}, {"number": 50}], ids=["number", "explicit"])
@pytest.mark.parametrize("options", [{"nowait": True}, {"timeout": 1}], ids=str)
def test_a_locked_counter_comes_out_of_the_save(
    options: dict[str, Any], values: dict[str, int], using: str
) -> None:
    """With nowait or a timeout, the save raises SequenceLocked and stores nothing."""
    with letters(using, number=SequenceField(**options)) as rows:

        def save() -> None:
            with pytest.raises(SequenceLocked):
                rows.create(**values)
            with pytest.raises(SequenceLocked):
                rows.bulk_create([rows.model(**values)])

        rows.create()
        with transaction.atomic(using=using):
            rows.create()
            together([save], using)
        rows.create()
        assert sorted(rows.values_list("number", flat=True)) == [1, 2, 3]


def test_bulks_over_the_same_scopes(using: str) -> None:
    """Bulks that take from several counters, in whatever order of rows, never deadlock."""
    projects = [Project.objects.using(using).create(code=str(i)) for i in range(5)]
    rounds = 10

    def work(order: list[Project]) -> Callable[[], None]:
        def bulks() -> None:
            for _ in range(rounds):
                rows = [Ticket(project=project) for project in order]
                Ticket.objects.using(using).bulk_create(rows)

        return bulks

    together([work(projects), work(projects[::-1])] * 3, using)
    for project in projects:
        numbers = project.ticket_set.using(using).order_by("number")
        assert list(numbers.values_list("number", flat=True)) == list(range(1, 6 * rounds + 1))


def family() -> tuple[Any, ...]:
    """Return a parent model and a child model, which is numbered when it is posted."""
    with isolate_apps("tests.numbered"):
        meta = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "numbered"})}
        kind = {"kind": models.CharField(max_length=9, default="a")}
        parent: Any = type("Parent", (models.Model,), {**meta, **kind})
        fields = {
            "posted": models.BooleanField(default=False),
            "no": SequenceField("s", when="posted", unique=True),
            "other": SequenceField("u", scope="kind"),
        }
        return parent, type("Child", (parent,), {**meta, **fields})


def test_posted_and_renumbered_children(using: str) -> None:
    """Calls that post and renumber rows of a child model lock its counters before its rows."""
    parent, child = family()
    with tables(using, parent, child):
        rows = child.objects.using(using)
        keys = [rows.create().pk for _ in range(10)]

        def post() -> None:
            for key in 3 * keys:
                row = rows.get(pk=key)
                row.posted = True
                row.save()

        def move() -> None:
            for kind in "bcd":
                for key in keys:
                    row = rows.get(pk=key)
                    row.kind, row.posted = kind, True
                    with suppress(ValueError):  # post() has moved the row back
                        renumber(row)

        together([post, move, post, move], using)
        assert sorted(rows.values_list("no", flat=True)) == list(range(1, 11))


@pytest.mark.parametrize("kind", ["child", "protected"])
def test_others_have_posted(kind: str, using: str) -> None:
    """An outdated instance takes no number if its row, or its parent's row, is already locked."""
    if kind == "child":
        made = family()
    else:
        with isolate_apps("tests.numbered"):
            fields = {
                "posted": models.BooleanField(default=False),
                "no": SequenceField("s", when="posted", unique=True),
                "Meta": type("Meta", (), {"app_label": "numbered"}),
            }
            made = (type("Deed", (ProtectNumbered,), {"__module__": __name__, **fields}),)
    with tables(using, *made):
        rows = made[-1]._default_manager.using(using)
        outdated = rows.create()
        current = rows.get(pk=outdated.pk)
        for row in (current, outdated):
            row.posted = True
        current.save()
        with CaptureQueriesContext(connections[using]) as queries:
            outdated.save()
        assert not any("sequences_core_counter" in query["sql"] for query in queries)
        assert (outdated.no, get_last_value("s", using=using)) == (1, 1)
