"""Calls of the public interface on one model never deadlock with each other.

A model is made at random, and four writers save its rows in random ways at the same time: one
call per transaction. None of them may end in a deadlock, and the numbers must be exact.
"""

from __future__ import annotations

import random
import threading
from collections import Counter as Multiset
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import DatabaseError, connections, models, transaction
from django.test.utils import isolate_apps
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sequences_contrib.fields import SequenceField

from sequences_core.models import Counter
from tests.numbered.blocks import PATIENCE, tables
from tests.properties.columns import binary

APPS: list[str] = []

WRITERS = 4
CALLS = 12
"""How many calls each writer makes."""

SCOPES = "ab"


@dataclass(frozen=True)
class Option:
    """The options of a SequenceField of a model."""

    base: str
    scope: str = ""
    kind: str = "plain"

    def field(self) -> Any:
        options: Any = {
            "plain": {},
            "timeout": {"timeout": 60},
            "callable": {"initial_value": one},
            "gaps": {"reuse": "gaps"},
            "last": {"reuse": "last"},
        }[self.kind]
        return SequenceField(self.base, scope=self.scope or None, db_index=True, **options)


def one(instance: Any) -> int:
    return 1


FIELDS = st.builds(
    Option,
    base=st.sampled_from(["aa", "mm", "zz"]),
    scope=st.sampled_from(["", "source", "target"]),
    kind=st.sampled_from(["plain", "plain", "timeout", "callable", "gaps", "last"]),
)


def is_sound(options: list[Option]) -> bool:
    """Fields that share a counter don't reuse its numbers: a check refuses that."""
    bases = Multiset(option.base for option in options)
    return all(bases[option.base] == 1 or option.kind in SHARED for option in options)


SHARED = ("plain", "timeout", "callable")

MODELS = st.lists(FIELDS, min_size=1, max_size=3).filter(is_sound)


@contextmanager
def model_with(options: list[Option], using: str) -> Iterator[Any]:
    with isolate_apps("tests.numbered"):
        meta = type("Meta", (), {"app_label": "properties", "db_table": "properties_transfer"})
        attributes: dict[str, Any] = {
            "__module__": __name__,
            "Meta": meta,
            "source": models.CharField(max_length=9, db_collation=binary(using)),
            "target": models.CharField(max_length=9, db_collation=binary(using)),
        }
        for index, option in enumerate(options):
            attributes[f"number{index}"] = option.field()
        model = type("Transfer", (models.Model,), attributes)
    with tables(using, model):
        yield model


class Writer:
    """Makes calls at random, each of which is one transaction."""

    def __init__(self, model: Any, index: int, seed: int, using: str) -> None:
        self.model, self.using = model, using
        self.chance = random.Random(f"{seed} {index}")
        self.rows = model._default_manager.using(using)
        self.keys = iter(range(-1000 * (index + 1), 0))
        self.deadlocks: list[str] = []

    def row(self, **values: Any) -> Any:
        source, target = self.chance.choice(SCOPES), self.chance.choice(SCOPES)
        return self.model(source=source, target=target, **values)

    def create(self) -> None:
        self.rows.create(source=self.chance.choice(SCOPES), target=self.chance.choice(SCOPES))

    def save(self) -> None:
        self.row().save(using=self.using)

    def save_in_transaction(self) -> None:
        with transaction.atomic(using=self.using):
            self.row().save(using=self.using)

    def save_and_roll_back(self) -> None:
        with transaction.atomic(using=self.using):
            self.row().save(using=self.using)
            transaction.set_rollback(True, using=self.using)

    def bulk_create(self) -> None:
        self.rows.bulk_create([self.row() for _ in range(self.chance.randrange(1, 5))])

    def bulk_create_in_batches(self) -> None:
        self.rows.bulk_create([self.row() for _ in range(5)], batch_size=2)

    def bulk_create_with_some_keys(self) -> None:
        rows = [self.row(pk=next(self.keys)), self.row(), self.row(pk=next(self.keys)), self.row()]
        self.chance.shuffle(rows)
        self.rows.bulk_create(rows)

    def change(self) -> None:
        """Save a row of one's own again, which takes nothing."""
        row = self.row()
        row.save(using=self.using)
        row.save(using=self.using)

    def delete(self) -> None:
        """Delete a row of one's own, so that there is something to reuse."""
        row = self.row()
        row.save(using=self.using)
        row.delete()

    EXACT = (
        create,
        save,
        save_in_transaction,
        save_and_roll_back,
        bulk_create,
        bulk_create_in_batches,
        bulk_create_with_some_keys,
    )
    INEXACT = (change, delete)

    def explicit(self) -> None:
        """A number of one's own choice, far above all others', beside automatic ones."""
        names = [f.attname for f in self.model._meta.fields if isinstance(f, SequenceField)]
        chosen = self.chance.sample(names, self.chance.randrange(1, len(names) + 1))
        explicit = self.row(**dict.fromkeys(chosen, self.chance.randrange(10**6)))
        rows = [explicit, self.row()]
        self.chance.shuffle(rows)
        if self.chance.random() < 0.5:
            self.rows.bulk_create(rows)
            return
        explicit.save(using=self.using)
        for name in chosen:
            setattr(explicit, name, self.chance.randrange(10**6))
        explicit.save(using=self.using)

    def run(self, calls: tuple[Callable[[Writer], None], ...]) -> None:
        for _ in range(CALLS):
            call = self.chance.choice(calls)
            try:
                call(self)
            except DatabaseError as error:
                self.deadlocks.append(f"{call.__name__}: {type(error).__name__}: {error}")


def write(model: Any, seed: int, using: str, calls: Any) -> None:
    """Let the writers make their calls together; no call may raise an error of the database."""
    barrier = threading.Barrier(WRITERS)
    writers = [Writer(model, index, seed, using) for index in range(WRITERS)]
    errors: list[BaseException] = []

    def run(writer: Writer) -> None:
        try:
            connections[using].ensure_connection()
            barrier.wait(PATIENCE)
            writer.run(calls)
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)
        finally:
            connections[using].close()

    threads = [threading.Thread(target=run, args=[writer]) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]
    assert [error for writer in writers for error in writer.deadlocks] == []


def numbers_of(model: Any, options: list[Option], using: str) -> dict[tuple[str, str], list[int]]:
    """Return the numbers of each sequence, which fields and rows share by base and scope."""
    found: dict[tuple[str, str], list[int]] = {}
    for row in model._default_manager.using(using).all():
        for index, option in enumerate(options):
            scope = getattr(row, option.scope) if option.scope else ""
            found.setdefault((option.base, scope), []).append(getattr(row, f"number{index}"))
    return found


# The three of deadlocks_of_one_model.
KEYS = [Option("s", "source")]
LATE_AND_EARLY = [Option("zz"), Option("aa", kind="timeout")]
TWO_SCOPES = [Option("account", "source"), Option("account", "target")]

examples = settings(
    max_examples=4,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def empty(model: Any, using: str) -> None:
    Counter._default_manager.using(using).all().delete()


@pytest.mark.parametrize("first", ["first use", "counters"])
def test_automatic_numbers(first: str, using: str) -> None:
    """After any calls, the committed numbers of each sequence are 1 to n."""

    @examples
    @example(KEYS, 1)
    @example(LATE_AND_EARLY, 2)
    @example(TWO_SCOPES, 3)
    @given(MODELS, st.integers(0, 2**20))
    def check(options: list[Option], seed: int) -> None:
        with model_with(options, using) as model:
            empty(model, using)
            if first == "counters":
                for scope in SCOPES:
                    model._default_manager.using(using).create(source=scope, target=scope)
            write(model, seed, using, Writer.EXACT)
            for key, numbers in numbers_of(model, options, using).items():
                assert sorted(numbers) == list(range(1, len(numbers) + 1)), key

    check()


def test_any_calls(using: str) -> None:
    """Explicit numbers, changes and deletions don't cause deadlocks either."""

    @examples
    @example([Option("aa"), Option("zz")], 1)
    @example([Option("aa", kind="gaps"), Option("zz", "source", "last")], 2)
    @example([*TWO_SCOPES, Option("aa", kind="gaps")], 3)
    @given(MODELS, st.integers(0, 2**20))
    def check(options: list[Option], seed: int) -> None:
        with model_with(options, using) as model:
            empty(model, using)
            calls = (*Writer.EXACT, *Writer.INEXACT, Writer.explicit)
            write(model, seed, using, calls)

    check()


def test_reuse_with_a_scope_of_joined_rows(using: str) -> None:
    """The locking read of ``reuse`` locks no row of the scope's parents, which others change."""
    with isolate_apps("tests.numbered"):
        meta = {"app_label": "properties"}
        company: Any = type(
            "Company",
            (models.Model,),
            {
                "__module__": __name__,
                "Meta": type("Meta", (), meta),
                "name": models.CharField(max_length=9, db_collation=binary(using)),
                "visits": models.IntegerField(default=0),
            },
        )
        ticket: Any = type(
            "Ticket",
            (models.Model,),
            {
                "__module__": __name__,
                "Meta": type("Meta", (), meta),
                "company": models.ForeignKey(company, models.CASCADE),
                "number": SequenceField("t", scope="company__name", reuse="gaps"),
            },
        )
    with tables(using, company, ticket):
        companies = company._default_manager.using(using)
        busy, quiet = (companies.create(name="a") for _ in range(2))

        def writer(index: int) -> list[str]:
            errors = []
            for _ in range(CALLS):
                try:
                    if index % 2:
                        # Locks a row of one company, and then the counter.
                        with transaction.atomic(using=using):
                            companies.filter(pk=busy.pk).update(visits=models.F("visits") + 1)
                            ticket(company=busy).save(using=using)
                    else:
                        # Locks the counter; its rows are those of the other company.
                        ticket._default_manager.using(using).bulk_create(
                            [ticket(company_id=quiet.pk) for _ in range(2)]
                        )
                except DatabaseError as error:
                    errors.append(f"{type(error).__name__}: {error}")
            return errors

        found: list[str] = []
        barrier = threading.Barrier(WRITERS)

        def run(index: int) -> None:
            try:
                connections[using].ensure_connection()
                barrier.wait(PATIENCE)
                found.extend(writer(index))
            finally:
                connections[using].close()

        threads = [threading.Thread(target=run, args=[index]) for index in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert found == []
        rows = ticket._default_manager.using(using).filter(company__name="a")
        numbers = sorted(rows.values_list("number", flat=True))
        assert numbers == list(range(1, len(numbers) + 1))
