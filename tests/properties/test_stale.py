"""Whatever others store, an instance that is saved changes only the number that was set on it.

A program saves several instances of the same rows, some of which are older than their rows. The
rows and the counter are compared with those of a simulation.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.texts import FormattedNumberField

from sequences_core import delete, get_last_value
from tests.numbered.blocks import letters

APPS: list[str] = []

ROWS = 2
INSTANCES = 2 * ROWS

NUMBERS = st.integers(1, 4)

steps = st.one_of(
    st.tuples(st.just("load"), st.integers(0, INSTANCES - 1), st.none()),
    st.tuples(
        st.just("save"),
        st.integers(0, INSTANCES - 1),
        st.sampled_from([None, ["title"], ["title", "number"], ["title", "text"]]),
    ),
    st.tuples(st.just("set"), st.integers(0, INSTANCES - 1), NUMBERS),
    st.tuples(st.just("others"), st.integers(0, ROWS - 1), NUMBERS),
)


class Simulation:
    """The number and title of each row, and the number that each instance knows and has."""

    def __init__(self) -> None:
        self.last = 2
        self.numbers = [1, 2]
        self.titles = ["", ""]
        self.known = [1, 2] * 2
        self.held = [1, 2] * 2

    def load(self, index: int) -> None:
        self.known[index] = self.held[index] = self.numbers[index % ROWS]

    def save(self, index: int, names: Any, title: str) -> None:
        self.titles[index % ROWS] = title
        if self.held[index] == self.known[index] or "number" not in (names or ["number"]):
            return
        if self.numbers[index % ROWS] != self.held[index]:
            self.last = max(self.last, self.held[index])
        self.numbers[index % ROWS] = self.known[index] = self.held[index]


@pytest.mark.parametrize("when", [None, "posted"])
def test_stale_instances(when: str | None, using: str) -> None:
    """Rows have the numbers and texts of the simulation, and so do instances that are loaded."""
    with letters(
        using,
        number=SequenceField("letters", when=when, null=True),
        text=FormattedNumberField(
            NumberFormat("C-{number}"), max_length=22, null=True, unique=False
        ),
        title=models.CharField(max_length=9),
        posted=models.BooleanField(default=True),
    ) as rows:

        @settings(
            max_examples=100,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @example([("set", 3, 1), ("save", 3, ["title", "text"])])
        @example([("set", 3, 3), ("others", 1, 3), ("save", 3, ["title", "number"])])
        @given(st.lists(steps, min_size=2, max_size=12))
        def run(program: list[Any]) -> None:
            rows.all().delete()
            delete("letters", using=using)
            created = [rows.create(number=number) for number in (1, 2)]
            instances = created + [rows.get(pk=row.pk) for row in created]
            expected = Simulation()
            for count, (step, index, argument) in enumerate(program):
                if step == "others":
                    row = rows.filter(pk=created[index].pk)
                    row.update(number=argument, text=f"C-{argument}")
                    expected.numbers[index] = argument
                elif step == "set":
                    instances[index].number = expected.held[index] = argument
                elif step == "load":
                    instances[index].refresh_from_db()
                    expected.load(index)
                else:
                    instances[index].title = str(count)
                    instances[index].save(update_fields=argument)
                    expected.save(index, argument, str(count))
            assert [(row.number, row.text, row.title) for row in rows.order_by("pk")] == [
                (number, f"C-{number}", title)
                for number, title in zip(expected.numbers, expected.titles, strict=True)
            ]
            assert get_last_value("letters", using=using) == expected.last

        run()
