"""Calls that post, renumber, void and assign never deadlock with each other.

A model is made at random, also one with a parent model, and four writers work on the same few
documents at the same time, in one call per transaction.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, models
from django.test.utils import isolate_apps
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sequences_contrib.afterwards import renumber, void
from sequences_contrib.fields import SequenceField
from sequences_contrib.posting import assign_numbers

from sequences_core.models import Counter
from tests.numbered.blocks import tables, together
from tests.properties.columns import binary

APPS = ["sequences_contrib"]

WRITERS = 4
CALLS = 12
"""How many calls each writer makes."""

KINDS = "ab"
DOCUMENTS = 4
"""How many documents the writers share."""


@dataclass(frozen=True)
class Option:
    """The options of a SequenceField of a document, or of its parent model."""

    base: str
    scope: str = ""
    posted: bool = True
    kind: str = "plain"
    inherited: bool = False

    def field(self) -> Any:
        kinds: dict[str, dict[str, Any]] = {
            "plain": {},
            "timeout": {"timeout": 60},
            "gaps": {"reuse": "gaps"},
            "used": {"skip_used": True},
        }
        options = kinds[self.kind]
        if self.posted:
            options["when"] = "is_open" if self.inherited else "is_posted"
        return SequenceField(self.base, scope=self.scope or None, db_index=True, **options)


OPTIONS = st.builds(
    Option,
    base=st.sampled_from(["aa", "mm", "zz"]),
    scope=st.sampled_from(["", "kind"]),
    posted=st.sampled_from([True, True, False]),
    kind=st.sampled_from(["plain", "plain", "timeout", "gaps", "used"]),
    inherited=st.booleans(),
)


MODELS = st.lists(OPTIONS, min_size=1, max_size=3, unique_by=lambda option: option.base)


@contextmanager
def model_with(options: list[Option], using: str) -> Iterator[Any]:
    """A model with the fields; it has a parent model if one of the fields is inherited."""
    with isolate_apps("tests.numbered"):
        common: dict[str, Any] = {
            "__module__": __name__,
            "Meta": type("Meta", (), {"app_label": "properties"}),
        }
        fields = {f"number{index}": option.field() for index, option in enumerate(options)}
        inherited = {f"number{index}": option.inherited for index, option in enumerate(options)}
        above: dict[str, Any] = {
            "kind": models.CharField(max_length=9, db_collation=binary(using)),
            "is_open": models.BooleanField(default=False),
            **{name: field for name, field in fields.items() if inherited[name]},
        }
        own: dict[str, Any] = {
            "is_posted": models.BooleanField(default=False),
            "note": models.CharField(max_length=9),
            **{name: field for name, field in fields.items() if not inherited[name]},
        }
        made: list[Any] = []
        if any(inherited.values()):
            made = [type("Paper", (models.Model,), {**common, **above})]
            made.append(type("Document", (made[0],), {**common, **own}))
        else:
            made = [type("Document", (models.Model,), {**common, **above, **own})]
    with tables(using, *made):
        yield made[-1]


class Writer:
    """Makes calls at random, each of which is one transaction."""

    def __init__(self, model: Any, index: int, seed: int, using: str) -> None:
        self.model, self.using = model, using
        self.chance = random.Random(f"{seed} {index}")
        self.rows = model._default_manager.using(using)
        self.shared = list(self.rows.order_by("pk"))
        self.errors: list[str] = []

    def values(self) -> dict[str, Any]:
        posted = self.chance.random() < 0.5
        return {"kind": self.chance.choice(KINDS), "is_open": posted, "is_posted": posted}

    def any_document(self) -> Any:
        """Return a shared document, as it is stored or as it was at the beginning."""
        document = self.chance.choice(self.shared)
        return document if self.chance.random() < 0.3 else self.rows.get(pk=document.pk)

    def create(self) -> None:
        self.rows.create(**self.values())

    def post(self) -> None:
        document = self.any_document()
        document.is_open = document.is_posted = True
        document.save(using=self.using)

    def post_only(self) -> None:
        document = self.any_document()
        document.is_open = document.is_posted = True
        fields = ["is_open", "is_posted"]
        document.save(using=self.using, update_fields=fields[self.chance.randrange(2) :])

    def withdraw(self) -> None:
        document = self.any_document()
        document.is_open = document.is_posted = False
        document.save(using=self.using)

    def edit(self) -> None:
        document = self.any_document()
        document.note = "edited"
        document.save(using=self.using, update_fields=self.chance.choice([None, ["note"]]))

    def choose(self) -> None:
        """Set a number by hand, which increases the counter; others hardly ever get the same."""
        document = self.any_document()
        names = [f.attname for f in self.model._meta.fields if isinstance(f, SequenceField)]
        setattr(document, self.chance.choice(names), self.chance.randrange(10**12))
        document.save(using=self.using)

    def move(self) -> None:
        document = self.any_document()
        document.kind = self.chance.choice(KINDS)
        renumber(document, using=self.using)

    def annul(self) -> None:
        void(self.any_document(), reason="wrong", using=self.using)

    def annul_and_delete(self) -> None:
        document = self.rows.create(**self.values())
        void(document, reason="wrong", delete=True, using=self.using)

    def delete(self) -> None:
        document = self.rows.create(**self.values())
        document.delete()

    def assign(self) -> None:
        for field in self.model._meta.fields:
            if isinstance(field, SequenceField) and field.model is self.model and field.when:
                locked: Any = self.chance.choice(["skip", "wait"])
                assign_numbers(self.rows.all(), field.name, locked=locked, using=self.using)

    CALLS: ClassVar[tuple[Callable[[Writer], None], ...]] = (
        *(create, post, post, post_only, withdraw, edit, choose, choose, move, move),
        *(annul, annul_and_delete, delete, assign, assign),
    )

    def run(self) -> None:
        for _ in range(CALLS):
            call = self.chance.choice(self.CALLS)
            try:
                call(self)
            except (ValueError, ObjectDoesNotExist):
                pass  # there is no number to make void, or none for the new scope
            except DatabaseError as error:
                self.errors.append(f"{call.__name__}: {type(error).__name__}: {error}")


examples = settings(
    max_examples=8,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_any_calls(using: str) -> None:
    @examples
    @example([Option("s")], 1)
    @example([Option("s", inherited=True), Option("t")], 2)
    @example([Option("zz", inherited=True), Option("aa", "kind"), Option("mm", posted=False)], 3)
    @example([Option("zz", "kind", posted=False, inherited=True), Option("aa", posted=False)], 4)
    @given(MODELS, st.integers(0, 2**20))
    def check(options: list[Option], seed: int) -> None:
        with model_with(options, using) as model:
            Counter._default_manager.using(using).all().delete()
            rows = model._default_manager.using(using)
            for index in range(DOCUMENTS):
                rows.create(kind=KINDS[index % 2])
            writers = [Writer(model, index, seed, using) for index in range(WRITERS)]
            together([writer.run for writer in writers], using)
            assert [error for writer in writers for error in writer.errors] == []
            for index, option in enumerate(options):
                if not option.scope:
                    numbers = [getattr(row, f"number{index}") for row in rows.all()]
                    numbers = [number for number in numbers if number is not None]
                    assert len(numbers) == len(set(numbers))

    check()
