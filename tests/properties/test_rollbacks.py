"""After any rollback, an instance whose primary key is a number is saved as a row of its own.

A program of nested blocks, some of which are rolled back, saves the same instances again and again,
and others insert rows meanwhile. The rows are compared with those of a simulation.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models, transaction
from django.test.utils import isolate_apps
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sequences_contrib.fields import SequenceField

from sequences_core import get_last_value
from sequences_core.models import Counter
from tests.numbered.blocks import tables

APPS: list[str] = []

INSTANCES = 3

examples = settings(
    max_examples=30,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)

steps = st.recursive(
    st.one_of(
        st.tuples(st.sampled_from(["save", "bulk", "load"]), st.integers(0, INSTANCES - 1)),
        st.just(("other", 0)),
    ),
    lambda inner: st.tuples(
        st.sampled_from(["commit", "roll back"]), st.lists(inner, min_size=1, max_size=4)
    ),
    max_leaves=12,
)


class RolledBack(Exception):
    pass


class Program:
    """Runs steps on instances and rows, and on the texts that the rows should have."""

    def __init__(self, model: Any, using: str) -> None:
        self.model = model
        self.using = using
        self.instances = [model() for _ in range(INSTANCES)]
        self.expected: dict[Any, str] = {}
        self.count = 0

    def run(self, steps: list[Any]) -> None:
        for step, argument in steps:
            if step in ("commit", "roll back"):
                self._block(argument, step == "roll back")
                continue
            if step == "load":
                if argument in self.expected:
                    self.instances[argument].refresh_from_db(using=self.using)
                continue
            self.count += 1
            text = f"{step} {self.count}"
            if step == "other":
                self.model.objects.using(self.using).create(text=text)
                self.expected[text] = text
                continue
            instance = self.instances[argument]
            instance.text = text
            # bulk_create() would insert a row that is stored already once more.
            if step == "bulk" and argument not in self.expected and not self.model._meta.parents:
                self.model.objects.using(self.using).bulk_create([instance])
            else:
                instance.save(using=self.using)
            self.expected[argument] = text

    def _block(self, steps: list[Any], rolls_back: bool) -> None:
        before = dict(self.expected)
        try:
            with transaction.atomic(using=self.using):
                self.run(steps)
                if rolls_back:
                    raise RolledBack
        except RolledBack:
            self.expected = before


@pytest.mark.parametrize("kind", ["plain", "child", "composite"])
def test_instances_after_rollbacks(kind: str, using: str) -> None:
    """Each instance has one row with its last text, no other row changes, and numbers are 1..n."""
    with isolate_apps("tests.numbered"):
        model, models_ = make(kind)
    with tables(using, *models_):

        @examples
        @example([("roll back", [("save", 0), ("load", 0)]), ("other", 0), ("save", 0)])
        @given(st.lists(steps, min_size=2, max_size=6))
        def run(program: list[Any]) -> None:
            for each in reversed(models_):
                each.objects.using(using).all().delete()
            Counter.objects.using(using).all().delete()
            running = Program(model, using)
            running.run(program)
            rows = model.objects.using(using)
            assert sorted(rows.values_list("text", flat=True)) == sorted(running.expected.values())
            numbers = sorted(models_[0].objects.using(using).values_list("number", flat=True))
            assert numbers == list(range(1, len(numbers) + 1))
            assert (get_last_value("rolled", using=using) or 0) == len(numbers)
            for index, instance in enumerate(running.instances):
                if index in running.expected:
                    assert rows.get(number=instance.number).text == running.expected[index]

        run()


def make(kind: str) -> tuple[Any, list[Any]]:
    """Return a model whose primary key is a number, and the models to make tables for."""

    class Letter(models.Model):
        number = SequenceField("rolled", primary_key=kind != "composite")
        text = models.CharField(max_length=20)
        if kind == "composite":
            office = models.IntegerField(default=7)
            pk = models.CompositePrimaryKey("office", "number")

        class Meta:
            app_label = "numbered"

        def __str__(self) -> str:
            return self.text

    if kind != "child":
        return Letter, [Letter]

    class Registered(Letter):
        code = SequenceField("rolled_codes")

        class Meta:
            app_label = "numbered"

        def __str__(self) -> str:
            return f"{self.code}: {self.text}"

    return Registered, [Letter, Registered]
